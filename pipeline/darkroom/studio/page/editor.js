// One photo being worked on: brings photo, clicks, mask and results together on the canvas.

import { getJson, postJson } from "./api.js";
import { MASK_MODES } from "./canvas.js";
import { byId, toast } from "./dom.js";
import { hintFor, say, tellCoverage } from "./hints.js";
import { PictureCache } from "./pictures.js";
import { nameOf, pathOf } from "./results.js";

const AHEAD = 700; // ms after a photo was opened, when its mask is mostly there
const CHOICES = { 1: "smallest", 2: "middle", 3: "largest", s: "score" };

export class Editor {
  /** How long the last clicks took until their mask was drawn, in ms; and how long photos took to open. */
  latencies = [];
  openings = [];
  photo = null; // as GET /api/photos/I
  #pictures = new PictureCache(12);
  #photoPicture = null;
  #watched = new Set();
  #signature = "";
  #ahead = null;
  #opened = 0; // counts, to drop answers about photos that are no longer shown

  constructor(parts) {
    Object.assign(this, parts); // draft, canvas, gestures, clicks, brush, mask, photos, stages, results
    this.#listen();
    this.#listenToMask();
    this.#listenToGestures();
  }

  #listen() {
    this.photos.on("select", ({ index }) => this.open(index));
    this.stages.on("select", () => this.#showPhotoForMask());
    this.stages.on("select", () => this.retarget());
    this.clicks.on("change", ({ since }) => this.#clicksChanged(since ?? null));
    this.clicks.on("error", (error) => toast(error.message, "error"));
    this.results.on("show", ({ result, compared }) => this.#showResult(result, compared));
    this.draft.on("change", () => this.#draftChanged());
    this.draft.on("conflict", () => toast("Another tab changed the same at the same time; this is the newest state."));
    this.draft.on("others", () => this.reload().catch((error) => error.gone || toast(error.message, "error")));
    this.canvas.on("view", () => this.#viewChanged());
  }

  #listenToMask() {
    this.mask.on("mask", (answer) => this.#showMask(answer));
    this.mask.on("failed", (failure) => this.#showFailure(failure));
    this.mask.on("busy", (busy) => byId("stage-pane").classList.toggle("busy", busy));
  }

  #listenToGestures() {
    this.gestures.on("click", (click) => this.#add(click.negative ? "negative" : "points", click.point, click.since));
    this.gestures.on("box", ({ box, since }) => this.#add("boxes", box, since));
    this.gestures.on("remove", ({ hit, since }) =>
      this.#change({ [hit.kind]: this.canvas.clicks[hit.kind].filter((_, index) => index !== hit.index) }, since),
    );
    this.gestures.on("shapes", ({ shapes, since }) => this.#change(shapes, since));
    this.gestures.on("plain", () => this.#clickedWithoutUse());
    this.gestures.on("hover", (at) => this.#hover(at));
    this.gestures.on("divide", () => (byId("divider").value = this.canvas.divider));
    this.gestures.on("double", () => {
      if (this.canvas.brush) return; // two dabs
      this.clicks.takeBackDoubleClick();
      this.canvas.moved((viewport) => viewport.fit());
    });
  }

  /** Opens a photo by its index. */
  async open(index) {
    if (index < 0 || index >= this.photos.total) return;
    const started = performance.now();
    const count = (this.#opened += 1);
    this.photos.select(index);
    postJson("/api/current", { index }).catch(() => {}); // only helps the server to be ahead
    try {
      const photo = await getJson(`/api/photos/${index}`);
      if (count === this.#opened) this.#show(photo, started);
    } catch (error) {
      if (count === this.#opened) this.#showBroken(index, error);
    }
  }

  #show(photo, started) {
    this.photo = photo;
    const picture = (this.#photoPicture = this.#picture(`/api/photos/${photo.index}/view`, "photo"));
    const thumbnail = this.photos.thumbnail(photo.index);
    if (thumbnail) picture.preview(thumbnail, photo);
    this.canvas.masks = [];
    this.canvas.ahead = [];
    tellCoverage({});
    this.canvas.setPhoto(photo.width, photo.height);
    this.clicks.load(photo.index, photo.clicks);
    this.results.load(photo.index, photo.results);
    this.retarget();
    this.#load(picture).then(() => this.canvas.redraw(() => this.openings.push(performance.now() - started)));
    clearTimeout(this.#ahead);
    this.#ahead = setTimeout(() => this.#loadAhead(photo.index + 1), AHEAD);
  }

  /** Loads the next photo, so that it opens at once. */
  async #loadAhead(index) {
    if (index >= this.photos.total) return;
    try {
      const photo = await getJson(`/api/photos/${index}`);
      await this.#picture(`/api/photos/${index}/view`, "photo").load(this.canvas.viewport.baseWidthOf(photo), photo);
    } catch {
      // it says what is wrong when it is opened
    }
  }

  #showBroken(index, error) {
    this.photo = null;
    this.canvas.hasPhoto = false;
    this.canvas.redraw();
    this.clicks.load(index, {});
    this.results.load(null, []);
    this.mask.aim(null, null);
    tellCoverage({});
    say(error.message, "error");
  }

  /** The clicks or results of the shown photo may be others: another tab, or the server was away. */
  async reload() {
    if (!this.photo) return this.open(Math.max(this.photos.current, 0));
    await this.draft.settled();
    const { count } = this.clicks;
    const photo = await getJson(`/api/photos/${this.photo.index}`);
    if (photo.index !== this.photo?.index) return undefined;
    if (count !== this.clicks.count) return this.reload(); // the user went on in the meantime
    this.clicks.load(photo.index, photo.clicks);
    this.results.update(photo.results);
    return undefined;
  }

  #picture(path, label) {
    const picture = this.#pictures.get(path, label);
    if (!this.#watched.has(picture)) picture.on("change", () => this.canvas.redraw());
    this.#watched = new Set([...this.#watched, picture].slice(-24));
    return picture;
  }

  async #load(picture) {
    await picture.load(this.canvas.viewport.baseWidth, this.canvas.viewport.photo);
    if (picture.error && this.#photoPicture === picture) say(picture.error.message, "error");
    else this.#viewChanged();
  }

  /** The mask is wanted up to the selected stage. */
  retarget() {
    this.mask.aim(this.photo?.index ?? null, this.stages.masking);
    this.#updateClicks();
    if (this.photo) this.mask.refresh();
  }

  #draftChanged() {
    const { stages } = this.draft;
    const end = stages.findIndex(({ name }) => name === this.stages.selected);
    const signature = JSON.stringify(stages.slice(0, end + 1));
    if (signature === this.#signature) return;
    this.#signature = signature;
    this.#showPhotoForMask();
    this.retarget();
  }

  /** A stage that makes the mask is changed: its mask cannot be seen on a result. */
  #showPhotoForMask() {
    const { stage } = this.stages;
    if (this.results.shown && stage && this.draft.op(stage).kind !== "repaint") this.results.show(null);
  }

  #clicksChanged(since) {
    this.#updateClicks();
    if (this.photo && this.mask.photo === this.photo.index) this.mask.refresh(since);
  }

  #updateClicks() {
    const stage = this.draft.state ? this.stages.clickable : null;
    this.canvas.clicks = stage && this.photo && !this.results.shown ? this.clicks.of(stage.name) : null;
    const choose = stage ? (this.clicks.of(stage.name).choose ?? stage.parameters.choose ?? "score") : null;
    this.#updateChoices(stage, choose);
    const isOnPhoto = !this.results.shown;
    this.brush.update(stage, isOnPhoto);
    byId("clear").disabled = !isOnPhoto || !stage || !countOf(this.clicks.of(stage.name));
    byId("undo").disabled = !isOnPhoto || !this.clicks.canUndo;
    byId("redo").disabled = !isOnPhoto || !this.clicks.canRedo;
    this.canvas.redraw();
  }

  #updateChoices(stage, chosen) {
    const known = stage ? (this.draft.op(stage).parameters.find(({ name }) => name === "choose")?.choices ?? []) : [];
    byId("choices").hidden = !known.length;
    for (const button of byId("choices").querySelectorAll("button")) {
      button.hidden = !known.includes(button.value);
      button.setAttribute("aria-pressed", String(button.value === chosen));
    }
  }

  #add(kind, shape, since) {
    this.#change({ [kind]: [...this.canvas.clicks[kind], shape] }, since);
  }

  #change(part, since) {
    const stage = this.stages.clickable;
    if (stage && this.photo) this.clicks.change(stage.name, part, since);
  }

  #clickedWithoutUse() {
    if (this.results.shown) return this.results.show(null);
    if (!this.draft.stages.length) return undefined;
    return toast("No stage of this recipe takes clicks. Add the stage sam to click on objects.");
  }

  /** Nothing happens to clicks while a result covers them. */
  clear() {
    if (!this.results.shown) this.#change({ points: [], negative: [], boxes: [], strokes: [] }, performance.now());
  }

  undo() {
    if (!this.results.shown) this.clicks.undo();
  }

  redo() {
    if (!this.results.shown) this.clicks.redo();
  }

  /** Which of SAM's candidates: a key of `CHOICES`, or its value. */
  choose(key) {
    const choice = CHOICES[key] ?? key;
    const button = byId("choices").querySelector(`[value="${choice}"]`);
    if (button && !button.hidden && !byId("choices").hidden) this.#change({ choose: choice }, performance.now());
  }

  setMode(mode) {
    this.canvas.mode = mode;
    for (const button of byId("modes").querySelectorAll("button"))
      button.setAttribute("aria-pressed", String(button.value === mode));
    this.canvas.redraw();
  }

  nextMode() {
    this.setMode(MASK_MODES[(MASK_MODES.indexOf(this.canvas.mode) + 1) % MASK_MODES.length]);
  }

  /** Held: the photo without mask, clicks or result. */
  set before(held) {
    const { shown } = this.results;
    this.canvas.hidden = held || shown !== null; // clicks and mask belong to the photo
    this.canvas.picture = shown && !held ? this.#resultPicture(shown) : this.#photoPicture;
    this.canvas.redraw();
  }

  #resultPicture(result) {
    return result ? this.#picture(`${pathOf(result)}/view`, nameOf(result)) : this.#photoPicture;
  }

  #showResult(result, compared) {
    this.canvas.picture = this.#resultPicture(result);
    this.canvas.compared = result && compared !== undefined ? this.#resultPicture(compared) : null;
    this.canvas.hidden = Boolean(result);
    for (const picture of [this.canvas.picture, this.canvas.compared]) if (picture) this.#load(picture);
    byId("comparison").hidden = !this.canvas.compared;
    byId("left-label").textContent = this.canvas.compared?.label ?? "";
    byId("right-label").textContent = this.canvas.picture?.label ?? "";
    byId("stage-pane").classList.toggle("shows-result", Boolean(result));
    byId("stage-pane").classList.toggle("shows-comparison", Boolean(this.canvas.compared));
    this.#updateClicks();
  }

  #viewChanged() {
    byId("zoom").textContent = `${Math.round((this.canvas.viewport.scale / this.canvas.viewport.ratio) * 100)} %`;
    this.#sharpenSoon();
    this.mask.rest();
  }

  #timer = null;

  #sharpenSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const { viewport } = this.canvas;
      for (const picture of new Set([this.canvas.picture, this.canvas.compared])) {
        picture?.load(viewport.baseWidth, viewport.photo).then(() => picture.sharpen(viewport));
      }
    }, 150);
  }

  #showMask({ mask, info, since, sharp }) {
    const whole = sharp ? this.canvas.masks[0] : mask;
    if (!whole) return;
    if (!sharp && this.mask.isNewest) this.canvas.ahead = [];
    whole.coveredBy = sharp ? mask.box : null;
    this.canvas.masks = sharp ? [whole, mask] : [mask];
    this.canvas.redraw(since === null ? null : () => this.#measure(since));
    if (!sharp) this.#tellMask(info);
  }

  #measure(since) {
    const latency = performance.now() - since;
    this.latencies.push(latency);
    byId("latency").textContent = `${Math.round(latency)} ms`;
  }

  #tellMask(info) {
    const stage = this.stages.clickable;
    tellCoverage(info);
    this.stages.fail(null, null);
    const clicks = stage ? countOf(this.clicks.of(stage.name)) : 0;
    say(...hintFor(info, { op: stage?.op, clicks, changes: this.clicks.count }));
  }

  #showFailure({ message, empty: isEmpty }) {
    const clicked = this.stages.clickable;
    const empty = isEmpty || (clicked !== null && !countOf(this.clicks.of(clicked.name)));
    this.canvas.masks = [];
    this.canvas.ahead = [];
    this.canvas.redraw();
    tellCoverage({});
    if (!this.draft.stages.length) return say("The recipe is empty. Add a stage.", "hint");
    const canClick = empty && clicked && !this.draft.isBrush(clicked);
    this.stages.fail(this.stages.selected, empty ? null : message);
    return say(canClick ? "Click the object, or drag a box around it." : message, empty ? "hint" : "error");
  }

  #hover(at) {
    const { width, height } = this.canvas.viewport.photo;
    const isInside = at && at.x >= 0 && at.y >= 0 && at.x < width && at.y < height;
    byId("position").textContent = isInside ? `${Math.floor(at.x)}, ${Math.floor(at.y)}` : "";
  }
}

const countOf = ({ points, negative, boxes, strokes }) =>
  points.length + negative.length + boxes.length + strokes.length;
