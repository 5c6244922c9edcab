// The paint panel: the prompt, seeds, steps and guidance of the stage that paints, and the button that does it.

import { Emitter, byId, el } from "./dom.js";
import { makeField } from "./fields.js";
import { makeProgress } from "./jobs.js";
import { PAINT_PARAMETERS, hasPaintPanel } from "./stages.js";

const LABELS = {
  prompt: "Prompt",
  negative_prompt: "Negative",
  seed: "Seeds",
  steps: "Steps",
  guidance_scale: "Guidance",
};

/** Emits `paint` when the user wants the pictures of the recipe as it is. */
export class PaintPanel extends Emitter {
  #draft;
  #stages;
  #jobs;
  #fields = new Map();
  #built = "";
  #onePrompt = el("p", { class: "note", hidden: true }, "One prompt for all photos.");

  constructor(draft, stages, jobs) {
    super();
    this.#draft = draft;
    this.#stages = stages;
    this.#jobs = jobs;
    this.progress = makeProgress(jobs, "paint");
    byId("paint-progress").append(this.progress.element);
    byId("paint").addEventListener("click", () => this.paint());
    byId("other-seeds").addEventListener("click", () => this.otherSeeds());
    draft.on("change", () => this.update());
    draft.on("refused", ({ change, error }) => this.#refuse(change, error));
    stages.on("select", () => this.update());
    jobs.on("change", () => this.update());
  }

  /** The stage whose prompt is shown: the selected one, or the last one that has a prompt. */
  get target() {
    const { stage } = this.#stages;
    if (stage && hasPaintPanel(this.#draft.op(stage))) return stage;
    return this.#draft.stages.findLast((one) => hasPaintPanel(this.#draft.op(one))) ?? null;
  }

  paint() {
    this.say(null);
    this.emit("paint");
  }

  /** As many seeds as there are, the next ones; then paints. */
  async otherSeeds() {
    const { target } = this;
    const seeds = seedsOf(target);
    const next = Math.max(...seeds) + 1;
    const others = seeds.map((_, index) => next + index);
    this.#draft.set(target.name, "seed", others.length === 1 ? others[0] : others);
    await this.#draft.settled();
    this.paint();
  }

  update() {
    const { target } = this;
    this.#build(target);
    if (target) this.#fill(target);
    else byId("paint-over").hidden = true;
    const paints = this.#draft.stages.some((stage) => this.#draft.op(stage).kind === "repaint");
    const { problems } = this.#draft.state;
    const isPainting = this.#jobs.isRunning && this.#jobs.job.kind === "paint";
    byId("paint").disabled = !paints || problems.length > 0 || this.#jobs.isRunning;
    byId("paint").title = this.#reason(paints, problems);
    byId("other-seeds").disabled = byId("paint").disabled;
    byId("paint-progress").hidden = !isPainting;
    if (isPainting) this.progress.show(this.#jobs.job);
    this.#count(target);
  }

  #reason(paints, problems) {
    if (!paints)
      return "The recipe has no stage that changes the picture: add inpaint, background, erase or another one";
    if (problems.length) return `First mend: ${problems[0]}`;
    return this.#jobs.isRunning ? "Wait for the job that runs, or cancel it" : "Paint this photo (p)";
  }

  /** The button says how many pictures it makes, where plain lists say so. */
  #count(target) {
    const counts = PAINT_PARAMETERS.map((name) => countOf(target?.parameters[name]));
    const count = counts.reduce((product, one) => product * one, 1);
    byId("paint").textContent = count > 1 ? `Paint ${count} pictures` : "Paint";
    byId("other-seeds").hidden = !this.#fields.has("seed") || seedsOf(target).some((seed) => !Number.isInteger(seed));
  }

  #build(target) {
    const signature = target ? `${target.name}/${target.op}` : "";
    if (signature === this.#built) return;
    this.#built = signature;
    this.#fields.clear();
    byId("paint-stage").textContent = target ? target.name : "";
    const parameters = target
      ? this.#draft.op(target).parameters.filter(({ name }) => PAINT_PARAMETERS.includes(name))
      : [];
    for (const parameter of parameters) this.#fields.set(parameter.name, this.#field(target.name, parameter));
    const ordered = PAINT_PARAMETERS.filter((name) => this.#fields.has(name)).map(
      (name) => this.#fields.get(name).element,
    );
    for (const [name, field] of this.#fields) field.element.classList.add(`for-${name}`);
    byId("paint-fields").replaceChildren(
      ...(target ? ordered : [el("p", { class: "note" }, "No stage of this recipe has a prompt.")]),
    );
    this.#fields.get("prompt")?.element.after(this.#onePrompt);
  }

  #field(stage, parameter) {
    const onset = (value) => this.#draft.set(stage, parameter.name, value);
    const onreset = () => this.#draft.reset(stage, parameter.name);
    return makeField(parameter, {
      stage,
      onset,
      onreset,
      label: LABELS[parameter.name],
      rows: parameter.name === "prompt" ? 2 : 1,
    });
  }

  #fill(target) {
    this.#onePrompt.hidden = JSON.stringify(target.parameters.prompt ?? "").includes("${"); // a manifest has them
    this.#tellOver(target);
    const problems = this.#draft.linesOf("problems", target.name);
    const warnings = this.#draft.linesOf("warnings", target.name);
    for (const parameter of this.#draft.op(target).parameters) {
      const field = this.#fields.get(parameter.name);
      if (!field) continue;
      const isWritten = parameter.name in target.parameters;
      field.show(isWritten ? target.parameters[parameter.name] : parameter.default, isWritten);
      const problem = problems.find((line) => line.parameter === parameter.name);
      const warning = warnings.find((line) => line.parameter === parameter.name);
      field.complain((problem ?? warning)?.text ?? null, problem ? "error" : "warning");
    }
  }

  /** A second pass paints over the picture of a stage before it. */
  #tellOver(target) {
    const { stages } = this.#draft;
    const before = stages.slice(0, stages.indexOf(target)).findLast((stage) => hasPaintPanel(this.#draft.op(stage)));
    byId("paint-over").hidden = !before;
    if (!before) return;
    const seeds = seedsOf(before);
    byId("paint-over").textContent = `Paints over the picture of ${
      seeds.length === 1 && Number.isInteger(seeds[0]) ? `seed ${seeds[0]}` : `${before.name}, for each of its seeds`
    }.`;
  }

  #refuse({ stage, parameter }, error) {
    if (stage !== this.target?.name) return;
    const text = error.message.replace(new RegExp(`^stages\\.${stage}\\.${parameter}:?\\s*`), "");
    this.#fields.get(parameter)?.complain(text, "error");
  }

  focusPrompt() {
    this.#fields.get("prompt")?.element.querySelector("textarea").select();
  }

  /** Shows a line above the button: why painting failed. */
  say(text) {
    byId("paint-message").hidden = !text;
    byId("paint-message").textContent = text ?? "";
  }
}

const seedsOf = (stage) => [stage?.parameters.seed ?? 0].flat();

/** How many values a parameter has: a list's, a seed rule's, else 1; NaN where prompts have parameters of their own. */
function countOf(value) {
  if (Array.isArray(value)) return value.some((one) => typeof one === "object") ? NaN : value.length;
  return typeof value === "object" && value !== null ? (value.count ?? 1) : 1;
}
