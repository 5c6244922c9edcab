// Strokes of the brush: their points, and how they look before the server has sent the new mask. Coordinates are photo px.

import { TINTED } from "./masks.js";

const DETAIL = 0.25; // px of the screen or of the photo, whichever is larger, by which a line may be simplified

/** The stroke {points, radius, erase} of a movement; `scale` is the zoom in device px per photo px. */
export function strokeOf(points, { radius, erase }, scale) {
  const simple = simplified(points, DETAIL * Math.max(1, 1 / scale));
  return { points: simple.map(([x, y]) => [rounded(x), rounded(y)]), radius, erase };
}

const rounded = (value) => Math.round(value * 10) / 10;

/** The points of a line that matter, after Douglas and Peucker (The Canadian Cartographer 10, 1973). */
function simplified(points, tolerance) {
  const kept = new Set([0, points.length - 1]);
  const spans = [[0, points.length - 1]];
  while (spans.length) {
    const [start, end] = spans.pop();
    let [farthest, at] = [tolerance, -1];
    for (let i = start + 1; i < end; i += 1) {
      const distance = distanceTo(points[start], points[end], points[i]);
      if (distance > farthest) [farthest, at] = [distance, i];
    }
    if (at < 0) continue;
    kept.add(at);
    spans.push([start, at], [at, end]);
  }
  return points.filter((_, index) => kept.has(index));
}

function distanceTo([ax, ay], [bx, by], [x, y]) {
  const [dx, dy] = [bx - ax, by - ay];
  const square = dx * dx + dy * dy;
  const share = square ? Math.min(Math.max(((x - ax) * dx + (y - ay) * dy) / square, 0), 1) : 0;
  return Math.hypot(x - ax - share * dx, y - ay - share * dy);
}

/**
 * Draws strokes onto a picture of the mask alone, which an erasing stroke makes transparent, or black in mode `mask`. Where the
 * mask is without the strokes (`takesAway`), painting does so; what erasing gives back only the server knows.
 */
export function drawStrokes(context, viewport, strokes, mode, takesAway) {
  for (const stroke of strokes) {
    if (takesAway && stroke.erase) continue;
    drawStroke(context, viewport, stroke, mode, stroke.erase || takesAway);
  }
}

function drawStroke(context, viewport, stroke, mode, isGone) {
  if (mode === "mask") return drawLine(context, viewport, stroke, isGone ? "#000" : "#fff");
  context.globalCompositeOperation = "destination-out";
  drawLine(context, viewport, stroke, "#000");
  context.globalCompositeOperation = "source-over";
  return isGone ? undefined : drawLine(context, viewport, stroke, TINTED);
}

function drawLine(context, viewport, { points, radius }, colour) {
  const places = points.map(([x, y]) => viewport.toCanvas(x, y));
  context.beginPath();
  if (places.length === 1) {
    context.arc(places[0].x, places[0].y, radius * viewport.scale, 0, 2 * Math.PI);
    context.fillStyle = colour;
    context.fill();
    return;
  }
  for (const { x, y } of places) context.lineTo(x, y);
  context.lineCap = "round";
  context.lineJoin = "round";
  context.lineWidth = 2 * radius * viewport.scale;
  context.strokeStyle = colour;
  context.stroke();
}

/** The edge of the brush where the pointer is; dashed if it erases. */
export function drawBrush(context, viewport, { radius, erase }, [x, y]) {
  const at = viewport.toCanvas(x, y);
  const unit = viewport.unit;
  context.setLineDash(erase ? [5 * unit, 4 * unit] : []);
  for (const [colour, width] of [
    ["rgba(0, 0, 0, 0.75)", 3],
    ["#fff", 1.3],
  ]) {
    context.beginPath();
    context.arc(at.x, at.y, Math.max(radius * viewport.scale, unit), 0, 2 * Math.PI);
    context.strokeStyle = colour;
    context.lineWidth = width * unit;
    context.stroke();
  }
  context.setLineDash([]);
}
