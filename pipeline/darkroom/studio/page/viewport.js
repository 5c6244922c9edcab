// Where the photo lies on the canvas: plain geometry. Canvas coordinates are device pixels.

import { clamp } from "./dom.js";

const LARGEST = 64; // device px per photo px

export class Viewport {
  width = 1; // of the canvas, device px
  height = 1;
  ratio = 1; // device px per CSS px
  unit = 1; // device px per px of marks and lines, which grow with the text of the page
  photo = { width: 1, height: 1 };
  scale = 1; // device px per photo px
  x = 0; // of the photo's top left corner
  y = 0;
  fitted = true;

  /** The canvas has another size: fits again, or keeps the middle where it is. */
  resize(width, height, ratio, textSize = 13) {
    const middle = this.toPhoto(this.width / 2, this.height / 2);
    const zoom = ratio / this.ratio;
    Object.assign(this, { width, height, ratio, unit: (ratio * textSize) / 13 });
    if (this.fitted) return this.fit();
    this.scale *= zoom;
    this.#put(middle, width / 2, height / 2);
  }

  setPhoto(width, height) {
    this.photo = { width, height };
    this.fit();
  }

  get fitScale() {
    return this.#fitScaleOf(this.photo);
  }

  #fitScaleOf({ width, height }) {
    const margin = 16 * this.ratio;
    return clamp(Math.min((this.width - margin) / width, (this.height - margin) / height), 1e-3, 16 * this.ratio);
  }

  fit() {
    this.fitted = true;
    this.scale = this.fitScale;
    this.x = (this.width - this.photo.width * this.scale) / 2;
    this.y = (this.height - this.photo.height * this.scale) / 2;
  }

  /** Zooms so that the photo's pixel below (x, y) stays there. */
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const held = this.toPhoto(x, y);
    const smallest = Math.min(this.fitScale, this.ratio) / 2;
    this.scale = clamp(this.scale * factor, smallest, LARGEST * this.ratio);
    this.fitted = false;
    this.#put(held, x, y);
  }

  pan(dx, dy) {
    this.fitted = false;
    this.x += dx;
    this.y += dy;
    this.#hold();
  }

  #put(point, x, y) {
    this.x = x - point.x * this.scale;
    this.y = y - point.y * this.scale;
    this.#hold();
  }

  /** A part of the photo always stays in sight. */
  #hold() {
    const keep = 48 * this.ratio;
    this.x = clamp(this.x, keep - this.photo.width * this.scale, this.width - keep);
    this.y = clamp(this.y, keep - this.photo.height * this.scale, this.height - keep);
  }

  /** Canvas to photo: (0, 0) is the top left corner of the first pixel. */
  toPhoto(x, y) {
    return { x: (x - this.x) / this.scale, y: (y - this.y) / this.scale };
  }

  toCanvas(x, y) {
    return { x: this.x + x * this.scale, y: this.y + y * this.scale };
  }

  /** The part of the photo that is in sight, in whole photo pixels: [x0, y0, x1, y1]. */
  get visible() {
    const start = this.toPhoto(0, 0);
    const end = this.toPhoto(this.width, this.height);
    const { width, height } = this.photo;
    const [x0, y0] = [clamp(Math.floor(start.x), 0, width - 1), clamp(Math.floor(start.y), 0, height - 1)];
    return [x0, y0, clamp(Math.ceil(end.x), x0 + 1, width), clamp(Math.ceil(end.y), y0 + 1, height)];
  }

  /** Width in device px of the whole photo when it fits, in steps, at most 2048 and at most the photo's own. */
  get baseWidth() {
    return this.baseWidthOf(this.photo);
  }

  baseWidthOf(photo) {
    const wanted = Math.ceil((photo.width * this.#fitScaleOf(photo)) / 256) * 256;
    return Math.min(wanted, 2048, photo.width);
  }
}
