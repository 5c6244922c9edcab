// A long list of which only the rows in sight exist.

import { Emitter, debounce, el } from "./dom.js";

/** A list box of `total` rows. Emits `select` {index} when the user chooses one. Its container scrolls. */
export class VirtualList extends Emitter {
  total = 0;
  selected = -1;
  #rows = new Map(); // index -> row
  #free = [];

  /**
   * `make()` builds an empty row and returns {element, ...}; `show(row, index)` fills it; `rest(row, index)`, if given, loads
   * what is slow, once scrolling rests.
   */
  constructor(container, { name, make, show, rest = () => {} }) {
    super();
    this.container = container;
    this.make = make;
    this.show = show;
    this.restRow = rest;
    this.inner = el("div", { class: "virtual", role: "listbox", tabIndex: 0, "aria-label": name });
    container.append(this.inner);
    this.#restSoon = debounce(() => this.#rest(), 70);
    container.addEventListener("scroll", () => this.#layOut(), { passive: true });
    this.inner.addEventListener("click", (event) => this.#clicked(event));
    this.inner.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#measure()).observe(container);
  }

  #restSoon;
  rowHeight = 0;

  /** The height of a row follows from the style sheet. */
  #measure() {
    const probe = this.make();
    probe.element.classList.add("row");
    this.inner.append(probe.element);
    this.rowHeight = probe.element.offsetHeight;
    probe.element.remove();
    this.#clear();
    this.setTotal(this.total);
    this.reveal();
  }

  setTotal(total) {
    this.total = total;
    this.inner.style.height = `${total * this.rowHeight}px`;
    for (const [index, row] of this.#rows) if (index >= total) this.#release(index, row);
    this.#layOut();
  }

  /** Fills the rows in sight again, or one of them. */
  refresh(only = null) {
    for (const [index, row] of this.#rows) if (only === null || index === only) this.#fill(index, row);
    this.#restSoon();
  }

  /** Forgets all rows, for another list. */
  #clear() {
    for (const [index, row] of this.#rows) this.#release(index, row);
  }

  select(index) {
    this.selected = index;
    this.refresh();
    this.reveal();
  }

  reveal() {
    if (this.selected < 0 || !this.rowHeight) return;
    const top = this.selected * this.rowHeight;
    const { scrollTop, clientHeight } = this.container;
    if (top < scrollTop + this.rowHeight / 2) this.container.scrollTop = top - this.rowHeight / 2;
    else if (top + this.rowHeight * 1.5 > scrollTop + clientHeight)
      this.container.scrollTop = top + this.rowHeight * 1.5 - clientHeight;
    this.#layOut();
  }

  #layOut() {
    if (!this.rowHeight) return;
    const first = Math.max(0, Math.floor(this.container.scrollTop / this.rowHeight) - 2);
    const last = Math.min(
      this.total - 1,
      Math.ceil((this.container.scrollTop + this.container.clientHeight) / this.rowHeight) + 2,
    );
    for (const [index, row] of this.#rows) if (index < first || index > last) this.#release(index, row);
    for (let index = first; index <= last; index += 1) if (!this.#rows.has(index)) this.#place(index);
    this.#restSoon();
  }

  #place(index) {
    const row = this.#free.pop() ?? this.make();
    row.element.classList.add("row");
    row.element.style.transform = `translateY(${index * this.rowHeight}px)`;
    this.#rows.set(index, row);
    this.#fill(index, row);
    this.inner.append(row.element);
  }

  #fill(index, row) {
    const { element } = row;
    element.id = `${this.container.id}-row-${index}`;
    element.dataset.index = index;
    element.setAttribute("role", "option");
    element.setAttribute("aria-selected", String(index === this.selected));
    element.setAttribute("aria-posinset", index + 1);
    element.setAttribute("aria-setsize", this.total);
    if (index === this.selected) this.inner.setAttribute("aria-activedescendant", element.id);
    this.show(row, index);
  }

  #release(index, row) {
    this.#rows.delete(index);
    row.element.remove();
    this.#free.push(row);
  }

  #rest() {
    for (const [index, row] of this.#rows) this.restRow(row, index);
  }

  #clicked(event) {
    const row = event.target.closest("[data-index]");
    if (row) this.emit("select", { index: Number(row.dataset.index) });
  }

  #key(event) {
    const page = Math.max(1, Math.floor(this.container.clientHeight / this.rowHeight) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const index = Math.min(Math.max(this.selected + steps[event.key], 0), this.total - 1);
    if (index >= 0) this.emit("select", { index });
  }
}
