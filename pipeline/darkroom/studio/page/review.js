// Review of finished runs: one picture beside its photo, approved or rejected with one key.

import { getJson, postJson } from "./api.js";
import { byId, copyable, counted, el, icon, toast } from "./dom.js";
import { expectThumbnail, loadThumbnail, makeRow } from "./photos.js";
import { RunList } from "./runlist.js";
import { VirtualList } from "./virtual.js";
import { TwinZoom } from "./zoom.js";

const LARGE = 4096; // px, the widest picture that the server sends

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
  #decided = []; // in this run and tab: {number, before}, the last one is undone first
  #queue = Promise.resolve();

  constructor({ draft, jobs, openPhoto }) {
    this.draft = draft;
    this.jobs = jobs;
    this.runs = new RunList();
    this.zoom = new TwinZoom([byId("review-photo"), byId("review-result")], () => this.#loadLarge());
    this.list = new VirtualList(byId("review-list"), {
      name: "Pictures of the run",
      make: makeRow,
      show: (row, index) => this.#showRow(row, this.#shown[index]),
      rest: (row, index) => this.#shown[index] && loadThumbnail(row, this.#path(this.#shown[index], "thumbnail")),
    });
    this.list.on("select", ({ index }) => this.#select(index));
    this.runs.on("select", ({ name }) => this.open(name));
    byId("review-filter").addEventListener("change", () => this.#filter());
    for (const decision of ["approved", "rejected"])
      byId(`decide-${decision}`).addEventListener("click", () => this.decide(decision));
    byId("decide-undo").addEventListener("click", () => this.undo());
    byId("open-in-edit").addEventListener("click", () => this.#current && openPhoto(this.#current.photo));
    jobs.on("change", () => this.#run && this.#tellRun());
  }

  /** Lists the runs and opens one, by default the newest. */
  async open(name = null) {
    try {
      const wanted = await this.runs.load(name ?? this.#run?.name ?? null);
      if (wanted) await this.#open(wanted);
    } catch (error) {
      toast(error.message, "error");
    }
  }

  async #open(name) {
    const isOther = this.#run?.name !== name;
    this.#run = await getJson(`/api/runs/${encodeURIComponent(name)}`);
    byId("review-report").href = `/api/runs/${encodeURIComponent(name)}/files/index.html`;
    if (isOther) this.#decided = [];
    this.#current = this.#run.pictures.find(({ number }) => !isOther && number === this.#current?.number) ?? null;
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
    this.zoom.fit();
    this.list.select(this.#current ? index : -1);
    this.#show();
  }

  step(by) {
    const index = Math.min(Math.max(this.list.selected + by, 0), this.#shown.length - 1);
    if (index !== this.list.selected) this.#select(index);
  }

  /** Approves or rejects the picture, then goes on. */
  async decide(decision) {
    const picture = this.#current;
    if (!picture || picture.status !== "done") return;
    this.#decided.push({ number: picture.number, before: picture.decision });
    const sent = this.#set(picture, decision);
    this.step(1);
    await sent;
  }

  /** Takes the last decision back, wherever it was; if none was made here, that on the shown picture. */
  async undo() {
    const last = this.#decided.pop();
    const picture = last ? this.#run.pictures.find(({ number }) => number === last.number) : this.#current;
    if (!picture) return;
    if (!this.#shown.includes(picture)) {
      byId("review-filter").value = "all";
      this.#filter();
    }
    this.#select(this.#shown.indexOf(picture));
    if (last || picture.decision) await this.#set(picture, last?.before ?? null);
  }

  async #set(picture, decision) {
    const before = picture.decision;
    picture.decision = decision;
    this.list.refresh();
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
    byId("decide-undo").disabled = !picture.decision && !this.#decided.length;
  }

  /** The shown pictures in full size, for a closer look. */
  #loadLarge() {
    const images = [byId("review-photo"), byId("review-result")].filter((image) => image.src && !image.hidden);
    for (const image of images) {
      const src = image.getAttribute("src").replace(/width=\d+/, `width=${LARGE}`);
      if (image.getAttribute("src") !== src) image.src = src;
    }
    return Promise.all(images.map((image) => image.decode().catch(() => {})));
  }

  #setImage(id, picture, what, exists) {
    const image = byId(id);
    image.hidden = !exists;
    const width = Math.min(
      2048,
      Math.ceil((byId("review-pictures").clientWidth * window.devicePixelRatio) / 2 / 256) * 256 || 1024,
    );
    const src = `${this.#path(picture, what)}?width=${width}`;
    const isLarge = image.getAttribute("src") === src.replace(/width=\d+/, `width=${LARGE}`);
    if (!exists || isLarge || image.getAttribute("src") === src) return;
    image.classList.add("loading");
    image.onload = () => image.classList.remove("loading");
    image.src = src;
  }

  #tellRun() {
    const { pictures, approved, rejected, command } = this.#run;
    byId("review-count").textContent =
      `${counted(pictures.length, "picture")}, ${approved ?? count(pictures, "approved")} approved, ` +
      `${rejected ?? count(pictures, "rejected")} rejected`;
    const again = byId("review-command");
    if (again.dataset.command !== (command ?? "")) {
      again.dataset.command = command ?? "";
      again.replaceChildren(...(command ? [this.#againButton(), copyable(command)] : []));
    }
    for (const button of again.querySelectorAll("[data-test=again]")) button.disabled = this.jobs.isRunning;
  }

  #againButton() {
    const onclick = () => this.#runAgain();
    const title = "Runs the recipe as it is now on the photos with a rejected picture";
    return el("button", { type: "button", "data-test": "again", title, onclick }, "Do the rejected again");
  }

  /** Runs the recipe as it is now on the photos that are rejected here. */
  async #runAgain() {
    try {
      await this.#queue;
      const { job } = await this.draft.post("/api/run", { rejected_of: this.#run.name });
      this.jobs.set(job);
      toast("The rejected photos are done again, with the recipe as it is now.");
    } catch (error) {
      toast(error.message, "error");
    }
  }
}

const count = (pictures, decision) => pictures.filter((picture) => picture.decision === decision).length;

function markOf(picture) {
  if (picture.decision) return [picture.decision === "approved" ? "check" : "close", picture.decision];
  if (picture.status !== "done") return ["minus", picture.status];
  return picture.flags.length ? ["flag", "flagged"] : ["ring", "undecided"];
}
