// The photos on the left: names, thumbnails and states; only what is in sight is loaded.

import { connection, getJson } from "./api.js";
import { Emitter, byId, el, icon } from "./dom.js";
import { VirtualList } from "./virtual.js";

const PAGE = 500;

// A state is told by a shape and by words, not by its colour alone.
const STATES = {
  untouched: ["ring", "untouched"],
  masked: ["half", "has a mask"],
  painted: ["brush", "painted"],
  flagged: ["flag", "flagged by a gate"],
  failed: ["close", "failed"],
  done: ["check", "done"],
};

/** Emits `select` {index} when the user chooses a photo. */
export class Photos extends Emitter {
  total = 0;
  #pages = new Map(); // number -> array of photos, or null while it loads

  constructor() {
    super();
    this.list = new VirtualList(byId("photos"), {
      name: "Photos",
      make: makeRow,
      show: (row, index) => this.#show(row, index),
      rest: (row, index) => loadThumbnail(row, `/api/photos/${index}/thumbnail`),
    });
    this.list.on("select", (event) => this.emit("select", event));
  }

  async load() {
    this.#pages.clear();
    await this.#loadPage(0);
  }

  get current() {
    return this.list.selected;
  }

  get(index) {
    const page = this.#pages.get(Math.floor(index / PAGE));
    if (page === undefined) this.#loadPage(Math.floor(index / PAGE));
    return page?.[index % PAGE] ?? null;
  }

  async #loadPage(number) {
    this.#pages.set(number, null);
    try {
      const { total, photos } = await getJson(`/api/photos?start=${number * PAGE}&count=${PAGE}`);
      this.#pages.set(number, photos);
      this.#setTotal(total);
    } catch {
      this.#pages.delete(number);
      connection.ready().then(() => this.list.refresh());
    }
  }

  /** The index of the photo of a name, or null. A run of one photo knows the last part of its name alone. */
  async find(name) {
    const listed = [];
    do {
      const { photos } = await getJson(`/api/photos?start=${listed.length}&count=${PAGE}`);
      if (!photos.length) break;
      listed.push(...photos);
    } while (listed.length < this.total);
    const exact = listed.find((photo) => photo.name === name);
    return (exact ?? listed.find((photo) => photo.name.endsWith(`/${name}`)))?.index ?? null;
  }

  #setTotal(total) {
    this.total = total;
    if (total !== this.list.total) this.list.setTotal(total);
    this.#count();
    this.list.refresh();
  }

  #count() {
    byId("photo-count").textContent = this.total
      ? `${this.current + 1} of ${this.total.toLocaleString("en")}`
      : "No photos";
  }

  select(index) {
    this.list.select(index);
    this.#count();
  }

  setState(index, state) {
    const photo = this.#pages.get(Math.floor(index / PAGE))?.[index % PAGE];
    if (!photo || photo.state === state) return;
    photo.state = state;
    this.list.refresh(index);
  }

  /** The thumbnail of a photo, if it is loaded. */
  thumbnail(index) {
    const image = byId("photos").querySelector(`[data-index="${index}"] img`);
    return image?.complete && image.naturalWidth > 0 && image.dataset.path.includes(`/photos/${index}/`) ? image : null;
  }

  #show(row, index) {
    const photo = this.get(index);
    const [shape, words] = STATES[photo?.state ?? "untouched"] ?? ["ring", photo.state];
    const name = photo?.name ?? "…";
    row.name.textContent = name.split("/").at(-1);
    row.element.title = photo ? `${name}: ${words}` : "";
    row.element.setAttribute("aria-label", row.element.title);
    row.element.dataset.state = photo?.state ?? "";
    row.state.replaceChildren(icon(shape));
    expectThumbnail(row, `/api/photos/${index}/thumbnail`);
  }
}

/** A row of a thumbnail, a mark and a name. */
export function makeRow() {
  const image = el("img", { alt: "", draggable: false });
  const state = el("span", { class: "state" });
  const name = el("span", { class: "name" });
  image.addEventListener("error", () => image.classList.add("broken"));
  image.addEventListener("load", () => image.classList.remove("broken", "loading"));
  return {
    element: el("div", {}, el("div", { class: "thumb" }, image), el("div", { class: "caption" }, state, name)),
    image,
    state,
    name,
  };
}

/** The row shows another picture from now on: the old one disappears at once. */
export function expectThumbnail(row, path) {
  if (row.image.dataset.path === path) return;
  row.image.removeAttribute("src");
  row.image.dataset.path = path;
  row.image.classList.remove("broken");
  row.image.classList.add("loading");
}

export function loadThumbnail(row, path) {
  if (row.image.dataset.path === path && !row.image.hasAttribute("src")) row.image.src = path;
}
