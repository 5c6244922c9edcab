// Makes a mask visible: a tinted overlay, and an outline along its half-way line.

import { outlineOf } from "./outline.js";

const TINT = [205, 60, 255]; // violet: few things in photographs have it
const OPACITY = 0.45;

/** The tint of white, as CSS. */
export const TINTED = `rgba(${TINT.join(", ")}, ${OPACITY})`;

const TINTS = new Uint32Array(256).map((_, value) => {
  const alpha = Math.round(value * OPACITY);
  return ((alpha << 24) | (TINT[2] << 16) | (TINT[1] << 8) | TINT[0]) >>> 0;
});

/** A mask to draw: `grey` and `tinted` are canvases, `outline` a `Path2D` in the mask's pixels, `box` lies in the photo. */
export function prepareMask(bitmap, box) {
  const { width, height } = bitmap;
  const grey = new OffscreenCanvas(width, height);
  const context = grey.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const image = context.getImageData(0, 0, width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const values = new Uint8Array(pixels.length);
  for (let i = 0; i < pixels.length; i += 1) {
    values[i] = pixels[i] & 255; // red, as good as grey
    pixels[i] = TINTS[values[i]];
  }
  const tinted = new OffscreenCanvas(width, height);
  tinted.getContext("2d").putImageData(image, 0, 0);
  return { width, height, box, grey, tinted, outline: outlineOf(values, width, height) };
}
