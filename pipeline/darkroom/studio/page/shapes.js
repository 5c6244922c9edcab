// Points and boxes: which one lies under the mouse, and where they go. A point names a pixel, a box names edges.

import { clamp } from "./dom.js";

const REACH = 9; // units of marks

/** The pixel of the photo at a place on the canvas, the nearest one if the place lies outside. */
export function pointAt(canvas, { x, y }) {
  const { viewport } = canvas;
  const at = viewport.toPhoto(x, y);
  return [clamp(Math.floor(at.x), 0, viewport.photo.width - 1), clamp(Math.floor(at.y), 0, viewport.photo.height - 1)];
}

function edgeAt(canvas, { x, y }) {
  const { viewport } = canvas;
  const at = viewport.toPhoto(x, y);
  return [clamp(Math.round(at.x), 0, viewport.photo.width), clamp(Math.round(at.y), 0, viewport.photo.height)];
}

/** The box between two places on the canvas, at least one pixel wide and high, inside the photo. */
export function boxBetween(canvas, from, to) {
  return orderedBox(canvas, [...edgeAt(canvas, from), ...edgeAt(canvas, to)]);
}

/** Whether the box between two places on the canvas covers something of the photo. */
export function isOverPhoto({ viewport }, from, to) {
  const [a, b] = [viewport.toPhoto(from.x, from.y), viewport.toPhoto(to.x, to.y)];
  const isBetween = (one, other, size) => Math.max(one, other) > 0 && Math.min(one, other) < size;
  return isBetween(a.x, b.x, viewport.photo.width) && isBetween(a.y, b.y, viewport.photo.height);
}

function orderedBox(canvas, [ax, ay, bx, by]) {
  const { width, height } = canvas.viewport.photo;
  const x0 = Math.min(ax, bx, width - 1);
  const y0 = Math.min(ay, by, height - 1);
  return [x0, y0, Math.max(ax, bx, x0 + 1), Math.max(ay, by, y0 + 1)];
}

/** The point, corner or edge of a box at a place on the canvas: {kind, index, corner} or null. Points come first. */
export function hitShape(canvas, at) {
  if (!canvas.clicks || canvas.hidden || canvas.mode === "mask") return null;
  return hitPoint(canvas, at, "negative") ?? hitPoint(canvas, at, "points") ?? hitBox(canvas, at);
}

function hitPoint(canvas, at, kind) {
  const reach = REACH * canvas.viewport.unit;
  const index = canvas.clicks[kind].findLastIndex(([x, y]) => {
    const point = canvas.viewport.toCanvas(x + 0.5, y + 0.5);
    return Math.hypot(point.x - at.x, point.y - at.y) <= reach;
  });
  return index < 0 ? null : { kind, index };
}

function hitBox(canvas, at) {
  const reach = REACH * canvas.viewport.unit;
  for (let index = canvas.clicks.boxes.length - 1; index >= 0; index -= 1) {
    const [x0, y0, x1, y1] = canvas.clicks.boxes[index];
    const corners = [
      [0, 1],
      [2, 1],
      [0, 3],
      [2, 3],
    ];
    const corner = corners.find(([i, j]) => {
      const place = canvas.viewport.toCanvas(canvas.clicks.boxes[index][i], canvas.clicks.boxes[index][j]);
      return Math.hypot(place.x - at.x, place.y - at.y) <= reach;
    });
    if (corner || isOnEdge(canvas, [x0, y0, x1, y1], at, reach / 2))
      return { kind: "boxes", index, corner: corner ?? null };
  }
  return null;
}

function isOnEdge(canvas, [x0, y0, x1, y1], at, reach) {
  const start = canvas.viewport.toCanvas(x0, y0);
  const end = canvas.viewport.toCanvas(x1, y1);
  const inX = at.x >= start.x - reach && at.x <= end.x + reach;
  const inY = at.y >= start.y - reach && at.y <= end.y + reach;
  const nearX = Math.min(Math.abs(at.x - start.x), Math.abs(at.x - end.x)) <= reach;
  const nearY = Math.min(Math.abs(at.y - start.y), Math.abs(at.y - end.y)) <= reach;
  return (nearX && inY) || (nearY && inX);
}

/** The shapes after the one that was hit has been dragged from a place to another. */
export function moveShape(canvas, hit, from, to) {
  const shapes = { ...canvas.clicks, [hit.kind]: [...canvas.clicks[hit.kind]] };
  const old = shapes[hit.kind][hit.index];
  if (hit.kind !== "boxes") shapes[hit.kind][hit.index] = pointAt(canvas, to);
  else if (hit.corner) shapes.boxes[hit.index] = orderedBox(canvas, withCorner(old, hit.corner, edgeAt(canvas, to)));
  else shapes.boxes[hit.index] = shifted(canvas, old, from, to);
  return shapes;
}

function withCorner(box, [i, j], [x, y]) {
  const moved = [...box];
  moved[i] = x;
  moved[j] = y;
  return moved;
}

function shifted(canvas, [x0, y0, x1, y1], from, to) {
  const { scale, photo } = canvas.viewport;
  const dx = clamp(Math.round((to.x - from.x) / scale), -x0, photo.width - x1);
  const dy = clamp(Math.round((to.y - from.y) / scale), -y0, photo.height - y1);
  return [x0 + dx, y0 + dy, x1 + dx, y1 + dy];
}
