// The strip of results below the photo. One click shows a result, a second one compares it with the photo.

import { connection, getJson, withQuery } from "./api.js";
import { makeCard, replaceCards, waitingCard } from "./cards.js";
import { Emitter, byId, debounce, el, icon, toast } from "./dom.js";

const USABLE = ["prompt", "negative_prompt", "seed", "steps", "guidance_scale", "strength"];
const PHOTO = "photo"; // in the menu of what to compare with

/** Emits `show` {result, compared} for the canvas, null for the photo; `second` after a second pass was added. */
export class Results extends Emitter {
  photo = null;
  shown = null; // a result or null for the photo
  compared = undefined; // a result or null for the photo, left of the divider; undefined: no comparison
  #results = [];
  #draft;
  #jobs;
  #progress = "";
  #awaited = null; // {known, isQuiet}: the next new picture is shown by itself
  readSoon = debounce(() => this.#read(), 250);

  constructor(draft, jobs) {
    super();
    this.#draft = draft;
    this.#jobs = jobs;
    byId("compare").addEventListener("click", () => this.toggleCompare());
    byId("compare-with").addEventListener("change", (event) => this.#compareWith(event.target.value));
    byId("second-pass").addEventListener("click", () => this.secondPass());
    byId("use-settings").addEventListener("click", () => this.#useSettings());
    draft.on("change", () => this.readSoon());
    jobs.on("change", (job) => this.#follow(job));
  }

  load(photo, results) {
    this.photo = photo;
    this.#results = inOrder(results);
    this.show(null);
  }

  update(results) {
    this.#results = inOrder(results);
    const found = this.#awaited && this.#results.find((one) => isNew(one, this.#awaited.known));
    if (!found) return this.#build();
    return this.#awaited.isQuiet() ? this.show(found) : this.await(null);
  }

  /** The first new picture is shown, if `isQuiet()` says that the user has done nothing else until it is there. */
  await(isQuiet) {
    this.#awaited = isQuiet && { known: new Set(this.#results.map(({ id }) => id)), isQuiet };
    this.#build();
  }

  /** More pictures may be there: the job went on, or the photo has another state. */
  #follow(job) {
    const progress = job ? `${job.status} ${job.done}` : "";
    if (progress !== this.#progress && job?.photo === this.photo) this.readSoon();
    this.#progress = progress;
    this.#build();
  }

  /** Asks again which results the draft as it is makes. */
  async #read() {
    const { photo } = this;
    if (photo === null) return;
    try {
      const { results } = await getJson(`/api/photos/${photo}`);
      if (photo === this.photo) this.update(results);
    } catch (error) {
      if (error.gone) connection.ready().then(() => this.readSoon());
    }
  }

  /** Puts a result on the canvas, or null for the photo. */
  show(result, compared = undefined) {
    this.shown = result;
    this.compared = compared;
    this.#awaited = null;
    this.#build();
    this.emit("show", { result, compared });
  }

  toggleCompare() {
    if (this.shown) this.show(this.shown, this.compared === undefined ? null : undefined);
  }

  #compareWith(id) {
    this.show(this.shown, id === PHOTO ? null : this.#results.find((result) => result.id === id));
  }

  /** The next or previous result, the photo before the first one. */
  step(by) {
    const order = [null, ...this.#results];
    const index = order.findIndex((result) => result?.id === this.shown?.id);
    this.show(order[(index + by + order.length) % order.length], this.compared === undefined ? undefined : null);
  }

  async secondPass() {
    const { shown } = this;
    if (!(await this.#draft.change({ do: "second_pass", result: shown.id }))) return;
    toast(`The prompt and the seed of ${shown.stage} are now those of this picture, ${nameOf(shown)}.`);
    this.emit("second", null);
  }

  /** Gives the stage that made the shown result the settings that it had then. */
  #useSettings() {
    const { stage, settings } = this.shown;
    for (const name of this.#otherSettings(this.shown)) this.#draft.set(stage, name, settings[name]);
  }

  /** The parameters that the recipe now holds otherwise than when it made a result. */
  #otherSettings({ stage: name, settings }) {
    const stage = this.#draft.stage(name);
    if (!stage) return [];
    const now = ({ name, default: usual }) => stage.parameters[name] ?? usual;
    return this.#draft
      .op(stage)
      .parameters.filter(({ name }) => USABLE.includes(name) && name in settings)
      .filter((parameter) => JSON.stringify(now(parameter)) !== JSON.stringify(settings[parameter.name]))
      .map(({ name }) => name);
  }

  #clicked(result, event) {
    if (event.shiftKey && result?.id !== this.shown?.id)
      return this.shown ? this.show(this.shown, result) : this.show(result, null);
    if (result && result.id === this.shown?.id) return this.toggleCompare();
    return this.show(result);
  }

  #build() {
    const job = this.#jobs.job;
    const waiting = this.#jobs.isRunning && job.kind === "paint" && job.photo === this.photo ? job.total - job.done : 0;
    const [current, earlier] = [true, false].map((wanted) =>
      this.#results.filter((result) => result.current === wanted).map((result) => this.#card(result)),
    );
    const expected = Array.from({ length: Math.min(waiting, 20) }, (_, index) => waitingCard(index ? null : job));
    const cards = [...current, ...expected, ...earlier];
    replaceCards(byId("result-cards"), cards.length ? [this.#photoCard(), ...cards] : []);
    this.#tell(cards.length > 0);
  }

  #photoCard() {
    const card = makeCard("photo", `/api/photos/${this.photo}/thumbnail`, "Photo", "", (event) =>
      this.#clicked(null, event),
    );
    card.setAttribute("aria-pressed", String(this.shown === null));
    return card;
  }

  #card(result) {
    const src = withQuery(`${pathOf(result)}/view`, { width: 320 });
    const isOnly = this.#results.every(({ prompt }) => prompt === result.prompt);
    const card = makeCard(result.id, src, nameOf(result), isOnly ? "" : result.prompt, (event) =>
      this.#clicked(result, event),
    );
    card.setAttribute("aria-pressed", String(result.id === this.shown?.id));
    card.classList.toggle("stale", !result.current);
    card.title = [result.prompt, nameOf(result), ...result.flags, this.#ageOf(result)].filter(Boolean).join("\n");
    if (result.flags.length) card.querySelector(".label").prepend(icon("flag"));
    return card;
  }

  /** Why the recipe as it is does not make a result, in words; null if it does. */
  #ageOf(result) {
    if (result.current) return null;
    if (this.#otherSettings(result).length) return "made with earlier settings";
    const { stages } = this.#draft;
    const later = stages.slice(stages.indexOf(this.#draft.stage(result.stage)) + 1);
    const isPaintedOver = this.#draft.stage(result.stage) && later.some((one) => this.#draft.op(one).kind === "repaint");
    return isPaintedOver ? "a later stage paints over it" : "made with earlier clicks or an earlier recipe";
  }

  #tell(hasCards) {
    const result = this.shown;
    const line = byId("result-text");
    byId("result-actions").hidden = !result;
    line.textContent = hasCards
      ? "Click a result to see it, and once more to compare it with the photo."
      : "Painted pictures of this photo appear here.";
    line.title = "";
    if (!result) return;
    const newest = this.#results.find(({ id }) => id === result.id) ?? result;
    line.textContent = [nameOf(result), this.#ageOf(newest), result.prompt, ...settingsOf(result), ...result.flags]
      .filter(Boolean)
      .join(" · ");
    line.title = line.textContent;
    byId("use-settings").hidden = newest.current || !this.#otherSettings(result).length;
    byId("compare").setAttribute("aria-pressed", String(this.compared !== undefined));
    byId("open-picture").href = `${pathOf(result)}/picture.png`;
    this.#fillMenu(result);
  }

  #fillMenu(shown) {
    const menu = byId("compare-with");
    const others = this.#results.filter(({ id }) => id !== shown.id);
    const options = [["", "Compare with…"], [PHOTO, "Photo"], ...others.map((one) => [one.id, menuNameOf(one)])];
    const signature = JSON.stringify(options);
    if (menu.dataset.options !== signature) {
      menu.dataset.options = signature; // an open menu would close
      menu.replaceChildren(...options.map(([value, text]) => el("option", { value, disabled: !value }, text)));
    }
    menu.value = this.compared === undefined ? "" : (this.compared?.id ?? PHOTO);
  }
}

/** What the draft as it is makes first, then earlier ones, the newest first; the same picture made twice once. */
function inOrder(results) {
  const kinds = new Map(
    results.map((result) => [
      JSON.stringify([result.stage, result.prompt, result.seed, result.settings, result.current]),
      result,
    ]),
  );
  const once = results.filter((result) => [...kinds.values()].includes(result));
  return [...once.filter(({ current }) => current), ...once.filter(({ current }) => !current).reverse()];
}

const isNew = ({ id, current, status }, known) => current && status === "done" && !known.has(id);

/** Where the server has a result. */
export const pathOf = (result) => `/api/results/${encodeURIComponent(result.id)}`;

/** `seed 3`, or the stage that made it if it needs no seed. */
export const nameOf = (result) => (result.seed === null ? result.stage : `seed ${result.seed}`);

const menuNameOf = (result) => [nameOf(result), result.prompt?.slice(0, 40)].filter(Boolean).join(", ");

function settingsOf({ settings, seconds }) {
  const shown = Object.entries({ steps: "steps", guidance_scale: "guidance", strength: "strength" }).filter(
    ([key]) => settings[key] !== undefined,
  );
  return [...shown.map(([key, word]) => `${word} ${settings[key]}`), seconds ? `${seconds.toFixed(1)} s` : null];
}
