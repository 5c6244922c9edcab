// The menu of finished runs: those of all photos, and the test paintings of single ones if they are wanted.

import { getJson } from "./api.js";
import { Emitter, byId, counted, el } from "./dom.js";

/** Emits `select` {name} when the user chooses a run. */
export class RunList extends Emitter {
  #runs = [];
  #wanted = null; // is listed in any case

  constructor() {
    super();
    byId("review-run").addEventListener("change", (event) => this.emit("select", { name: event.target.value }));
    byId("show-tests").addEventListener("change", () => this.#fill());
  }

  /** Reads the list. Returns the name of the run to open: the wanted one, else the newest; null if there is none. */
  async load(wanted) {
    this.#runs = (await getJson("/api/runs")).runs;
    this.#wanted = this.#runs.some(({ name }) => name === wanted) ? wanted : null;
    this.#wanted ??= this.#listed()[0]?.name ?? null;
    this.#fill();
    return this.#wanted;
  }

  #listed() {
    if (byId("show-tests").checked) return this.#runs;
    const runs = this.#runs.filter(({ name, photos }) => photos > 1 || name === this.#wanted);
    return runs.length ? runs : this.#runs;
  }

  #fill() {
    byId("review-empty").hidden = this.#runs.length > 0;
    byId("review-body").hidden = this.#runs.length === 0;
    byId("review-run").replaceChildren(...this.#listed().map((run) => el("option", { value: run.name }, wordsOf(run))));
    byId("review-run").value = this.#wanted ?? "";
  }
}

const wordsOf = ({ name, status, pictures, flagged }) =>
  [`${name}: ${counted(pictures, "picture")}`, flagged ? `${flagged} flagged` : null, status === "done" ? null : status]
    .filter(Boolean)
    .join(", ");
