// The recipe on the right: its stages in order, each with a form made from its parameters.

import { Emitter, askTwice, byId, el, iconButton, prose, toast } from "./dom.js";
import { complain, makeField } from "./fields.js";

/** These are shown in the paint panel instead. */
export const PAINT_PARAMETERS = ["prompt", "seed", "steps", "negative_prompt", "guidance_scale"];

const RARE = ["prompts_file", "prompt_2", "negative_prompt_2", "prompt_syntax"]; // come last
const FEW = 7; // an op with this many parameters shows them all

/** Emits `select` {stage} when the user chooses the stage up to which the mask is shown. */
export class Stages extends Emitter {
  selected = null;
  #draft;
  #cards = new Map(); // stage name -> {element, fields, message}
  #signature = "";
  #failure = null; // {stage, message}: what the shown photo says about a stage

  constructor(draft) {
    super();
    this.#draft = draft;
    draft.on("change", () => this.#update());
    draft.on("refused", ({ change, error }) => this.#refuse(change, error));
    byId("add-stage").addEventListener("click", () => this.#openMenu());
    byId("undo-recipe").addEventListener("click", () => draft.change({ do: "undo" }));
  }

  get stage() {
    return this.#draft.stage(this.selected) ?? null;
  }

  select(name, { quiet = false } = {}) {
    const isOther = this.selected !== name;
    this.selected = name;
    this.#build();
    if (isOther && !quiet) this.emit("select", { stage: name });
  }

  /** The stage that clicks and strokes belong to: the selected one, a painted one that it joins, or the nearest one. */
  get clickable() {
    const takes = (stage) => this.#draft.isMarked(stage);
    if (this.stage && takes(this.stage)) return this.stage;
    const joined = this.stage?.op === "combine" ? this.#draft.stage(this.stage.parameters.mask) : null;
    if (joined && this.#draft.isBrush(joined)) return joined;
    const index = this.#draft.stages.indexOf(this.stage);
    return this.#draft.stages.slice(0, index + 1).findLast(takes) ?? this.#draft.stages.find(takes) ?? null;
  }

  /** The stage after which the mask is the selected one's: stages that repaint leave it as it is. */
  get masking() {
    const { stages } = this.#draft;
    const until = stages.slice(0, stages.indexOf(this.stage) + 1);
    return until.findLast((stage) => this.#draft.op(stage).kind !== "repaint")?.name ?? this.selected;
  }

  /** Shows at its stage what went wrong with the shown photo, or nothing. */
  fail(stage, message) {
    this.#failure = message ? { stage, message } : null;
    this.#fill();
  }

  #update() {
    if (!this.#draft.stage(this.selected)) this.selected = this.#first();
    byId("undo-recipe").disabled = !this.#draft.state.can_undo;
    byId("no-stages").hidden = this.#draft.stages.length > 0;
    this.#build();
    this.#fill();
  }

  #first() {
    const { stages } = this.#draft;
    return (
      (
        stages.find((stage) => this.#draft.isMarked(stage)) ??
        stages.find((stage) => this.#draft.op(stage).kind === "mask") ??
        stages[0]
      )?.name ?? null
    );
  }

  /** Builds the cards again if there are other stages; otherwise the one in use would lose the focus. */
  #build() {
    const signature = JSON.stringify(this.#draft.stages.map(({ name, op }) => [name, op]));
    if (signature !== this.#signature) {
      this.#signature = signature;
      this.#cards.clear();
      byId("stages").replaceChildren(...this.#draft.stages.map((stage, index) => this.#card(stage, index)));
      this.#fill();
    }
    for (const [name, card] of this.#cards) this.#open(card, name === this.selected);
  }

  #open(card, isOpen) {
    card.element.classList.toggle("open", isOpen);
    card.head.setAttribute("aria-expanded", String(isOpen));
    card.body.hidden = !isOpen;
  }

  #card(stage, index) {
    const op = this.#draft.op(stage);
    const message = el("p", { class: "complaint", hidden: true });
    const head = el(
      "button",
      {
        type: "button",
        class: "stage-head",
        onclick: () => this.select(stage.name),
        "data-test": `stage-${stage.name}`,
      },
      el("span", { class: "number" }, String(index + 1)),
      el("span", { class: "name" }, stage.name),
      stage.name === stage.op ? null : el("span", { class: "op" }, stage.op),
    );
    const fields = new Map();
    const body = el("div", { class: "stage-body" }, this.#help(op), ...this.#form(stage, op, fields));
    const element = el(
      "li",
      { class: `stage ${op.kind}`, "data-stage": stage.name },
      el("div", { class: "stage-line" }, head, this.#tools(stage, index)),
      message,
      body,
    );
    this.#cards.set(stage.name, { element, head, body, message, fields });
    return element;
  }

  #tools(stage, index) {
    const { stages } = this.#draft;
    const move = (before) => this.#draft.change({ do: "move", stage: stage.name, before });
    const button = (name, label, action, more) =>
      iconButton(name, `${label} ${stage.name}`, action, {
        "data-test": `${label.toLowerCase().replaceAll(" ", "-")}-${stage.name}`,
        ...more,
      });
    return el(
      "span",
      { class: "tools" },
      button("up", "Move up", () => move(stages[index - 1].name), { disabled: index === 0 }),
      button("down", "Move down", () => move(stages[index + 2]?.name ?? null), {
        disabled: index === stages.length - 1,
      }),
      this.#removeButton(stage.name, button),
    );
  }

  /** A stage with clicks or parameters takes a second click. */
  #removeButton(name, make) {
    const remove = make("close", "Remove", null);
    const question = () => {
      const stage = this.#draft.stage(name);
      if (this.#draft.op(stage).clicks) return `Remove ${name} and its clicks?`;
      if (this.#draft.isBrush(stage)) return `Remove ${name} and its strokes?`;
      return Object.keys(stage.parameters).length ? "Remove?" : null;
    };
    askTwice(remove, question, () => this.#draft.change({ do: "remove", stage: name }));
    return remove;
  }

  #help(op) {
    const paragraphs = op.help
      .split(/\n{2,}/)
      .filter(Boolean)
      .map((text) => el("p", {}, prose(text)));
    const more = paragraphs.length
      ? el("details", { class: "more" }, el("summary", {}, "More about it"), ...paragraphs)
      : null;
    return el("div", { class: "about" }, el("p", {}, prose(op.summary)), more);
  }

  #form(stage, op, fields) {
    const shown = op.parameters
      .filter(
        ({ name, kind }) =>
          kind !== "clicks" && !(op.clicks && /^(choose|units)$/.test(name)) && !isInPaintPanel(op, name),
      )
      .toSorted((a, b) => RARE.indexOf(a.name) - RARE.indexOf(b.name));
    for (const parameter of shown) fields.set(parameter.name, this.#field(stage.name, parameter));
    const isKnown = ({ name, required }) => required || name in stage.parameters;
    const isFirst =
      shown.length <= FEW
        ? () => true
        : shown.some(isKnown)
          ? isKnown
          : (parameter) => shown.indexOf(parameter) < FEW - 2;
    const first = shown.filter(isFirst).map(({ name }) => fields.get(name).element);
    const rest = shown.filter((parameter) => !isFirst(parameter)).map(({ name }) => fields.get(name).element);
    const note = hasPaintPanel(op)
      ? [el("p", { class: "note" }, "Prompt, seeds, steps and guidance are below, in Paint.")]
      : [];
    const how = op.clicks
      ? "Click on the photo. Each photo has its own clicks."
      : "Paint on the photo with the brush, or name a file or a folder of masks.";
    const clicks = op.clicks || op.brush ? [el("p", { class: "note" }, how)] : [];
    return [
      ...clicks,
      ...note,
      ...first,
      ...(rest.length
        ? [el("details", { class: "more" }, el("summary", {}, `${rest.length} more parameters`), ...rest)]
        : []),
    ];
  }

  #field(stage, parameter) {
    const onset = (value) => this.#draft.set(stage, parameter.name, value);
    return makeField(parameter, { stage, onset, onreset: () => this.#draft.reset(stage, parameter.name) });
  }

  #fill() {
    for (const stage of this.#draft.stages) {
      const card = this.#cards.get(stage.name);
      const op = this.#draft.op(stage);
      for (const parameter of op.parameters) this.#fillField(card.fields.get(parameter.name), stage, parameter);
      this.#complain(card, stage.name);
    }
  }

  #fillField(field, stage, parameter) {
    if (!field) return;
    const isWritten = parameter.name in stage.parameters;
    field.show(isWritten ? stage.parameters[parameter.name] : parameter.default, isWritten);
  }

  #complain(card, name) {
    const problems = this.#draft.linesOf("problems", name);
    const warnings = this.#draft.linesOf("warnings", name);
    for (const [parameter, field] of card.fields) {
      const line =
        problems.find((one) => one.parameter === parameter) ?? warnings.find((one) => one.parameter === parameter);
      field.complain(line?.text ?? null, problems.includes(line) ? "error" : "warning");
    }
    const own = problems.find((one) => !card.fields.has(one.parameter) && !PAINT_PARAMETERS.includes(one.parameter));
    const failure = this.#failure?.stage === name && !problems.length ? this.#failure.message : null;
    complain(card.message, own?.text ?? failure);
    card.element.classList.toggle("has-problem", problems.length > 0 || failure !== null);
  }

  #refuse({ stage, parameter }, error) {
    const card = this.#cards.get(stage);
    const text = error.message.replace(new RegExp(`^stages\\.${stage}\\.${parameter}:?\\s*`), "");
    const field = card?.fields.get(parameter);
    if (field) return field.complain(text, "error");
    if (!card) return toast(text, "error");
    return complain(card.message, text);
  }

  #openMenu() {
    const menu = byId("stage-menu");
    const [mask, ...others] = [
      ["mask", "Make or change the mask"],
      ["repaint", "Change the picture"],
      ["gate", "Check the mask"],
      ["frame", "Frame the results"],
    ].map(([kind, title]) => this.#group(kind, title));
    menu.querySelector(".choices").replaceChildren(mask, el("div", {}, ...others));
    menu.showModal();
  }

  #group(kind, title) {
    const ops = Object.entries(this.#draft.ops).filter(([, op]) => op.kind === kind);
    return el("section", {}, el("h3", {}, title), ...ops.map(([name, op]) => this.#choice(name, op)));
  }

  #choice(name, op) {
    const text = el("span", {}, prose(op.summary));
    return el(
      "button",
      { type: "button", class: "choice", "data-test": `add-${name}`, onclick: () => this.#add(name) },
      el("strong", {}, name),
      text,
    );
  }

  async #add(op) {
    byId("stage-menu").close();
    const { stages } = this.#draft;
    const known = new Set(stages.map(({ name }) => name));
    const index = stages.indexOf(this.stage);
    const atEnd = /repaint|frame/.test(this.#draft.ops[op].kind);
    await this.#draft.change({ do: "add", op, before: atEnd ? null : (stages[index + 1]?.name ?? null) });
    const added = this.#draft.stages.find(({ name }) => !known.has(name));
    if (added) this.select(added.name);
  }
}

/** Whether a stage's prompt, seeds, steps and guidance are in the paint panel. */
export const hasPaintPanel = (op) => op.kind === "repaint" && op.parameters.some(({ name }) => name === "prompt");

const isInPaintPanel = (op, name) => hasPaintPanel(op) && PAINT_PARAMETERS.includes(name);
