// The strip of results below the photo. One click shows a result, a second one compares it with the photo.

import { connection, getJson, withQuery } from "./api.js";
import { Emitter, byId, debounce, el, icon } from "./dom.js";

/** Emits `show` {result, compared} for the canvas, null for the photo; `second` after a second pass was added. */
export class Results extends Emitter {
  photo = null;
  shown = null; // a result or null for the photo
  compared = undefined; // a result or null for the photo, left of the divider; undefined: no comparison
  #results = [];
  #draft;
  #jobs;
  #progress = "";
  readSoon = debounce(() => this.#read(), 250);

  constructor(draft, jobs) {
    super();
    this.#draft = draft;
    this.#jobs = jobs;
    byId("compare").addEventListener("click", () => this.toggleCompare());
    byId("second-pass").addEventListener("click", () => this.secondPass());
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
    this.#build();
    this.emit("show", { result, compared });
  }

  toggleCompare() {
    if (this.shown) this.show(this.shown, this.compared === undefined ? null : undefined);
  }

  /** The next or previous result, the photo before the first one. */
  step(by) {
    const order = [null, ...this.#results];
    const index = order.findIndex((result) => result?.id === this.shown?.id);
    this.show(order[(index + by + order.length) % order.length], this.compared === undefined ? undefined : null);
  }

  async secondPass() {
    const result = this.shown;
    await this.#draft.change({ do: "second_pass", result: result.id });
    this.show(null);
    this.emit("second", null);
  }

  #clicked(result, event) {
    if (event.shiftKey && this.shown && result?.id !== this.shown.id) return this.show(this.shown, result);
    if (result && result.id === this.shown?.id) return this.toggleCompare();
    return this.show(result);
  }

  #build() {
    const job = this.#jobs.job;
    const waiting = this.#jobs.isRunning && job.kind === "paint" && job.photo === this.photo ? job.total - job.done : 0;
    byId("results").hidden = !this.#results.length && !waiting;
    if (byId("results").hidden) return byId("result-cards").replaceChildren();
    const [current, earlier] = [true, false].map((wanted) =>
      this.#results.filter((result) => result.current === wanted).map((result) => this.#card(result)),
    );
    const expected = Array.from({ length: Math.min(waiting, 20) }, (_, index) => waitingCard(index ? null : job));
    const cards = [this.#photoCard(), ...current, ...expected, ...earlier];
    this.#replace(cards);
    return this.#tell();
  }

  /** Keeps the cards that are the same, and the focus with them. */
  #replace(cards) {
    const strip = byId("result-cards");
    const focused = strip.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const known = new Map([...strip.children].map((card) => [card.dataset.key, card]));
    strip.replaceChildren(...cards.map((card) => reuse(known.get(card.dataset.key), card)));
    if (focused) [...strip.children].find((card) => card.dataset.key === focused)?.focus();
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
    card.title = [result.prompt, nameOf(result), ...result.flags, result.current ? "" : "made with earlier settings"]
      .filter(Boolean)
      .join("\n");
    if (result.flags.length) card.querySelector(".label").prepend(icon("flag"));
    return card;
  }

  #tell() {
    const result = this.shown;
    byId("result-actions").hidden = !result;
    byId("result-text").textContent = "Click a result to see it, and once more to compare it with the photo.";
    byId("result-text").title = "";
    if (!result) return;
    byId("result-text").textContent = [nameOf(result), result.prompt, ...settingsOf(result), ...result.flags]
      .filter(Boolean)
      .join(" · ");
    byId("result-text").title = byId("result-text").textContent;
    byId("compare").setAttribute("aria-pressed", String(this.compared !== undefined));
    byId("open-picture").href = `${pathOf(result)}/picture.png`;
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

/** Where the server has a result. */
export const pathOf = (result) => `/api/results/${encodeURIComponent(result.id)}`;

/** `seed 3`, or the stage that made it if it needs no seed. */
export const nameOf = (result) => (result.seed === null ? result.stage : `seed ${result.seed}`);

function settingsOf({ settings, seconds }) {
  const shown = Object.entries({ steps: "steps", guidance_scale: "guidance", strength: "strength" }).filter(
    ([key]) => settings[key] !== undefined,
  );
  return [...shown.map(([key, word]) => `${word} ${settings[key]}`), seconds ? `${seconds.toFixed(1)} s` : null];
}

function makeCard(key, src, label, prompt, onclick) {
  const image = el("img", { src, alt: "", draggable: false });
  const caption = el("span", { class: "label" }, el("strong", {}, label), prompt ? ` ${prompt}` : "");
  return el(
    "button",
    {
      type: "button",
      class: "card",
      "data-key": key,
      "data-test": key === "photo" ? "card-photo" : "result",
      onclick,
      "aria-label": `${label} ${prompt}`.trim(),
    },
    image,
    caption,
  );
}

/** Takes over what may have changed, so that a picture that is there does not blink. */
function reuse(old, card) {
  if (!old || old.dataset.test === "waiting") return card;
  const image = old.querySelector("img");
  if (image?.getAttribute("src") === card.querySelector("img")?.getAttribute("src"))
    card.querySelector("img").replaceWith(image);
  return card;
}

function waitingCard(job) {
  const text = job ? `${Math.round((job.share * job.total - job.done) * 100)} %` : "";
  return el(
    "div",
    { class: "card waiting", "data-test": "waiting", "data-key": "" },
    el("span", { class: "blank" }, text),
    el("span", { class: "label" }, "waiting"),
  );
}
