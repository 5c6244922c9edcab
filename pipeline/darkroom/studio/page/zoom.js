// Zooms two pictures side by side together: wheel, click for 100 %, drag to move.

import { clamp } from "./dom.js";

const LARGEST = 64; // times the fitted size
const STILL = 4; // CSS px: a press that moves less is a click

/** Moves and scales `images`, each in a frame of the same size. `near()` loads them larger, once they are zoomed. */
export class TwinZoom {
  #images;
  #near;
  #scale = 1; // 1: fitted
  #at = [0, 0]; // of the picture's corner, in frame widths and heights
  #press = null;

  constructor(images, near) {
    this.#images = images;
    this.#near = near;
    for (const image of images) {
      const frame = image.parentElement;
      frame.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
      frame.addEventListener("pointerdown", (event) => this.#down(event));
      frame.addEventListener("pointermove", (event) => this.#move(event));
      frame.addEventListener("pointerup", (event) => this.#up(event, image));
      image.draggable = false;
    }
  }

  fit() {
    this.#scale = 1;
    this.#put([0, 0]);
  }

  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
    this.#zoom(this.#scale * Math.exp(clamp(-event.deltaY * lines * 0.0016, -2, 2)), placeIn(event));
    if (this.#scale > 1) this.#near();
  }

  #down(event) {
    if (event.button !== 0) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    this.#press = { start: placeIn(event), at: this.#at, moved: false };
  }

  #move(event) {
    if (!this.#press) return;
    const { start, at } = this.#press;
    const [dx, dy] = placeIn(event).map((value, axis) => value - start[axis]);
    const { clientWidth, clientHeight } = event.currentTarget;
    this.#press.moved ||= Math.hypot(dx * clientWidth, dy * clientHeight) > STILL;
    if (this.#press.moved) this.#put([at[0] + dx, at[1] + dy]);
  }

  #up(event, image) {
    const press = this.#press;
    this.#press = null;
    if (!press || press.moved) return;
    if (this.#scale > 1) this.fit();
    else this.#showPixels(image, press.start);
  }

  /** One pixel of the picture as one of the screen. */
  async #showPixels(image, place) {
    await this.#near();
    const { clientWidth, clientHeight } = image.parentElement;
    const fitted = Math.min(clientWidth / image.naturalWidth, clientHeight / image.naturalHeight);
    this.#zoom(1 / (fitted * window.devicePixelRatio), place);
  }

  #zoom(scale, place) {
    const old = this.#scale;
    this.#scale = clamp(scale, 1, LARGEST);
    this.#put(place.map((value, axis) => value - ((value - this.#at[axis]) * this.#scale) / old));
  }

  #put(at) {
    this.#at = at.map((value) => clamp(value, 1 - this.#scale, 0));
    const [x, y] = this.#at.map((value) => `${100 * value}%`);
    for (const image of this.#images) {
      image.style.transform = `translate(${x}, ${y}) scale(${this.#scale})`;
      image.parentElement.classList.toggle("zoomed", this.#scale > 1);
    }
  }
}

/** Where the pointer is, in widths and heights of the frame. */
function placeIn(event) {
  const { left, top, width, height } = event.currentTarget.getBoundingClientRect();
  return [(event.clientX - left) / width, (event.clientY - top) / height];
}
