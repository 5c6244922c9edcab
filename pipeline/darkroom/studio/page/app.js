// Starts the page, and wires its parts together.

import { connection, listen } from "./api.js";
import { Brush } from "./brush.js";
import { PhotoCanvas } from "./canvas.js";
import { Clicks } from "./clicks.js";
import { Emitter, byId, fillIcons, toast } from "./dom.js";
import { Draft } from "./draft.js";
import { Editor } from "./editor.js";
import { Gestures } from "./gestures.js";
import { Jobs } from "./jobs.js";
import { fillHelp, listenToKeys } from "./keys.js";
import { MaskLoop } from "./maskloop.js";
import { PaintPanel } from "./paint.js";
import { Photos } from "./photos.js";
import { Results } from "./results.js";
import { Review } from "./review.js";
import { Stages } from "./stages.js";
import { TopBar } from "./topbar.js";

const draft = new Draft();
const jobs = new Jobs();
const canvas = new PhotoCanvas(byId("canvas"));
const gestures = new Gestures(canvas);
const clicks = new Clicks(draft);
const mask = new MaskLoop(draft, canvas);
const photos = new Photos();
const stages = new Stages(draft);
const results = new Results(draft, jobs);
const brush = new Brush({ draft, canvas, gestures, clicks, stages });
const editor = new Editor({ draft, canvas, gestures, clicks, brush, mask, photos, stages, results });
const paint = new PaintPanel(draft, stages, jobs);
const review = new Review({ draft, jobs, openPhoto });
new TopBar(draft, jobs, (run) => openTab("review", run));

let tab = "edit";
let isAsking = false; // the server has been asked to paint, and has not answered

function openTab(name, run = null) {
  tab = name;
  for (const each of ["edit", "review"]) {
    byId(each).hidden = each !== name;
    byId(`tab-${each}`).setAttribute("aria-selected", String(each === name));
  }
  if (name === "review") review.open(run);
}

/** Opens a photo by its name: from the review. */
async function openPhoto(name) {
  const index = await photos.find(name);
  if (index === null) return toast(`${name} is not among the photos of this studio.`);
  openTab("edit");
  return editor.open(index);
}

async function paintPhoto() {
  if (!editor.photo || isAsking || byId("paint").disabled) return;
  isAsking = true;
  try {
    await draft.settled();
    const [changes, made] = [draft.count, clicks.count];
    results.await(() => draft.count === changes && clicks.count === made);
    const { job } = await draft.post(`/api/photos/${editor.photo.index}/paint`, {}, () => true);
    jobs.set(job);
  } catch (error) {
    results.await(null);
    paint.say(error.message);
  } finally {
    isAsking = false;
  }
}

function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else
    byId("stage-pane")
      .requestFullscreen?.()
      .catch(() => toast("This browser does not allow full screen here."));
}

const step = (by) => editor.open(photos.current + by);
const zoom = (factor) => canvas.moved((viewport) => viewport.zoom(factor));
const fit = () => canvas.moved((viewport) => viewport.fit());
const actualSize = () => canvas.moved((viewport) => viewport.zoom(viewport.ratio / viewport.scale));
const save = () => byId("save").click();
const help = () => byId("help").showModal();

function escape() {
  gestures.cancel();
  if (results.shown) results.show(null);
}

const EDIT_KEYS = {
  "Ctrl+z": () => editor.undo(),
  "Ctrl+Shift+z": () => editor.redo(),
  "Ctrl+y": () => editor.redo(),
  z: () => editor.undo(),
  x: () => editor.clear(),
  1: () => editor.choose("1"),
  2: () => editor.choose("2"),
  3: () => editor.choose("3"),
  s: () => editor.choose("s"),
  m: () => editor.nextMode(),
  b: () => (editor.before = true),
  " ": () => (gestures.space = true),
  ArrowRight: () => step(1),
  ArrowDown: () => step(1),
  ArrowLeft: () => step(-1),
  ArrowUp: () => step(-1),
  0: fit,
  "+": () => zoom(1.25),
  "=": () => zoom(1.25),
  "-": () => zoom(0.8),
  f: toggleFullScreen,
  p: () => byId("paint").click(),
  c: () => results.toggleCompare(),
  "]": () => (brush.isActive ? brush.resize(1) : results.step(1)),
  "[": () => (brush.isActive ? brush.resize(-1) : results.step(-1)),
  d: () => brush.toggle(),
  e: () => brush.toggleErasing(),
  Escape: escape,
  "Ctrl+s": save,
  "?": help,
};

