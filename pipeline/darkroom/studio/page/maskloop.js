// Asks for the mask: one request at a time, the newest wish waits, stale answers are dropped.

import { TAB, ask, connection, withQuery } from "./api.js";
import { Emitter } from "./dom.js";
import { prepareMask } from "./masks.js";

const REST = 150; // ms without a new wish before the mask is asked for again, exactly and sharply

/** Emits `mask` {mask, info, since, sharp}, `failed` {message, empty}, `busy` true or false. */
export class MaskLoop extends Emitter {
  #draft;
  #canvas;
  #wish = null;
  #running = false;
  #last = null; // what the server said about the last whole mask
  #sharpened = ""; // the part of it that was asked for again
  #timer = null;
  #target = { photo: null, stage: null };

  constructor(draft, canvas) {
    super();
    this.#draft = draft;
    this.#canvas = canvas;
  }

  get photo() {
    return this.#target.photo;
  }

  /** Whether there is no newer wish than the mask that was shown last. */
  get isNewest() {
    return this.#wish === null;
  }

  /** From now on, the mask of another photo or up to another stage is wanted; answers about the old one are dropped. */
  aim(photo, stage) {
    if (photo !== this.#target.photo || stage !== this.#target.stage) this.#target = { photo, stage };
  }

  /** The clicks, the recipe or the photo changed. `since` is the time of the click, to measure how long it takes. */
  refresh(since = null) {
    this.#last = null;
    this.#sharpened = "";
    this.#want({ since: since ?? this.#wish?.since ?? null, exact: 0, sharp: false });
  }

  /** Zoom or place changed: asks for the part in sight once things rest. */
  rest() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#improve(), REST);
  }

  #want(wish) {
    clearTimeout(this.#timer);
    this.#wish = wish;
    if (!this.#running) this.#run();
  }

  async #run() {
    this.#running = true;
    this.emit("busy", true);
    while (this.#wish) {
      await this.#draft.written(); // the mask is that of the newest clicks
      const wish = this.#wish;
      this.#wish = null;
      await this.#answer(wish, this.#target);
    }
    this.#running = false;
    this.emit("busy", false);
  }

  async #answer(wish, target) {
    if (target.photo === null || target.stage === null) return this.emit("failed", { message: null, empty: true });
    try {
      const received = await this.#receive(wish, target);
      if (!received || target !== this.#target) return undefined;
      if (this.#wish && wish.exact) return undefined; // it is out of date, and only better in details
      if (!wish.sharp) this.#last = { ...received.info, exact: wish.exact === 1 || received.info.exact };
      this.emit("mask", { ...received, since: wish.since, sharp: wish.sharp });
      this.rest();
    } catch (error) {
      this.#fail(error, target);
    }
    return undefined;
  }

  /** Returns {mask, info}, or null if the server says that a newer request superseded this one. */
  async #receive(wish, target) {
    const { viewport } = this.#canvas;
    const box = wish.sharp ? viewport.visible : [0, 0, viewport.photo.width, viewport.photo.height];
    const width = wish.sharp ? sharpWidth(viewport) : viewport.baseWidth;
    const query = { until: target.stage, revision: this.#draft.revision, exact: wish.exact, width, tab: TAB };
    if (wish.sharp) query.box = box.join(",");
    const response = await ask(withQuery(`/api/photos/${target.photo}/mask`, query), { cache: "no-store" });
    if (response.status === 204) return null;
    const info = JSON.parse(response.headers.get("X-Darkroom") ?? "{}");
    const bitmap = await createImageBitmap(await response.blob());
    return { mask: prepareMask(bitmap, box), info };
  }

  #fail(error, target) {
    if (error.status === 409) return this.#draft.load().then(() => this.refresh());
    if (error.gone) return connection.ready().then(() => this.refresh());
    if (!this.#wish && target === this.#target)
      this.emit("failed", { message: error.message, empty: Boolean(error.data?.empty) });
    return undefined;
  }

  /** An exact mask instead of a quick one, then the part in sight if the whole is too coarse for it. */
  #improve() {
    if (this.#running || !this.#last) return;
    const { viewport } = this.#canvas;
    const part = viewport.visible.join(",");
    if (this.#last.exact === false) {
      this.#last.exact = null; // asked once
      this.#want({ since: null, exact: 1, sharp: false });
    } else if (
      part !== this.#sharpened &&
      viewport.baseWidth / viewport.photo.width < Math.min(1, viewport.scale) * 0.98
    ) {
      this.#sharpened = part;
      this.#want({ since: null, exact: 1, sharp: true });
    }
  }
}

const sharpWidth = (viewport) => {
  const [x0, , x1] = viewport.visible;
  return Math.ceil(Math.min(1, viewport.scale) * (x1 - x0));
};
