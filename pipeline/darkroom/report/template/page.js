// The page of a run or a sweep. All text goes through textContent, because prompts and names come from strangers.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const pictures = data.pictures;
const $ = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const { attributes = {}, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child != null));
  return element;
}

// ---- A picture -----------------------------------------------------------------------------------------------------

const url = (path) => "./" + path.split("/").map(encodeURIComponent).join("/");
const untouched = (picture) => picture.status === "done" && picture.result === picture.source;
const kept = (picture) => picture.unchanged && picture.status === "done" && !data.masks; // a run that makes masks only leaves every photo as it is
const statusOf = (picture) => (kept(picture) ? "unchanged" : picture.status);
const axisValue = (picture, axis) => data.runs[picture.run].values?.[axis.name];
const counted = (number) => number.toLocaleString("en");
const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

function distinct(value) {
  const values = new Map();
  for (const picture of pictures) {
    const one = value(picture);
    if (one !== undefined) values.set(one, (values.get(one) ?? 0) + 1);
  }
  return values;
}

const briefly = (label) => {
  const brief = label.split(".").at(-1); // such as `seed`, unless two axes end in it
  return data.axes.filter((axis) => axis.label.endsWith("." + brief)).length > 1 ? label : brief;
};
const swept = (key) => data.axes.some((axis) => axis.name.endsWith("." + key));
const fields = [
  { label: "Photo", value: (picture) => picture.photo },
  ...data.axes.map((axis) => ({ label: axis.label, value: (picture) => axisValue(picture, axis), name: briefly(axis.label) })),
  ...(swept("prompt") ? [] : [{ label: "Prompt", value: (picture) => picture.prompt }]),
  ...(swept("seed") ? [] : [{ label: "Seed", value: (picture) => picture.seed, name: "seed" }]),
  { label: "Status", value: statusOf, quiet: true },
  { label: "Gates", value: (picture) => (picture.flags ? "flagged" : "not flagged"), quiet: true },
].map((field) => ({ ...field, values: distinct(field.value) }));
const varying = fields.filter((field) => field.values.size > 1);

/** What distinguishes a picture from the others: one line per text, then one line of named short values. */
function caption(picture) {
  const several = picture.variant?.includes(","); // several repaints have variants: the seed of the last does not identify the picture
  const distinguishing = varying.filter(
    (field) => !field.quiet && field.value(picture) !== undefined && !(several && field.label === "Seed"),
  );
  const texts = [];
  const named = [];
  for (const field of distinguishing) {
    const value = shown(field.value(picture));
    if (field.name && value.length < 16) named.push(`${field.name} ${value}`);
    else texts.push(value);
  }
  if (several) named.push(picture.variant);
  const lines = [...texts, named.join(" · ")].filter(Boolean);
  return lines.length ? lines : [picture.seed === undefined ? picture.photo : `seed ${picture.seed}`];
}

function words(picture) {
  const axes = data.axes.map((axis) => axisValue(picture, axis));
  const item = Object.values(picture.item ?? {}).map(shown);
  const seed = picture.seed === undefined ? "" : `seed ${picture.seed}`;
  const notes = [picture.error, ...(picture.flags ?? []), ...(picture.warnings ?? [])];
  const texts = [picture.photo, picture.prompt, picture.negative_prompt, picture.variant, seed, ...notes];
  return [...texts, ...axes, ...item, statusOf(picture)].join("\n").toLowerCase();
}

// ---- The grid ------------------------------------------------------------------------------------------------------

function notice(title, reason, kind = "") {
  return make("div", { className: `notice ${kind}` }, make("strong", { textContent: title }), make("p", { textContent: reason }));
}

function image(path, alt, properties = {}) {
  const element = make("img", { alt, decoding: "async", draggable: false, ...properties });
  element.addEventListener("error", () => element.replaceWith(notice("missing", `${path} is not in the folder`, "missing")));
  element.src = url(path);
  return element;
}

function card(picture) {
  const lines = caption(picture);
  const alt = [picture.photo, picture.prompt, picture.seed === undefined ? null : `seed ${picture.seed}`];
  const frame = make("div", { className: "frame" });
  if (picture.status === "done" && picture.thumbnail) {
    frame.append(image(picture.thumbnail, alt.filter(Boolean).join(", "), { loading: "lazy" }));
    if (untouched(picture) && picture.mask_thumbnail) frame.append(image(picture.mask_thumbnail, "the mask", { loading: "lazy", className: "mask" }));
  } else {
    frame.append(notice(picture.status, picture.error ?? "", picture.status));
  }
  const text = make("div", { className: "caption" }, ...lines.map((line) => make("span", { textContent: line })));
  if (kept(picture)) text.append(make("span", { className: "flag", textContent: "unchanged" }));
  if (picture.outside_max_diff) text.append(make("span", { className: "flag bad", textContent: "changed outside the mask" }));
  for (const flag of picture.flags ?? []) text.append(make("span", { className: "flag bad", textContent: `flagged: ${flag}` }));
  const link = make("a", { href: `#picture-${picture.number}` }, frame, text);
  return make("li", {}, link);
}

