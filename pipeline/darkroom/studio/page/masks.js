// Makes a mask visible: a tinted overlay, and an outline along its half-way line.

const TINT = [255, 58, 84]; // the red of masking film
const OPACITY = 0.45;
const MOST_SEGMENTS = 60000; // noise has no outline worth drawing

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
  const pixels = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
  const values = Uint8Array.from(pixels); // the lowest byte is red, as good as grey
  return { width, height, box, grey, tinted: tint(values, width, height), outline: outline(values, width, height), values };
}

function tint(values, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < values.length; i += 1) pixels[i] = TINTS[values[i]];
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** The line where the mask passes one half, by marching squares (Lorensen and Cline, SIGGRAPH 1987, in two dimensions). */
function outline(values, width, height) {
  const path = new Path2D();
  let segments = 0;
  for (let y = 0; y < height - 1 && segments < MOST_SEGMENTS; y += 1) {
    const row = y * width;
    let left = (values[row] > 127) | ((values[row + width] > 127) << 1);
    for (let x = 0; x < width - 1; x += 1) {
      const at = row + x + 1;
      const right = (values[at] > 127) | ((values[at + width] > 127) << 1);
      if (left !== right || (left !== 0 && left !== 3)) segments += addCell(path, values, width, x, y);
      left = right;
    }
  }
  return segments < MOST_SEGMENTS ? path : new Path2D();
}

/** Adds the line through the cell between four pixel centres, or two lines at a saddle. */
function addCell(path, values, width, x, y) {
  const at = y * width + x;
  const [a, b, c, d] = [values[at], values[at + 1], values[at + width + 1], values[at + width]]; // clockwise from top left
  const crossings = [];
  if (a > 127 !== b > 127) crossings.push([x + 0.5 + share(a, b), y + 0.5]);
  if (b > 127 !== c > 127) crossings.push([x + 1.5, y + 0.5 + share(b, c)]);
  if (d > 127 !== c > 127) crossings.push([x + 0.5 + share(d, c), y + 1.5]);
  if (a > 127 !== d > 127) crossings.push([x + 0.5, y + 0.5 + share(a, d)]);
  for (let i = 0; i + 1 < crossings.length; i += 2) {
    path.moveTo(...crossings[i]);
    path.lineTo(...crossings[i + 1]);
  }
  return crossings.length / 2;
}

const share = (from, to) => (127.5 - from) / (to - from);
