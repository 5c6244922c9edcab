// The clicks of the shown photo, by stage, with undo and redo for each photo. Every change is saved at once.

import { getJson } from "./api.js";
import { Emitter } from "./dom.js";

const NONE = { points: [], negative: [], boxes: [], choose: null, strokes: [] };

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** Emits `change` {since} when there are other clicks, and `error` if they cannot be saved. */
export class Clicks extends Emitter {
  #draft;
  #histories = new Map(); // photo -> {undo: [], redo: []} of {stage, before, after, time}
  #clicks = {};
  #saved = {}; // as the server has them
  photo = null;
  count = 0; // of changes made here

  constructor(draft) {
    super();
    this.#draft = draft;
  }

  load(photo, clicks) {
    this.photo = photo;
    this.#saved = clicks;
    this.#clicks = { ...clicks };
    this.emit("change", {});
  }

  of(stage) {
    return { ...NONE, ...this.#clicks[stage] };
  }

  get #history() {
    if (!this.#histories.has(this.photo)) this.#histories.set(this.photo, { undo: [], redo: [] });
    return this.#histories.get(this.photo);
  }

  get canUndo() {
    return this.photo !== null && this.#history.undo.length > 0;
  }

  get canRedo() {
    return this.photo !== null && this.#history.redo.length > 0;
  }

  /** Replaces some of a stage's clicks: `change("car", {points: [...]}, since)`. */
  change(stage, part, since = null) {
    const before = this.of(stage);
    const after = { ...before, ...part };
    if (same(before, after)) return;
    this.#history.undo.push({ stage, before, after, time: performance.now() });
    this.#history.redo = [];
    this.#put(stage, after, since);
  }

  undo() {
    const entry = this.#history.undo.pop();
    if (!entry) return;
    this.#history.redo.push(entry);
    this.#put(entry.stage, entry.before, performance.now());
  }

  redo() {
    const entry = this.#history.redo.pop();
    if (!entry) return;
    this.#history.undo.push(entry);
    this.#put(entry.stage, entry.after, performance.now());
  }

  /** A double click meant something else: takes its two clicks back as if they had never been. */
  takeBackDoubleClick() {
    const recent = this.#history.undo.slice(-2).filter(({ time }) => performance.now() - time < 1000);
    if (!recent.length) return;
    this.#history.undo.splice(-recent.length);
    this.#put(recent[0].stage, recent[0].before, null);
  }

  #put(stage, clicks, since) {
    this.count += 1;
    this.#clicks[stage] = clicks;
    this.#save(this.photo, stage, clicks);
    this.emit("change", { since });
  }

  async #save(photo, stage, clicks) {
    const known = this.#saved;
    const mine = () => this.#isUntouched(photo, stage, known);
    try {
      await this.#draft.post(`/api/photos/${photo}/clicks`, { stage, ...clicks }, mine);
      known[stage] = clicks;
    } catch (error) {
      if (error.status !== 409) this.emit("error", error);
    }
  }

  /** After a conflict: whether the other tab left the clicks of this photo and stage alone. */
  async #isUntouched(photo, stage, known) {
    const { clicks } = await getJson(`/api/photos/${photo}`);
    return same({ ...NONE, ...clicks[stage] }, { ...NONE, ...known[stage] });
  }
}
