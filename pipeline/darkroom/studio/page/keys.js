// Keyboard shortcuts, and the page that lists them.

import { byId, el, isForField } from "./dom.js";

const HELP = [
  [
    "On the photo",
    [
      ["Click", "add a point on the object"],
      ["Right click, or Alt + click", "add a point that does not belong to it"],
      ["Drag", "draw a box around the object"],
      ["Click a point or a box's edge", "remove it"],
      ["Drag a point, an edge or a corner", "move it"],
      ["Wheel", "zoom at the pointer"],
      ["Space + drag, or middle button", "move the photo"],
      ["Double click, or 0", "fit the photo"],
    ],
  ],
  [
    "Mask",
    [
      ["Ctrl + Z, z", "undo the last click or stroke"],
      ["Ctrl + Shift + Z", "redo"],
      ["x", "remove all clicks and strokes"],
      ["1, 2, 3", "SAM's smallest, middle and largest mask"],
      ["s", "SAM's best mask"],
      ["m", "overlay, outline, black and white, off"],
      ["b, held", "before and after"],
    ],
  ],
  [
    "Brush",
    [
      ["d", "paint the mask with a brush, or click again"],
      ["Drag, click", "paint"],
      ["Right button, or Shift + drag", "erase"],
      ["e", "paint or erase by default"],
      ["[ ], with the brush", "smaller and larger brush"],
    ],
  ],
  [
    "Photos and results",
    [
      ["← →, ↑ ↓", "previous and next photo"],
      ["p", "paint"],
      ["c", "compare with the photo"],
      ["Shift + click on a card", "compare with that picture"],
      ["[ ]", "previous and next result"],
      ["Esc", "back to the photo"],
      ["+ −", "zoom"],
      ["f", "full screen"],
      ["Ctrl + S", "save the recipe"],
      ["?", "this help"],
    ],
  ],
  [
    "Review",
    [
      ["a", "approve"],
      ["r", "reject"],
      ["u", "undo the last decision"],
      ["Wheel", "zoom"],
      ["Click", "100 %, and back"],
      ["← →", "previous and next picture"],
    ],
  ],
];

/** The keys of a keyboard event as text: `Ctrl+Shift+z`, `m`, `ArrowLeft`. */
function nameOf(event) {
  const control = event.ctrlKey || event.metaKey ? "Ctrl+" : "";
  const shift = event.shiftKey && (control || event.key.length > 1) ? "Shift+" : "";
  return control + shift + (event.key.length === 1 ? event.key.toLowerCase() : event.key);
}

/** Calls `actions()[key](event)`; keys that belong to a field or to an open dialog are left alone. */
export function listenToKeys(actions, released) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.altKey || document.querySelector("dialog[open]")) return;
    const name = nameOf(event);
    if (isForField(event.key, event.target) && name !== "Ctrl+s")
      return event.key === "Escape" ? event.target.blur() : undefined;
    if ((name === " " || name === "Enter") && event.target.closest?.("button, a, summary")) return;
    const action = actions()[name];
    if (!action) return;
    event.preventDefault();
    action(event);
  });
  document.addEventListener("keyup", (event) => released(event.key.length === 1 ? event.key.toLowerCase() : event.key));
  window.addEventListener("blur", () => released(null));
}

export function fillHelp() {
  const section = ([title, rows]) =>
    el(
      "section",
      {},
      el("h3", {}, title),
      el(
        "dl",
        {},
        rows.flatMap(([keys, what]) => [el("dt", {}, keys), el("dd", {}, what)]),
      ),
    );
  byId("help-sections").replaceChildren(...HELP.map(section));
}