const made = []; // cards by index; a page can have thousands, and is quick because it makes them when they are needed
const cardOf = (index) => (made[index] ??= card(pictures[index]));
const known = []; // words by index
const haystackOf = (index) => (known[index] ??= words(pictures[index]));
let visible = []; // indices of the pictures that match the filters
const PART = 240; // cards that are added at a time
const part = { first: 0, end: 0 }; // the positions in `visible` whose cards are in the grid

function cardsBetween(first, end) {
  return visible.slice(first, end).map(cardOf);
}

/** Puts the cards at and after a position into the grid. */
function startAt(first) {
  Object.assign(part, { first, end: Math.min(first + PART, visible.length) });
  $("grid").replaceChildren(...cardsBetween(part.first, part.end)); // ten times faster than hiding the other cards
  showRest();
}

function addLater() {
  const end = Math.min(part.end + PART, visible.length);
  $("grid").append(...cardsBetween(part.end, end));
  part.end = end;
  showRest();
}

function addEarlier() {
  const first = Math.max(part.first - PART, 0);
  const top = $("grid").firstElementChild;
  const before = top.getBoundingClientRect().top;
  $("grid").prepend(...cardsBetween(first, part.first));
  part.first = first;
  showRest();
  scrollBy(0, top.getBoundingClientRect().top - before);
}

function showRest() {
  $("earlier").hidden = part.first === 0;
  $("earlier").textContent = `${counted(part.first)} earlier pictures`;
  $("later").hidden = part.end >= visible.length;
  $("later").textContent = `${counted(visible.length - part.end)} more pictures`;
}

/** Makes sure that a picture's card is in the grid, if it matches the filters. */
function reveal(index) {
  const position = visible.indexOf(index);
  if (position >= 0 && (position < part.first || position >= part.end)) startAt(position - (position % PART));
}

function buildGrid() {
  $("earlier").addEventListener("click", addEarlier);
  $("later").addEventListener("click", addLater);
  const watcher = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting) || $("later").hidden) return;
      addLater();
      watcher.unobserve($("later")); // so that it is asked again, should the end still be near
      watcher.observe($("later"));
    },
    { rootMargin: "1500px" },
  );
  watcher.observe($("later"));
}

// ---- Filters -------------------------------------------------------------------------------------------------------

const MAX_CHOICES = 500; // more are for the search
const selects = [];

function selectFor(field) {
  const select = make("select", {}, make("option", { value: "", textContent: "all" }));
  const values = [...field.values.keys()];
  for (const [index, value] of values.entries()) {
    const text = shown(value).replace(/\s+/g, " ");
    select.append(make("option", { value: index, textContent: text.length > 70 ? `${text.slice(0, 69)}…` : text }));
  }
  selects.push({ select, field, values });
  return make("label", {}, make("span", { textContent: field.label }), select);
}

function filter() {
  const wanted = selects.filter(({ select }) => select.value !== "");
  const terms = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (picture, index) =>
    wanted.every(({ select, field, values }) => field.value(picture) === values[select.value]) &&
    terms.every((term) => haystackOf(index).includes(term));
  visible = [...pictures.keys()].filter((index) => fits(pictures[index], index));
  startAt(0);
  const all = visible.length === pictures.length;
  $("count").textContent = all ? "" : `${counted(visible.length)} of ${counted(pictures.length)}`;
  $("show-all").hidden = all;
  $("nothing").hidden = visible.length > 0;
}

function showAll() {
  $("filters").reset();
  filter();
}

function buildFilters() {
  const search = make("input", { id: "search", type: "search", placeholder: "words", autocomplete: "off", spellcheck: false });
  $("filters").append(
    make("label", { className: "search" }, make("span", { textContent: "Search" }), search),
    ...varying.filter((field) => field.values.size <= MAX_CHOICES).map(selectFor),
    make("output", { id: "count" }),
    make("button", { id: "show-all", type: "button", textContent: "Show all", hidden: true }),
  );
  $("filters").addEventListener("input", filter);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("show-all").addEventListener("click", showAll);
  $("filters").hidden = pictures.length < 2;
  filter(); // browsers restore form values when a page is reloaded
}

// ---- The large view ------------------------------------------------------------------------------------------------

const view = $("view");
const state = { index: null, split: 50 };

function setSplit(percent) {
  state.split = Math.min(100, Math.max(0, percent));
  $("compare").style.setProperty("--split", `${state.split}%`);
  view.querySelector(".handle")?.setAttribute("aria-valuenow", Math.round(state.split));
}

