// Small helpers for building the page. Text from the server is set as text, never parsed as HTML.

/** An element with properties, listeners (`onclick`), attributes (`data-test`, `aria-label`) and children. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

function setAttribute(element, name, value) {
  if (value === null || value === undefined) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name in element) element[name] = value;
  else element.setAttribute(name, value);
}

/** A text of ours as nodes: what stands between backticks is code. */
export function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));
}

export const byId = (id) => document.getElementById(id);

const SHAPES = {
  // 16 x 16 px, lines of 1.5 px
  undo: "M6 3 3 6l3 3M3 6h6a4 4 0 0 1 0 8H6",
  redo: "M10 3l3 3-3 3M13 6H7a4 4 0 0 0 0 8h3",
  close: "M4 4l8 8M12 4l-8 8",
  up: "M8 13V3M4 7l4-4 4 4",
  down: "M8 3v10M4 9l4 4 4-4",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  fit: "M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3",
  full: "M9 7l4-4M9.5 3H13v3.5M7 9l-4 4M3 9.5V13h3.5",
  reset: "M4 4v3.5h3.5M4.3 7.2A4.5 4.5 0 1 1 4 10",
  info: "M8 7.5V11M8 5v.2M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2z",
  chevron: "M6 4l4 4-4 4",
  check: "M3 8.5l3.5 3.5L13 5",
  flag: "M4 14V3h8l-2 3 2 3H4",
  ring: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  half: "M8 3.5a4.5 4.5 0 1 0 0 9zM8 3.5a4.5 4.5 0 0 1 0 9",
  brush: "M13 3L7.5 8.5M6 8.5c1 0 2 1 2 2 0 2-2 3-5 3 1-1 1-1.5 1-3 0-1 1-2 2-2z",
};

/** A line icon; it says nothing to a screen reader, so its button needs a name. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}

/** A button that shows an icon alone; `label` is its name and tooltip. */
export function iconButton(name, label, onclick, more = {}) {
  return el(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...more },
    icon(name),
  );
}

/** Puts the icons into the buttons of index.html that ask for one. */
export function fillIcons() {
  for (const element of document.querySelectorAll("[data-icon]")) element.prepend(icon(element.dataset.icon));
}

/** Calls `action` once things have been quiet for `wait` ms. `.flush()` calls it now if it is due. */
export function debounce(action, wait) {
  let timer = null;
  const debounced = () => {
    clearTimeout(timer);
    timer = setTimeout(debounced.flush, wait);
  };
  debounced.flush = () => {
    if (timer === null) return undefined;
    clearTimeout(timer);
    timer = null;
    return action();
  };
  debounced.cancel = () => {
    clearTimeout(timer);
    timer = null;
  };
  return debounced;
}

/** Something that others listen to. */
export class Emitter {
  #listeners = new Map();

  on(type, listener) {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
    return this;
  }

  emit(type, detail) {
    for (const listener of this.#listeners.get(type) ?? []) listener(detail);
  }
}

/** Shows a line at the bottom of the page for some seconds. */
export function toast(text, kind = "info") {
  const line = el("div", { class: `toast ${kind}`, role: kind === "error" ? "alert" : "status" }, text);
  byId("toasts").append(line);
  setTimeout(() => line.remove(), kind === "error" ? 8000 : 4000);
}

/** A text to copy, with a button that copies it. */
export function copyable(text, label = "Copy the command") {
  const button = el("button", { type: "button", class: "small", "aria-label": label, "data-test": "copy" }, "Copy");
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text)) ? "Copied" : "Select and copy it by hand";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  return el("div", { class: "copyable" }, el("code", {}, text), button);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // no permission, or not a secure page
  }
}

/** 75 as `1 min 15 s`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** `1 picture`, `3 pictures`. */
export const counted = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

const PATIENCE = 4000; // ms that a question stays

/** The first click on a button puts a question in red in its place; a second one, while it stands there, calls `action`. */
export function askTwice(button, question, action) {
  const content = [...button.childNodes];
  let timer = null;
  const disarm = () => {
    clearTimeout(timer);
    button.classList.remove("armed");
    button.replaceChildren(...content);
  };
  button.addEventListener("blur", disarm);
  button.addEventListener("click", () => {
    const isArmed = button.classList.contains("armed");
    if (isArmed) disarm();
    if (isArmed || !question()) return action();
    button.classList.add("armed");
    button.replaceChildren(question());
    timer = setTimeout(disarm, PATIENCE);
    return undefined;
  });
}

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

const OWN_KEYS = /^(Arrow|Page|Home|End| $|Enter)/; // what sliders, check boxes and lists use themselves

/** Whether a key belongs to the element that has the focus, because one types, slides or chooses there. */
export function isForField(key, target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement && /^(range|checkbox|color)$/.test(target.type)) return OWN_KEYS.test(key);
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}
