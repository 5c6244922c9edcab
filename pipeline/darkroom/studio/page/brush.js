// The brush: its button, size and kind, and the strokes that it makes. It paints the masks of `mask_file` stages without files.

import { byId, clamp, el, prose } from "./dom.js";
import { strokeOf } from "./strokes.js";

const LARGEST = 1000; // px of the radius
const STEP = 1.25; // of the radius, for a key
const FIRST = 1 / 40; // of the photo's longer side: the radius before somebody chooses one

const MEANINGS = [
  ["instead", (stage) => `Instead of \`${stage}\``, "Your strokes alone; the stage goes."],
  ["union", (stage) => `Add to \`${stage}\``, "Its mask and your strokes."],
  ["difference", (stage) => `Take away from \`${stage}\``, "Its mask without your strokes."],
];

export class Brush {
  #isErasing = false;
  #radius = null; // chosen by the user

  constructor(parts) {
    Object.assign(this, parts); // draft, stages, canvas, clicks, gestures
    byId("brush").addEventListener("click", () => this.toggle());
    for (const kind of ["paint", "erase"])
      byId(`brush-${kind}`).addEventListener("click", () => this.#choose(kind === "erase"));
    byId("brush-radius").addEventListener("input", (event) => this.#size(LARGEST ** Number(event.target.value)));
    this.gestures.on("stroke", ({ points, erase, since }) => this.#stroke(points, erase, since));
  }

  get isActive() {
    return this.canvas.brush !== null;
  }

  get radius() {
    const { width, height } = this.canvas.viewport.photo;
    return this.#radius ?? clamp(Math.round(Math.max(width, height) * FIRST), 1, LARGEST);
  }

  /** Shows the brush if clicks on the canvas belong to a stage that is painted. */
  update(stage, isOnPhoto) {
    const isActive = stage !== null && this.draft.isBrush(stage);
    const { radius } = this;
    const brush = { radius, erase: this.#isErasing, takesAway: this.stages.stage?.parameters.how === "difference" };
    this.canvas.brush = isActive && this.canvas.clicks ? brush : null;
    byId("brush").disabled = !isOnPhoto;
    byId("brush").setAttribute("aria-pressed", String(isActive));
    byId("brush-tools").hidden = !isActive;
    byId("brush-paint").setAttribute("aria-pressed", String(!this.#isErasing));
    byId("brush-erase").setAttribute("aria-pressed", String(this.#isErasing));
    byId("brush-radius").value = Math.log(radius) / Math.log(LARGEST);
    byId("brush-radius").setAttribute("aria-valuetext", `${radius} px`);
    byId("brush-size").textContent = `${radius} px`;
  }

  /** Key `[` or `]`: a smaller or larger brush, by a pixel at least. */
  resize(direction) {
    const wanted = Math.round(this.radius * STEP ** direction);
    this.#size(wanted === this.radius ? this.radius + direction : wanted);
  }

  /** Key `e`. */
  toggleErasing() {
    if (this.isActive) this.#choose(!this.#isErasing);
  }

  #choose(isErasing) {
    this.#isErasing = isErasing;
    this.#show();
  }

  #size(radius) {
    this.#radius = clamp(Math.round(radius), 1, LARGEST);
    this.#show();
  }

  #show() {
    this.update(this.stages.clickable, !byId("brush").disabled);
    this.canvas.redraw();
  }

  #stroke(points, erase, since) {
    const stage = this.stages.clickable;
    const stroke = strokeOf(points, { radius: this.radius, erase }, this.canvas.viewport.scale);
    this.canvas.ahead.push(stroke);
    this.clicks.change(stage.name, { strokes: [...this.clicks.of(stage.name).strokes, stroke] }, since);
  }

  /** The button, or key `d`: to the painted mask and back to clicks; a recipe without one gets one. */
  toggle() {
    const { stages } = this.draft;
    const isBrush = (stage) => this.draft.isBrush(stage);
    const painted = stages.find(isBrush);
    if (this.isActive) return this.#select(stages.find((stage) => this.draft.op(stage).clicks));
    if (painted) return this.#select(this.#joined(painted.name) ?? painted);
    const found = this.#changeable();
    return found ? this.#ask(found) : this.#add(null, "instead");
  }

  #select(stage) {
    if (stage) this.stages.select(stage.name);
  }

  #joined(name) {
    return this.draft.stages.find(({ op, parameters }) => op === "combine" && parameters.mask === name);
  }

  /** The stage whose mask the brush may change: one that finds something by itself. */
  #changeable() {
    const finds = (stage) => this.draft.op(stage).kind === "mask" && !this.draft.op(stage).needs_mask;
    const { clickable, stage } = this.stages;
    return [clickable, stage, ...this.draft.stages].find((each) => each && finds(each)) ?? null;
  }

  #ask(stage) {
    const choice = ([how, title, text]) =>
      el(
        "button",
        {
          type: "button",
          class: "choice",
          "data-test": `brush-${how}`,
          onclick: () => this.#add(stage.name, how),
        },
        el("strong", {}, prose(title(stage.name))),
        el("span", {}, text),
      );
    byId("brush-choices").replaceChildren(...MEANINGS.map(choice));
    byId("brush-dialog").showModal();
  }

  async #add(stage, how) {
    byId("brush-dialog").close();
    const known = new Set(this.draft.stages.map(({ name }) => name));
    if (!(await this.draft.change({ do: "brush", stage, how }))) return;
    const added = this.draft.stages.find((each) => !known.has(each.name) && this.draft.isBrush(each));
    if (added) this.#select(this.#joined(added.name) ?? added);
  }
}
