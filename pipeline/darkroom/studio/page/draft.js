// The draft: stages and parameters as the server keeps them. All writes go through one queue, with the newest revision.

import { connection, getJson, postJson } from "./api.js";
import { Emitter } from "./dom.js";

/**
 * Emits `change` when the draft is another, `others` when another tab wrote in between, `conflict` when a change is lost
 * because of that, and `refused` {change, error} when the server refuses one.
 */
export class Draft extends Emitter {
  state = null;
  ops = {};
  count = 0; // of changes made here
  #queue = Promise.resolve();
  #pending = new Map(); // changes of parameters that have not been sent: "stage/parameter" -> change
  #writing = 0;
  #timer = null;
  #traffic = 0; // writes that began or ended

  get revision() {
    return this.state.revision;
  }

  get stages() {
    return this.state.stages;
  }

  stage(name) {
    return this.stages.find((stage) => stage.name === name);
  }

  op(stage) {
    return this.ops[stage.op];
  }

  /** Whether the mask of a stage is painted on the page: a `mask_file` that names no mask. */
  isBrush(stage) {
    const { file, folder, alpha } = stage.parameters;
    return this.op(stage).brush && !file && !folder && !alpha;
  }

  /** Whether a stage is made on the canvas, by clicks or by the brush. */
  isMarked(stage) {
    return this.op(stage).clicks || this.isBrush(stage);
  }

  async load() {
    const before = this.#traffic;
    const state = await getJson("/api/studio", { cache: "no-store" });
    if (before !== this.#traffic) return this.load(); // it may be older than what has been written in the meantime
    return this.#adopt(state);
  }

  #adopt(state) {
    this.ops = state.ops ?? this.ops;
    this.state = state;
    this.emit("change");
  }

  /** A revision is there: loads the draft unless it is our own. Returns whether it was news. */
  async heard(revision) {
    await this.settled();
    const isNews = revision > this.revision;
    if (isNews) await this.load();
    return isNews;
  }

  /** Waits until everything that was changed here has been saved. */
  async settled() {
    this.#sendPending();
    await this.#queue;
  }

  /** Waits until what has been sent has been saved; while a slider moves, there is always more to send. */
  written() {
    return this.#queue;
  }

  get isWriting() {
    return this.#writing > 0 || this.#pending.size > 0;
  }

  /** Sets a parameter within 60 ms, or when the server has answered; only the newest value is sent. */
  set(stage, parameter, value) {
    this.count += 1;
    this.#pending.set(`${stage}/${parameter}`, { do: "set", stage, parameter, value });
    this.#sendSoon();
  }

  #sendSoon() {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      if (this.#writing > 0) this.#sendSoon();
      else this.#sendPending();
    }, 60);
  }

  reset(stage, parameter) {
    this.#pending.delete(`${stage}/${parameter}`);
    return this.change({ do: "reset", stage, parameter });
  }

  #sendPending() {
    const changes = [...this.#pending.values()];
    this.#pending.clear();
    return Promise.all(changes.map((change) => this.change(change, true)));
  }

  /** Changes the draft. Returns whether it is changed; if the server refuses, `refused` is emitted. */
  async change(change, quiet = false) {
    if (!quiet) {
      this.count += 1;
      this.#sendPending();
    }
    try {
      await this.post("/api/draft", { change }, (state) => state.stages.some(({ name }) => name === change.stage));
      return true;
    } catch (error) {
      if (!error.gone && error.status !== 409) this.emit("refused", { change, error });
      return false;
    }
  }

  /** Posts something that carries the revision, after all earlier writes. See `#write` for conflicts. */
  post(path, body, isStillRight = () => false) {
    this.#writing += 1;
    const written = this.#queue.then(() => this.#write(path, body, isStillRight));
    this.#queue = written.then(
      () => (this.#writing -= 1),
      () => (this.#writing -= 1),
    );
    return written;
  }

  /** If another tab wrote first, or the server was gone: loads the state, writes again if that makes sense, else throws. */
  async #write(path, body, isStillRight, attempts = 5) {
    const { revision } = this;
    try {
      this.#traffic += 1;
      const answer = await postJson(path, { ...body, revision }).finally(() => (this.#traffic += 1));
      if (answer.stages) this.#adopt(answer);
      else if (answer.revision) this.#note(answer);
      return answer;
    } catch (error) {
      if (error.status !== 409 && !error.gone) throw error;
      await this.#loadAgain();
      this.emit("others");
      const mayRepeat = this.revision === revision || (await isStillRight(this.state));
      if (mayRepeat && attempts > 1) return this.#write(path, body, isStillRight, attempts - 1);
      this.emit("conflict", error);
      throw error;
    }
  }

  /** Takes over what every answer tells: the revision, and what is wrong with the recipe now. */
  #note({ revision, problems = this.state.problems, warnings = this.state.warnings }) {
    const old = this.state;
    this.state = { ...old, revision, problems, warnings };
    if (JSON.stringify([old.problems, old.warnings]) !== JSON.stringify([problems, warnings])) this.emit("change");
  }

  async #loadAgain() {
    for (;;) {
      await connection.ready();
      try {
        return await this.load();
      } catch (error) {
        if (!error.gone) throw error;
      }
    }
  }

  /** The problems or warnings of one stage: lines with the parameter that they name, or null. */
  linesOf(kind, stage) {
    const prefix = `stages.${stage}`;
    const lines = this.state[kind].filter((line) => line.startsWith(prefix)).map((line) => line.slice(prefix.length));
    return lines
      .filter((rest) => /^[.:[ ]/.test(rest))
      .map((rest) => {
        const match = rest.match(/^\.(\w+)[^:]*:\s*(.*)$/s);
        return match ? { parameter: match[1], text: match[2] } : { parameter: null, text: rest.replace(/^[:\s]+/, "") };
      });
  }
}
