// Mouse, pen, finger and wheel on the canvas, as what the user means: click, box, stroke, move, remove, pan, zoom.

import { Emitter, clamp } from "./dom.js";
import { boxBetween, hitShape, isOverPhoto, moveShape, pointAt } from "./shapes.js";

const STILL = 4; // CSS px: a press that moves less is a click
const BORDER = 24; // CSS px: clicks this near beside the photo count as clicks on its border

/**
 * Emits `click` {point, negative}, `box` {box}, `stroke` {points, erase}, `remove` {hit}, `shapes` {shapes} after a move, each
 * with `since`, the time of the event in ms; also `hover` {x, y} | null, `double`, `divide`, and `plain`
 * for a click where the canvas takes no clicks.
 */
export class Gestures extends Emitter {
  #press = null;
  #space = false;

  constructor(canvas) {
    super();
    this.canvas = canvas;
    const { element } = canvas;
    element.addEventListener("pointerdown", (event) => this.#down(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", (event) => this.#up(event));
    element.addEventListener("pointercancel", (event) => event.pointerId === this.#press?.pointer && this.#stop());
    element.addEventListener("pointerleave", () => this.#leave());
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    element.addEventListener("dblclick", () => this.emit("double"));
    element.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  /** Space held: drags pan. */
  set space(held) {
    this.#space = held;
    this.canvas.element.classList.toggle("pannable", held);
  }

  get isBusy() {
    return this.#press !== null;
  }

  #at(event) {
    return this.canvas.fromClient(event.clientX, event.clientY);
  }

  #down(event) {
    if (!this.canvas.hasPhoto || this.#press) return;
    this.canvas.element.focus({ preventScroll: true });
    const start = this.#at(event);
    const { button, pointerId } = event;
    this.#press = { button, pointer: pointerId, start, last: start, moved: false, kind: null, hit: null };
    this.#press.kind = this.#kind(event, start);
    if (this.#press.kind === "mark") this.#press.hit = hitShape(this.canvas, start);
    if (this.#press.kind === "paint") this.#beginStroke(event);
    this.canvas.element.setPointerCapture(event.pointerId);
    if (button === 1) event.preventDefault(); // no automatic scrolling
    if (this.#press.kind === "divide") this.#divide(start);
  }

  #kind(event, start) {
    if (event.button === 1 || this.#space) return "pan";
    if (this.canvas.isComparing) return "divide";
    if (this.canvas.brush) return "paint";
    return this.canvas.clicks && (event.button === 0 || this.#isNear(start)) ? "mark" : "pan";
  }

  #isNear({ x, y }) {
    const { viewport } = this.canvas;
    const point = viewport.toPhoto(x, y);
    const border = (BORDER * viewport.ratio) / viewport.scale;
    const { width, height } = viewport.photo;
    return point.x >= -border && point.y >= -border && point.x <= width + border && point.y <= height + border;
  }

  /** Shift, the right button and the other end of a pen erase. */
  #beginStroke(event) {
    const isEraser = event.button === 2 || event.button === 5 || event.shiftKey;
    const { radius, erase } = this.canvas.brush;
    this.canvas.preview = { stroke: { points: [this.#placeOf(event)], radius, erase: erase || isEraser } };
    this.canvas.redraw();
  }

  #placeOf(event) {
    const at = this.#at(event);
    const { x, y } = this.canvas.viewport.toPhoto(at.x, at.y);
    return [x, y];
  }

  #continueStroke(event) {
    const events = event.getCoalescedEvents?.() ?? []; // all places since the last frame
    this.canvas.preview.stroke.points.push(...(events.length ? events : [event]).map((each) => this.#placeOf(each)));
  }

  #leave() {
    this.canvas.pointer = null;
    if (this.canvas.brush) this.canvas.redraw();
    this.emit("hover", null);
  }

  #move(event) {
    const press = this.#press;
    if (press && event.pointerId !== press.pointer) return; // a second finger
    const at = this.#at(event);
    this.emit("hover", this.canvas.hasPhoto ? this.canvas.viewport.toPhoto(at.x, at.y) : null);
    this.canvas.pointer = this.#placeOf(event);
    if (this.canvas.brush) this.canvas.redraw();
    if (press?.kind === "paint") return this.#continueStroke(event);
    if (!press) return;
    const still = STILL * this.canvas.viewport.ratio;
    press.moved ||= Math.hypot(at.x - press.start.x, at.y - press.start.y) > still;
    if (press.moved) this.#drag(press, at);
    press.last = at;
  }

  #drag(press, at) {
    const { canvas } = this;
    if (press.kind === "pan") return canvas.moved((viewport) => viewport.pan(at.x - press.last.x, at.y - press.last.y));
    if (press.kind === "divide") return this.#divide(at);
    if (press.button !== 0) return undefined;
    if (press.hit) canvas.preview = { shapes: moveShape(canvas, press.hit, press.start, at) };
    else canvas.preview = isOverPhoto(canvas, press.start, at) ? { box: boxBetween(canvas, press.start, at) } : null;
    return canvas.redraw();
  }

  #divide(at) {
    this.canvas.divider = clamp(at.x / this.canvas.element.width, 0, 1);
    this.canvas.redraw();
    this.emit("divide");
  }

  #up(event) {
    const press = this.#press;
    if (!press || event.button !== press.button || event.pointerId !== press.pointer) return;
    const { preview } = this.canvas;
    if (event.pointerType === "touch") this.canvas.pointer = null;
    this.#stop();
    if (press.kind === "pan" && !press.moved && press.button === 0 && !this.canvas.clicks) this.emit("plain");
    const since = event.timeStamp;
    if (press.kind === "paint" && preview?.stroke) this.emit("stroke", { ...preview.stroke, since });
    if (press.kind !== "mark") return;
    if (preview?.shapes) this.emit("shapes", { shapes: preview.shapes, since });
    else if (preview?.box) this.emit("box", { box: preview.box, since });
    else if (!press.moved && this.#isNear(press.start)) this.#click(press, event, since);
  }

  #click(press, event, since) {
    if (press.hit && press.button === 0) return this.emit("remove", { hit: press.hit, since });
    const negative = press.button === 2 || event.altKey || event.ctrlKey;
    return this.emit("click", { point: pointAt(this.canvas, press.start), negative, since });
  }

  #stop() {
    this.#press = null;
    this.canvas.preview = null;
    this.canvas.redraw();
  }

  /** Escape: gives up what is being dragged. */
  cancel() {
    if (this.#press) this.#stop();
  }

  #wheel(event) {
    event.preventDefault();
    if (!this.canvas.hasPhoto) return;
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
    const speed = event.ctrlKey ? 0.01 : 0.0016; // a pinch on a touchpad arrives as small steps with Ctrl
    const at = this.#at(event);
    this.canvas.moved((viewport) => viewport.zoom(Math.exp(clamp(-event.deltaY * lines * speed, -2, 2)), at.x, at.y));
  }
}
