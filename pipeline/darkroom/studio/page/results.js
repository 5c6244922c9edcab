// The strip of results below the photo. One click shows a result, a second one compares it with the photo.

import { connection, getJson, withQuery } from "./api.js";
import { Emitter, byId, debounce, el, icon } from "./dom.js";

/** Emits `show` {result, compared} when another picture should be on the canvas; null means the photo. */
export class Results extends Emitter {
  photo = null;
  shown = null; // a result or null for the photo
  compared = undefined; // a result or null for the photo, left of the divider; undefined: no comparison
  #results = [];
  #draft;
  #jobs;
  #readSoon = debounce(() => this.#read(), 400);

  constructor(draft, jobs) {
    super();
    this.#draft = draft;
    this.#jobs = jobs;
    byId("compare").addEventListener("click", () => this.toggleCompare());
    byId("second-pass").addEventListener("click", () => this.secondPass());
    draft.on("change", () => this.#readSoon());
    jobs.on("change", () => this.#build());
  }

  load(photo, results) {
    this.photo = photo;
    this.#results = results;
    this.show(null);
  }

  add(result) {
    if (result.photo !== this.photo) return;
    this.#results = [...this.#results.filter(({ id }) => id !== result.id), result];
    this.#build();
  }

  get all() {
    return this.#results;
  }

  /** Asks again which results the draft as it is makes. */
  async #read() {
    const { photo } = this;
    if (photo === null) return;
    try {
      const { results } = await getJson(`/api/photos/${photo}`);
      if (photo !== this.photo) return;
      this.#results = results;
      this.#build();
    } catch (error) {
      if (error.gone) connection.ready().then(() => this.#readSoon());
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
    this.emit("second", result);
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
    const cards = [this.#photoCard(), ...this.#results.map((result) => this.#card(result))];
    if (waiting) cards.push(...Array.from({ length: Math.min(waiting, 20) }, (_, index) => waitingCard(index ? null : job)));
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
    const card = makeCard("photo", `/api/photos/${this.photo}/thumbnail`, "Photo", "", (event) => this.#clicked(null, event));
    card.setAttribute("aria-pressed", String(this.shown === null));
    return card;
  }

  #card(result) {
    const src = withQuery(`/api/results/${result.id}/view`, { width: 320 });
    const isOnly = this.#results.every(({ prompt }) => prompt === result.prompt);
    const card = makeCard(result.id, src, `seed ${result.seed}`, isOnly ? "" : result.prompt, (event) => this.#clicked(result, event));
    card.setAttribute("aria-pressed", String(result.id === this.shown?.id));
    card.classList.toggle("stale", !result.current);
    card.title = [result.prompt, `seed ${result.seed}`, ...result.flags, result.current ? "" : "made with earlier settings"].filter(Boolean).join("\n");
    if (result.flags.length) card.querySelector(".label").prepend(icon("flag"));
    return card;
  }

  #tell() {
    const result = this.shown;
    byId("result-actions").hidden = !result;
    byId("result-text").textContent = "Click a result to see it, and once more to compare it with the photo.";
    byId("result-text").title = "";
    if (!result) return;
    const settings = Object.entries(result.settings).filter(([key]) => key !== "Seed").map(([key, value]) => `${key} ${value}`);
    byId("result-text").textContent = [`seed ${result.seed}`, result.prompt, ...settings, ...result.flags].filter(Boolean).join(" · ");
    byId("result-text").title = byId("result-text").textContent;
    byId("compare").setAttribute("aria-pressed", String(this.compared !== undefined));
    byId("open-picture").href = `/api/results/${result.id}/picture.png`;
  }
}

function makeCard(key, src, label, prompt, onclick) {
  const image = el("img", { src, alt: "", draggable: false });
  const caption = el("span", { class: "label" }, el("strong", {}, label), prompt ? ` ${prompt}` : "");
  return el("button", { type: "button", class: "card", "data-key": key, "data-test": key === "photo" ? "card-photo" : "result", onclick, "aria-label": `${label} ${prompt}`.trim() }, image, caption);
}

/** Takes over what may have changed, so that a picture that is there does not blink. */
function reuse(old, card) {
  if (!old || old.dataset.test === "waiting") return card;
  const image = old.querySelector("img");
  if (image?.getAttribute("src") === card.querySelector("img")?.getAttribute("src")) card.querySelector("img").replaceWith(image);
  return card;
}

function waitingCard(job) {
  const text = job ? `${Math.round((job.share * job.total - job.done) * 100)} %` : "";
  return el("div", { class: "card waiting", "data-test": "waiting", "data-key": "" }, el("span", { class: "blank" }, text), el("span", { class: "label" }, "waiting"));
}
