// Review of finished runs: one picture beside its photo, approved or rejected with one key.

import { getJson, postJson } from "./api.js";
import { byId, copyable, el, icon, toast } from "./dom.js";
import { expectThumbnail, loadThumbnail, makeRow } from "./photos.js";
import { VirtualList } from "./virtual.js";

const FILTERS = {
  all: () => true,
  undecided: (picture) => !picture.decision,
  flagged: (picture) => picture.flags.length > 0 || picture.status !== "done",
  approved: (picture) => picture.decision === "approved",
  rejected: (picture) => picture.decision === "rejected",
};

export class Review {
  #run = null; // as GET /api/runs/NAME
  #shown = []; // the pictures that the filter lets through
  #current = null;
  #queue = Promise.resolve();

  constructor() {
    this.list = new VirtualList(byId("review-list"), {
      name: "Pictures of the run",
      make: makeRow,
      show: (row, index) => this.#showRow(row, this.#shown[index]),
      rest: (row, index) => this.#shown[index] && loadThumbnail(row, this.#path(this.#shown[index], "thumbnail")),
    });
    this.list.on("select", ({ index }) => this.#select(index));
    byId("review-run").addEventListener("change", (event) => this.#open(event.target.value));
    byId("review-filter").addEventListener("change", () => this.#filter());
    for (const decision of ["approved", "rejected", null])
      byId(`decide-${decision ?? "undo"}`).addEventListener("click", () => this.decide(decision));
  }

  /** Lists the runs and opens one, by default the newest. */
  async open(name = null) {
    try {
      const { runs } = await getJson("/api/runs");
      byId("review-empty").hidden = runs.length > 0;
      byId("review-body").hidden = runs.length === 0;
      const select = byId("review-run");
      select.replaceChildren(
        ...runs.map((run) =>
          el(
            "option",
            { value: run.name },
            `${run.name} (${run.status}, ${run.pictures} pictures, ${run.flagged} flagged)`,
          ),
        ),
      );
      const wanted = name ?? this.#run?.name ?? runs[0]?.name;
      if (!wanted) return;
      select.value = wanted;
      await this.#open(wanted);
    } catch (error) {
      toast(error.message, "error");
    }
  }

  async #open(name) {
    const isOther = this.#run?.name !== name;
    this.#run = await getJson(`/api/runs/${encodeURIComponent(name)}`);
    byId("review-report").href = `/api/runs/${encodeURIComponent(name)}/files/index.html`;
    if (isOther) this.#current = null;
    this.#filter();
  }

  #path(picture, what) {
    return `/api/runs/${encodeURIComponent(this.#run.name)}/pictures/${picture.number}/${what}`;
  }

  #filter() {
    this.#shown = this.#run.pictures.filter(FILTERS[byId("review-filter").value]);
    this.list.setTotal(this.#shown.length);
    const index = this.#shown.indexOf(this.#current);
    this.#select(Math.max(0, index));
  }

  #select(index) {
    this.#current = this.#shown[index] ?? null;
    this.list.select(this.#current ? index : -1);
    this.#show();
  }

  step(by) {
    const index = Math.min(Math.max(this.list.selected + by, 0), this.#shown.length - 1);
    if (index !== this.list.selected) this.#select(index);
  }

  /** Approves or rejects the picture, then goes on; null takes the decision back and stays. */
  async decide(decision) {
    const picture = this.#current;
    if (!picture || picture.status !== "done") return;
    const before = picture.decision;
    picture.decision = decision;
    this.list.refresh();
    if (decision && this.#current === picture) this.step(1);
    this.#show();
    try {
      await this.#send(this.#run, { number: picture.number, decision });
    } catch (error) {
      picture.decision = before;
      this.list.refresh();
      toast(error.message, "error");
    }
    this.#show();
  }

  /** Decisions are sent one after the other, so that the counts that come last are the newest. */
  #send(run, decision) {
    const sent = this.#queue.then(() => postJson(`/api/runs/${encodeURIComponent(run.name)}/review`, decision));
    this.#queue = sent.catch(() => {});
    return sent.then((counts) => Object.assign(run, counts));
  }

  #showRow(row, picture) {
    if (!picture) return;
    row.name.textContent = picture.photo.split("/").at(-1);
    const [shape, words] = markOf(picture);
    row.state.replaceChildren(icon(shape));
    row.element.dataset.state =
      picture.decision ?? (picture.status !== "done" ? "failed" : picture.flags.length ? "flagged" : "");
    row.element.title = `${picture.photo}, seed ${picture.seed}: ${words}`;
    row.element.setAttribute("aria-label", row.element.title);
    expectThumbnail(row, this.#path(picture, "thumbnail"));
  }

  #show() {
    const picture = this.#current;
    byId("review-pictures").hidden = !picture;
    byId("review-none").hidden = Boolean(picture);
    this.#tellRun();
    if (!picture) return;
    const isDone = picture.status === "done";
    this.#setImage("review-result", picture, "result", isDone);
    this.#setImage("review-photo", picture, "photo", true);
    byId("review-text").textContent = [
      picture.photo,
      picture.seed === null ? null : `seed ${picture.seed}`,
      picture.prompt,
    ]
      .filter(Boolean)
      .join(" · ");
    byId("review-flags").replaceChildren(
      ...[...(picture.reason ? [picture.reason] : []), ...picture.flags].map((flag) =>
        el("li", {}, icon("flag"), flag),
      ),
    );
    for (const decision of ["approved", "rejected"]) {
      byId(`decide-${decision}`).setAttribute("aria-pressed", String(picture.decision === decision));
      byId(`decide-${decision}`).disabled = !isDone;
    }
    byId("decide-undo").disabled = !picture.decision;
  }

  #setImage(id, picture, what, exists) {
    const image = byId(id);
    image.hidden = !exists;
    const width = Math.min(
      2048,
      Math.ceil((byId("review-pictures").clientWidth * window.devicePixelRatio) / 2 / 256) * 256 || 1024,
    );
    const src = `${this.#path(picture, what)}?width=${width}`;
    if (!exists || image.getAttribute("src") === src) return;
    image.classList.add("loading");
    image.onload = () => image.classList.remove("loading");
    image.src = src;
  }

  #tellRun() {
    const { pictures, approved, rejected, command } = this.#run;
    byId("review-count").textContent =
      `${pictures.length} pictures, ${approved ?? count(pictures, "approved")} approved, ` +
      `${rejected ?? count(pictures, "rejected")} rejected`;
    const again = byId("review-command");
    if (again.dataset.command === (command ?? "")) return;
    again.dataset.command = command ?? "";
    again.replaceChildren(...(command ? [el("span", {}, "Do the rejected ones again:"), copyable(command)] : []));
  }
}

const count = (pictures, decision) => pictures.filter((picture) => picture.decision === decision).length;

function markOf(picture) {
  if (picture.decision) return [picture.decision === "approved" ? "check" : "close", picture.decision];
  if (picture.status !== "done") return ["minus", picture.status];
  return picture.flags.length ? ["flag", "flagged"] : ["ring", "undecided"];
}