function slider() {
  const range = { "aria-valuemin": 0, "aria-valuemax": 100, "aria-orientation": "horizontal" };
  const attributes = { role: "slider", tabindex: 0, "aria-label": "Before and after", ...range };
  const handle = make("div", { className: "handle", attributes });
  handle.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -5, ArrowRight: 5, Home: -100, End: 100 };
    if (!(event.key in steps)) return;
    setSplit(state.split + steps[event.key]);
    event.preventDefault();
    event.stopPropagation();
  });
  return handle;
}

function followPointer(event) {
  if (!view.querySelector(".handle") || (event.type === "pointerdown" ? event.button !== 0 : !event.buttons)) return;
  const box = $("compare").getBoundingClientRect();
  if (event.type === "pointerdown") $("compare").setPointerCapture(event.pointerId);
  setSplit(((event.clientX - box.left) / box.width) * 100);
  event.preventDefault();
}

function layers(picture) {
  const done = picture.status === "done" && picture.result;
  const parts = [];
  if (picture.source) parts.push(image(picture.source, `the photo ${picture.photo}`, { className: "before" }));
  if (done && !untouched(picture)) parts.push(image(picture.result, `the result: ${picture.prompt ?? picture.photo}`, { className: "after" }));
  if (picture.mask) parts.push(image(picture.mask, "the mask of the repainted area", { className: "mask" }));
  if (done && !untouched(picture) && picture.source) {
    const tags = [["tag left", "before"], ["tag right", "after"]];
    parts.push(...tags.map(([className, textContent]) => make("span", { className, textContent })), slider());
  }
  if (!done) parts.push(notice(picture.status, picture.error ?? "", picture.status));
  return parts;
}

/** Gives the box the shape of the first image that loads, and until then the shape of the thumbnails. */
function fit(parts) {
  view.style.setProperty("--shape", data.shape);
  const first = parts.find((part) => part.tagName === "IMG");
  first?.addEventListener("load", () => view.style.setProperty("--shape", first.naturalWidth / first.naturalHeight));
}

function rows(pairs) {
  const body = make("tbody");
  for (const [name, value] of pairs) {
    const text = typeof value === "string" && value !== "" ? value : JSON.stringify(value);
    body.append(make("tr", {}, make("th", { scope: "row", textContent: name }), make("td", { textContent: text })));
  }
  return body;
}

function table(name, pairs, note) {
  const title = make("caption", { textContent: name });
  if (note) title.append(make("span", { textContent: note }));
  return make("table", {}, title, rows(pairs));
}

function facts(picture) {
  const run = data.runs[picture.run];
  const difference = { "Largest change outside the mask": picture.outside_max_diff };
  const all = {
    Photo: picture.photo,
    Status: statusOf(picture),
    Reason: picture.error,
    Flagged: picture.flags?.join("\n"),
    Warnings: picture.warnings?.join("\n"),
    ...Object.fromEntries(data.axes.map((axis) => [axis.label, run.values?.[axis.name]])),
    Prompt: swept("prompt") ? undefined : picture.prompt,
    "Negative prompt": picture.negative_prompt,
    Seed: swept("seed") ? undefined : picture.seed,
    Variant: picture.variant?.includes(",") ? picture.variant : undefined,
    Seconds: picture.seconds,
    ...(picture.mask ? difference : {}),
  };
  return Object.entries(all).filter(([, value]) => value !== undefined);
}

/** A command with the current folder of this page, unless one of the two paths needs quotes. */
function moved(command) {
  const here = location.protocol === "file:" ? decodeURIComponent(location.pathname).replace(/\/[^/]*$/, "") : data.folder;
  const plain = /^[\w/.+@%-]+$/;
  return plain.test(here) && plain.test(data.folder) ? command.replaceAll(`=${data.folder}/`, `=${here}/`) : command;
}

function command(title, text) {
  const button = make("button", { type: "button", className: "copy", textContent: "Copy" });
  const code = make("code", { textContent: moved(text), tabIndex: 0 });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      getSelection().selectAllChildren(code); // some browsers deny pages from files the clipboard
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  const line = make("div", { className: "command" }, code, button);
  return make("div", {}, make("p", { className: "note", textContent: title }), line);
}

function details(picture) {
  const parts = [table("Picture", facts(picture))];
  const again = [];
  if (picture.reproduce) again.push(command("From this run's records", picture.reproduce));
  if (picture.ordinary) again.push(command("As a new run of this picture only", picture.ordinary));
  if (again.length) parts.push(make("section", { className: "again" }, make("h3", { textContent: "Make this picture again" }), ...again));
  if (picture.figures) parts.push(table("Measured", Object.entries(picture.figures)));
  if (picture.item) parts.push(table("Manifest", Object.entries(picture.item)));
  for (const step of (picture.settings ?? []).map((index) => data.stages[index])) {
    const { stage, op, ...settings } = step;
    parts.push(table(stage, Object.entries(settings), stage === op ? "" : op));
  }
  return parts;
}