const REVIEW_KEYS = {
  a: () => review.decide("approved"),
  r: () => review.decide("rejected"),
  u: () => review.undo(),
  ArrowRight: () => review.step(1),
  ArrowDown: () => review.step(1),
  ArrowLeft: () => review.step(-1),
  ArrowUp: () => review.step(-1),
  "?": help,
};

function released(key) {
  if (key === "b" || key === null) editor.before = false;
  if (key === " " || key === null) gestures.space = false;
}

const BUTTONS = {
  "tab-edit": () => openTab("edit"),
  "tab-review": () => openTab("review"),
  "help-button": help,
  undo: () => editor.undo(),
  redo: () => editor.redo(),
  clear: () => editor.clear(),
  "zoom-in": () => zoom(1.25),
  "zoom-out": () => zoom(0.8),
  fit,
  zoom: actualSize,
  full: toggleFullScreen,
  previous: () => step(-1),
  next: () => step(1),
};

function listenToPage() {
  for (const [id, action] of Object.entries(BUTTONS)) byId(id).addEventListener("click", action);
  byId("modes").addEventListener("click", (event) => event.target.value && editor.setMode(event.target.value));
  byId("choices").addEventListener("click", (event) => event.target.value && editor.choose(event.target.value));
  byId("divider").addEventListener("input", (event) => {
    canvas.divider = Number(event.target.value);
    canvas.redraw();
  });
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener(
      "click",
      (event) => (event.target === dialog || event.target.closest("[data-close]")) && dialog.close(),
    );
  }
  listenToKeys(() => (tab === "edit" ? EDIT_KEYS : REVIEW_KEYS), released);
  paint.on("paint", paintPhoto);
  results.on("second", () => {
    const added = draft.stages.findLast((stage) => draft.op(stage).kind === "repaint");
    if (added) stages.select(added.name);
    paint.focusPrompt();
  });
}

/** Another tab changed the draft: shows its newest state. */
async function follow(revision) {
  if (await draft.heard(revision)) await editor.reload();
}

function listenToServer() {
  const server = new Emitter();
  const heard = (revision) => follow(revision).catch((error) => error.gone || toast(error.message, "error"));
  server.on("open", () => heard(Infinity).then(() => jobs.set(draft.state.job))); // what happened before was not heard
  server.on("draft", ({ revision }) => heard(revision));
  server.on("job", ({ job }) => jobs.set(job));
  server.on("photo", ({ index, state }) => {
    photos.setState(index, state);
    if (index === results.photo) results.readSoon();
  });
  jobs.on(
    "end",
    (job) => job.kind === "paint" && paint.say(job.status === "failed" ? job.message || "Painting failed." : null),
  );
  connection.on("lost", () => (byId("banner").hidden = false));
  connection.on("back", () => {
    byId("banner").hidden = true;
    start().catch((error) => toast(error.message, "error"));
  });
  listen(server);
}

/** Loads everything; also after the server was away. */
async function start() {
  const isFirst = !draft.state;
  await draft.load();
  jobs.set(draft.state.job);
  await photos.load();
  if (isFirst) await editor.open(draft.state.current);
  else await editor.reload();
}

fillIcons();
fillHelp();
listenToPage();
// For tests and the benchmark: latencies in ms, and where a photo's pixel lies in the window.
window.darkroom = {
  latencies: editor.latencies,
  openings: editor.openings,
  toScreen: (x, y) => canvas.toClient(x + 0.5, y + 0.5),
  get clicks() {
    return canvas.clicks;
  },
  get revision() {
    return draft.revision;
  },
};
start().then(listenToServer, (error) => {
  listenToServer();
  if (!error.gone) toast(error.message, "error");
});
