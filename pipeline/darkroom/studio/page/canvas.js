// Draws photo, mask and clicks on a canvas of device pixels, once a frame at most.

import { Emitter } from "./dom.js";
import { drawBox, drawDivider, drawMask, drawPicture, drawPoint } from "./drawing.js";
import { drawBrush, drawStrokes } from "./strokes.js";
import { Viewport } from "./viewport.js";

export const MASK_MODES = ["overlay", "outline", "mask", "off"];

/** Emits `view` when zoom, place or size changed. What it shows are plain fields: set them, then call `redraw`. */
export class PhotoCanvas extends Emitter {
  viewport = new Viewport();
  hasPhoto = false;
  picture = null; // what is shown
  compared = null; // what is shown left of the divider
  divider = 0.5; // share of the canvas's width
  masks = []; // the whole mask, then perhaps the part in sight at full sharpness
  mode = "overlay";
  clicks = null; // {points, negative, boxes, strokes}
  brush = null; // {radius, erase, takesAway}, if the mask is painted
  pointer = null; // where the brush is, [x, y] in photo px
  ahead = []; // strokes that the masks do not have yet
  preview = null; // a box or stroke being drawn, or a shape being moved
  hidden = false; // before/after: nothing but the photo
  #due = false;
  #afterFrame = [];

  constructor(element) {
    super();
    this.element = element;
    this.context = element.getContext("2d", { alpha: false });
    this.#watchSize();
  }

  #watchSize() {
    const observer = new ResizeObserver(([entry]) => this.#resized(entry));
    try {
      observer.observe(this.element, { box: "device-pixel-content-box" });
    } catch {
      observer.observe(this.element); // Safari before 18
    }
  }

  #resized(entry) {
    const ratio = window.devicePixelRatio;
    const exact = entry.devicePixelContentBoxSize?.[0];
    const width = deviceSize(entry.contentRect.width * ratio, exact?.inlineSize);
    const height = deviceSize(entry.contentRect.height * ratio, exact?.blockSize);
    if (!width || !height) return;
    this.element.width = width;
    this.element.height = height;
    this.viewport.resize(width, height, ratio, parseFloat(getComputedStyle(document.documentElement).fontSize));
    this.#draw(); // at once: setting the size has cleared the canvas
    this.emit("view");
  }

  setPhoto(width, height) {
    this.hasPhoto = true;
    this.viewport.setPhoto(width, height);
    this.moved();
  }

  /** Changes zoom or place: `canvas.moved((viewport) => viewport.fit())`. */
  moved(change = () => {}) {
    change(this.viewport);
    this.redraw();
    this.emit("view");
  }

  /** Draws in the next frame, and calls `after` when that is done. */
  redraw(after = null) {
    if (after) this.#afterFrame.push(after);
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#draw();
      this.#afterFrame.splice(0).forEach((call) => call());
    });
  }

  /** Mouse position in the window to device px of the canvas. */
  fromClient(x, y) {
    const rect = this.element.getBoundingClientRect();
    return {
      x: ((x - rect.left) * this.element.width) / rect.width,
      y: ((y - rect.top) * this.element.height) / rect.height,
    };
  }

  /** Photo position to the position in the window. */
  toClient(x, y) {
    const rect = this.element.getBoundingClientRect();
    const at = this.viewport.toCanvas(x, y);
    return {
      x: rect.left + (at.x * rect.width) / this.element.width,
      y: rect.top + (at.y * rect.height) / this.element.height,
    };
  }

  get isComparing() {
    return this.compared !== null && this.picture !== null;
  }

  #draw() {
    const { context } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#141415";
    context.fillRect(0, 0, this.element.width, this.element.height);
    if (!this.hasPhoto || !this.picture) return;
    if (this.isComparing) return this.#drawCompared();
    drawPicture(context, this.viewport, this.picture);
    if (!this.hidden) this.#drawWork();
  }

  #drawCompared() {
    const middle = this.divider * this.element.width;
    this.#drawPart(this.compared, 0, middle);
    this.#drawPart(this.picture, middle, this.element.width);
    drawDivider(this.context, this.viewport, middle);
  }

  #drawPart(picture, left, right) {
    const { context } = this;
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left, this.element.height);
    context.clip();
    drawPicture(context, this.viewport, picture);
    context.restore();
  }

  #drawWork() {
    const { context, viewport } = this;
    const strokes = this.preview?.stroke ? [...this.ahead, this.preview.stroke] : this.ahead;
    if (this.mode !== "off" && strokes.length) context.drawImage(this.#painted(strokes), 0, 0);
    else if (this.mode !== "off") this.#drawMasks(context);
    if (this.brush && this.pointer) drawBrush(context, viewport, this.preview?.stroke ?? this.brush, this.pointer);
    if (!this.clicks || this.mode === "mask") return;
    const shapes = this.preview?.shapes ?? this.clicks;
    for (const box of shapes.boxes) drawBox(context, viewport, box);
    if (this.preview?.box) drawBox(context, viewport, this.preview.box, true);
    for (const point of shapes.points) drawPoint(context, viewport, point, true);
    for (const point of shapes.negative) drawPoint(context, viewport, point, false);
  }

  #drawMasks(context) {
    for (const mask of this.masks) drawMask(context, this.viewport, mask, this.mode, mask === this.masks.at(-1));
  }

  /** The mask with strokes on it, alone on a canvas of the same size. */
  #painted(strokes) {
    const layer = new OffscreenCanvas(this.element.width, this.element.height);
    const context = layer.getContext("2d");
    this.#drawMasks(context);
    const start = this.viewport.toCanvas(0, 0);
    const { photo, scale } = this.viewport;
    context.beginPath();
    context.rect(start.x, start.y, photo.width * scale, photo.height * scale);
    context.clip();
    drawStrokes(context, this.viewport, strokes, this.mode, Boolean(this.brush?.takesAway));
    return layer;
  }
}

/** What the browser says to the pixel, unless it is far off: emulated devices report CSS pixels. */
const deviceSize = (wanted, exact) => (exact && Math.abs(exact - wanted) < 2 ? exact : Math.round(wanted));