function links(picture) {
  const run = data.runs[picture.run];
  const result = picture.delivered ?? (untouched(picture) ? undefined : picture.result);
  const others = Object.entries(picture.others ?? {}).map(([kind, path]) => [`Result: ${kind}`, path]);
  const all = { Photo: picture.source, Mask: picture.mask, Result: result, ...Object.fromEntries(others), Run: run.page };
  return Object.entries(all)
    .filter(([, path]) => path)
    .map(([textContent, path]) => make("a", { href: url(path), target: "_blank", rel: "noopener", textContent }));
}

function show(index) {
  const picture = pictures[index];
  state.index = index;
  const parts = layers(picture);
  const comparing = parts.some((part) => part.classList.contains("handle"));
  $("compare").className = [comparing ? "comparing" : "", picture.status === "done" ? "" : "undone"].join(" ");
  $("compare").replaceChildren(...parts);
  fit(parts);
  setSplit(state.split);
  $("view-name").textContent = `Picture ${counted(picture.number)} of ${counted(data.total)}`;
  $("details").replaceChildren(...details(picture));
  $("details").scrollTop = 0;
  $("open").replaceChildren(...links(picture));
  $("show-mask").disabled = !picture.mask;
  $("previous").disabled = neighbour(-1) === undefined;
  $("next").disabled = neighbour(1) === undefined;
  if (!view.open) view.showModal();
  document.documentElement.classList.add("viewing");
}

/** The index of the next (1) or previous (-1) picture that matches the filters. */
function neighbour(step) {
  const position = visible.indexOf(state.index);
  return position < 0 ? visible[step > 0 ? 0 : visible.length - 1] : visible[position + step];
}

function go(step) {
  const index = neighbour(step);
  if (index === undefined) return;
  history.replaceState(null, "", `#picture-${pictures[index].number}`);
  show(index);
}

function followAddress() {
  const number = Number(/^#picture-(\d+)$/.exec(location.hash)?.[1]);
  const index = pictures.findIndex((picture) => picture.number === number);
  if (index >= 0) {
    show(index);
    return;
  }
  const page = data.pages.findLast((candidate) => candidate.first <= number);
  if (page && number <= data.total && page !== data.pages[data.page]) location.replace(page.file + location.hash);
  else if (view.open) view.close();
}

function closed() {
  document.documentElement.classList.remove("viewing");
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  reveal(state.index);
  const link = cardOf(state.index).querySelector("a");
  link.scrollIntoView({ block: "nearest" });
  link.focus({ preventScroll: true });
}

function showMask() {
  view.classList.toggle("masked", $("show-mask").checked);
  view.style.setProperty("--opacity", $("opacity").value / 100);
  $("opacity-label").hidden = !$("show-mask").checked;
}

function buildView() {
  $("previous").addEventListener("click", () => go(-1));
  $("next").addEventListener("click", () => go(1));
  $("close").addEventListener("click", () => view.close());
  view.addEventListener("close", closed);
  view.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    if (!(event.key in steps) || event.altKey || event.ctrlKey || event.metaKey || event.target === $("opacity")) return;
    go(steps[event.key]);
    event.preventDefault();
  });
  for (const type of ["pointerdown", "pointermove"]) $("compare").addEventListener(type, followPointer);
  for (const id of ["show-mask", "opacity"]) $(id).addEventListener("input", showMask);
  $("show-mask").checked ||= data.masks;
  showMask();
  addEventListener("hashchange", followAddress);
}

// ---- The page ------------------------------------------------------------------------------------------------------

function build() {
  document.querySelector("h1").textContent = data.title;
  $("summary").textContent = data.summary.join(" · ");
  const constant = fields.filter((field) => field.values.size === 1 && !field.quiet && field.label !== "Seed");
  $("constant").append(
    ...constant.map((field) =>
      make("span", {}, make("b", { textContent: field.label }), ` ${shown([...field.values.keys()][0])}`),
    ),
  );
  document.documentElement.style.setProperty("--shape", data.shape);
  buildGrid();
  buildFilters();
  buildView();
  if (data.pages.length > 1) {
    $("pages").hidden = false;
    $("pages").append(
      ...data.pages.map((page, number) => {
        const here = number === data.page ? { attributes: { "aria-current": "page" } } : {};
        const last = data.pages[number + 1]?.first - 1 || data.total;
        const range = [page.first, last].map(counted).join("–");
        return make("a", { href: page.file, textContent: range, ...here });
      }),
    );
  }
  $("files").append(...data.files.map((name) => make("a", { href: url(name), textContent: name })));
  followAddress();
}

build();
