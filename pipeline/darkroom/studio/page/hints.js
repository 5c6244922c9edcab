// What the canvas says about the mask: a line above the photo, and figures below it.

import { byId, prose } from "./dom.js";

const UNSURE = 0.8; // SAM's own estimate of its mask's overlap with the object
const LESSON = 3; // clicks until one knows how it works

/** Shows a line above the photo, or none. */
export function say(text, kind = "hint") {
  const line = byId("canvas-message");
  line.hidden = !text;
  line.replaceChildren(...prose(text ?? ""));
  line.className = `canvas-message ${kind}`;
}

/** What a mask calls for, as [text, kind]: the flag of a gate, a doubtful mask, or what else one can do. */
export function hintFor({ flag, confidence }, { op, clicks, changes }) {
  if (flag) return [flag, "warning"];
  if (op === "sam" && clicks && confidence && confidence < UNSURE)
    return ["Not good? Add a click, drag a box, or try the stage `subject` for photographs.", "hint"];
  if (op === "mask_file" && clicks && changes > 0 && changes < LESSON)
    return ["Right button or Shift: erase. `[` and `]`: another size.", "hint"];
  if (op !== "mask_file" && clicks && changes > 0 && changes < LESSON)
    return ["Right click: not this. Drag: a box. Click a point to remove it.", "hint"];
  return [null, "hint"];
}

/** Shows how much of the photo the mask covers, and how sure the model is; nothing if there is no mask. */
export function tellCoverage({ coverage, confidence }) {
  const percent = (share) => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
  const words = [
    coverage === undefined ? null : `${percent(coverage)} of the photo`,
    confidence ? `confidence ${confidence.toFixed(2)}` : null,
  ];
  byId("mask-info").textContent = words.filter(Boolean).join(" · ");
  if (coverage === undefined) byId("latency").textContent = "";
}
