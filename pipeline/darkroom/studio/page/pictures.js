// Pictures that the canvas shows: the whole at screen size first, then the part in sight, sharp.

import { getBitmap, withQuery } from "./api.js";
import { Emitter } from "./dom.js";

/** A photo or a result. Emits `change` when there is more to draw. */
export class Picture extends Emitter {
  base = null; // {image, box}
  sharp = null;
  error = null;
  #path;
  #baseWidth = 0;
  #sharpKey = "";
  #abort = null;

  constructor(path, label) {
    super();
    this.#path = path;
    this.label = label;
  }

  /** Loads the whole picture, `width` px wide, unless it is there at that size. */
  async load(width, photo) {
    if (this.#baseWidth >= width) return;
    this.#baseWidth = width;
    try {
      const image = await getBitmap(withQuery(this.#path, { width }));
      if (this.base && this.base.image.width >= image.width) return;
      this.base = { image, box: [0, 0, photo.width, photo.height] };
      this.error = null;
    } catch (error) {
      this.#baseWidth = 0;
      this.error = error;
    }
    this.emit("change");
  }

  /** A small picture to show until the real one is there. */
  preview(image, photo) {
    if (!this.base) this.base = { image, box: [0, 0, photo.width, photo.height] };
  }

  /** Loads what is in sight if the whole is too coarse for it. */
  async sharpen(viewport) {
    if (!this.base) return;
    const coarse = (this.base.image.width / viewport.photo.width) * 1.02 < Math.min(viewport.scale, 1);
    const box = viewport.visible;
    const width = Math.ceil(Math.min((box[2] - box[0]) * viewport.scale, box[2] - box[0]));
    const key = coarse ? `${box},${width}` : "";
    if (key === this.#sharpKey) return;
    this.#sharpKey = key;
    this.#abort?.abort();
    if (!coarse) return this.#dropSharp();
    await this.#loadSharp(box, width);
  }

  #dropSharp() {
    this.sharp = null;
    this.emit("change");
  }

  async #loadSharp(box, width) {
    this.#abort = new AbortController();
    try {
      const image = await getBitmap(withQuery(this.#path, { box: box.join(","), width }), {
        signal: this.#abort.signal,
      });
      this.sharp = { image, box };
      this.emit("change");
    } catch (error) {
      if (error.name !== "AbortError") this.#sharpKey = "";
    }
  }

  get isReady() {
    return (
      this.#baseWidth > 0 && this.base !== null && this.base.image.width >= Math.min(this.#baseWidth, this.base.box[2])
    );
  }
}

/** The last pictures shown, so that going back shows them at once. */
export class PictureCache {
  #pictures = new Map();
  #size;

  constructor(size) {
    this.#size = size;
  }

  get(path, label) {
    const picture = this.#pictures.get(path) ?? new Picture(path, label);
    this.#pictures.delete(path);
    this.#pictures.set(path, picture);
    if (this.#pictures.size > this.#size) this.#pictures.delete(this.#pictures.keys().next().value);
    return picture;
  }
}
