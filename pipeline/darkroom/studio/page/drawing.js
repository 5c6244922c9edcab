// How photo, mask, points and boxes look on the canvas. All sizes are in units of `viewport.unit`.

const DARK = "rgba(0, 0, 0, 0.75)";

/** A picture: the whole, then the sharp part of it. */
export function drawPicture(context, viewport, picture) {
  for (const layer of [picture.base, picture.sharp]) if (layer) drawLayer(context, viewport, layer.image, layer.box);
}

function drawLayer(context, viewport, image, [x0, y0, x1, y1], quality = "medium") {
  const start = viewport.toCanvas(x0, y0);
  const perPixel = ((x1 - x0) * viewport.scale) / image.width;
  context.imageSmoothingEnabled = perPixel < 3 * viewport.ratio; // pixels are squares when they are large
  context.imageSmoothingQuality = quality;
  context.drawImage(image, start.x, start.y, (x1 - x0) * viewport.scale, (y1 - y0) * viewport.scale);
}

/** A mask as `overlay`, `outline` or `mask` (black and white). The sharp part covers the coarse one. */
export function drawMask(context, viewport, mask, mode, isLast) {
  context.save();
  if (!isLast) clipOut(context, viewport, mask.coveredBy);
  if (mode === "mask") drawLayer(context, viewport, mask.grey, mask.box, "low");
  if (mode === "overlay") drawLayer(context, viewport, mask.tinted, mask.box, "low");
  if (mode !== "mask") drawOutline(context, viewport, mask, mode === "outline");
  context.restore();
}

function clipOut(context, viewport, box) {
  if (!box) return;
  const start = viewport.toCanvas(box[0], box[1]);
  const end = viewport.toCanvas(box[2], box[3]);
  context.beginPath();
  context.rect(0, 0, viewport.width, viewport.height);
  context.rect(start.x, start.y, end.x - start.x, end.y - start.y);
  context.clip("evenodd");
}

function drawOutline(context, viewport, mask, strong) {
  const start = viewport.toCanvas(mask.box[0], mask.box[1]);
  const sx = ((mask.box[2] - mask.box[0]) * viewport.scale) / mask.width;
  const sy = ((mask.box[3] - mask.box[1]) * viewport.scale) / mask.height;
  context.setTransform(sx, 0, 0, sy, start.x, start.y);
  const px = viewport.unit / Math.sqrt(sx * sy);
  context.lineJoin = "round";
  context.strokeStyle = "rgba(0, 0, 0, 0.6)";
  context.lineWidth = (strong ? 3.5 : 2.6) * px;
  context.stroke(mask.outline);
  context.strokeStyle = "#fff";
  context.lineWidth = (strong ? 1.6 : 1.1) * px;
  context.stroke(mask.outline);
  context.setTransform(1, 0, 0, 1, 0, 0);
}

/** A click: a green plus on the object, or a red minus off it, in the middle of its pixel. */
export function drawPoint(context, viewport, [x, y], isPositive) {
  const at = viewport.toCanvas(x + 0.5, y + 0.5);
  const r = viewport.unit;
  context.beginPath();
  context.arc(at.x, at.y, 7 * r, 0, 2 * Math.PI);
  context.fillStyle = isPositive ? "#1fa35c" : "#d8323f";
  context.fill();
  stroke(context, "#fff", 1.5 * r);
  context.beginPath();
  context.moveTo(at.x - 3.5 * r, at.y);
  context.lineTo(at.x + 3.5 * r, at.y);
  if (isPositive) {
    context.moveTo(at.x, at.y - 3.5 * r);
    context.lineTo(at.x, at.y + 3.5 * r);
  }
  stroke(context, "#fff", 1.8 * r);
}

/** A box; dashed while it is being drawn. */
export function drawBox(context, viewport, [x0, y0, x1, y1], dashed = false) {
  const start = viewport.toCanvas(Math.min(x0, x1), Math.min(y0, y1));
  const end = viewport.toCanvas(Math.max(x0, x1), Math.max(y0, y1));
  const r = viewport.unit;
  context.beginPath();
  context.rect(start.x, start.y, end.x - start.x, end.y - start.y);
  stroke(context, DARK, 3.5 * r);
  context.setLineDash(dashed ? [5 * r, 4 * r] : []);
  stroke(context, "#6ec1ff", 1.6 * r);
  context.setLineDash([]);
  if (!dashed)
    for (const [x, y] of [
      [start.x, start.y],
      [end.x, start.y],
      [start.x, end.y],
      [end.x, end.y],
    ])
      drawHandle(context, x, y, r);
}

function drawHandle(context, x, y, r) {
  context.beginPath();
  context.rect(x - 3.5 * r, y - 3.5 * r, 7 * r, 7 * r);
  context.fillStyle = "#6ec1ff";
  context.fill();
  stroke(context, DARK, r);
}

/** The line between two compared pictures, with a handle in its middle. */
export function drawDivider(context, viewport, x) {
  const r = viewport.unit;
  const y = viewport.height / 2;
  context.fillStyle = "#fff";
  context.fillRect(Math.round(x - r / 2), 0, Math.max(1, Math.round(r)), viewport.height);
  context.beginPath();
  context.arc(x, y, 13 * r, 0, 2 * Math.PI);
  context.fill();
  stroke(context, DARK, r);
  context.beginPath();
  for (const side of [-1, 1]) {
    context.moveTo(x + side * 4 * r, y - 4 * r);
    context.lineTo(x + side * 8 * r, y);
    context.lineTo(x + side * 4 * r, y + 4 * r);
  }
  stroke(context, "#222", 1.8 * r);
}

function stroke(context, colour, width) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}
