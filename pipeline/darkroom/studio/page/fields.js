// A control for each kind of parameter. A field shows a value, and says when the user changed it.

import { el, iconButton, prose } from "./dom.js";

const LONG = 130; // letters that fill about three lines

/**
 * A labelled field for a parameter. `onset(value)` is called with a checked value as the recipe would hold it, `onreset()` when
 * the default is wanted. Returns {element, show(value, isWritten), complain(text, kind)}.
 */
export function makeField(parameter, { stage, onset, onreset, label = parameter.name, rows = 2 }) {
  const id = `field-${stage}-${parameter.name}`;
  const complaint = el("p", { class: "complaint", id: `${id}-complaint`, hidden: true });
  const tell = (text, kind = "error") => complain(complaint, text, kind);
  const control = makeControl(parameter, {
    id,
    label,
    rows,
    onset: (value) => (tell(null), onset(value)),
    onreset,
    tell,
  });
  const help = el("p", { class: "help", hidden: true }, prose(helpText(parameter)));
  const reset = iconButton("reset", `Reset ${label} to ${defaultText(parameter)}`, onreset, {
    class: "icon-button reset",
    "data-test": `reset-${stage}-${parameter.name}`,
  });
  const info = iconButton("info", `About ${label}`, () => (help.hidden = !help.hidden), { class: "icon-button info" });
  const head = el(
    "div",
    { class: "field-head" },
    el("label", { htmlFor: id, title: helpText(parameter).replaceAll("`", "") }, label),
    info,
    reset,
  );
  const element = el(
    "div",
    { class: `field kind-${parameter.kind}`, "data-test": `field-${stage}-${parameter.name}` },
    head,
    control.element,
    complaint,
    help,
  );
  const show = (value, isWritten) => {
    element.classList.toggle("written", isWritten);
    reset.hidden = !isWritten || parameter.required;
    control.show(value);
  };
  return { element, show, complain: tell };
}

/** Shows a line in an element, cut after three lines if it is long, with a button for the rest. */
export function complain(element, text, kind = "error") {
  element.hidden = !text;
  element.className = `complaint ${kind}`;
  if (element.dataset.text === (text ?? "")) return; // the rest of it may be open
  element.dataset.text = text ?? "";
  const words = el("span", {}, prose(text ?? ""));
  element.replaceChildren(words, ...((text?.length ?? 0) > LONG ? [moreButton(words)] : []));
}

function moreButton(words) {
  words.className = "cut";
  const button = el("button", { type: "button", class: "link", "aria-expanded": "false" }, "more");
  button.addEventListener("click", () => {
    const isCut = words.classList.toggle("cut");
    button.textContent = isCut ? "more" : "less";
    button.setAttribute("aria-expanded", String(!isCut));
  });
  return button;
}

const defaultText = (parameter) => (parameter.default === null ? "nothing" : JSON.stringify(parameter.default));

const helpText = (parameter) =>
  `${parameter.help}${parameter.required ? " Required." : ` Default: ${defaultText(parameter)}`}`;

function makeControl(parameter, tools) {
  const makers = {
    number: makeNumber,
    integer: makeNumber,
    choice: makeChoice,
    flag: makeFlag,
    text: makeText,
    texts: makeTexts,
    seeds: makeSeeds,
    colours: makeColours,
  };
  return (makers[parameter.kind] ?? makeOther)(parameter, tools);
}

/** Writes a value into a control unless the user is at it. */
function write(input, text) {
  if (document.activeElement !== input && input.value !== text) input.value = text;
}

function makeNumber(parameter, { id, label, onset, onreset, tell }) {
  const { minimum, maximum } = parameter;
  const step = parameter.kind === "integer" ? 1 : (parameter.step ?? "any");
  const number = el("input", {
    type: "number",
    id,
    min: minimum ?? "",
    max: maximum ?? "",
    step: parameter.kind === "integer" ? 1 : "any",
    placeholder: parameter.nullable ? "none" : "",
  });
  const [low, high] = parameter.slider ?? [];
  const slider = parameter.slider
    ? el("input", { type: "range", min: low, max: high, step, "aria-label": `${label}, slider`, tabIndex: -1 })
    : null;
  slider?.addEventListener("input", () => {
    number.value = slider.value;
    onset(Number(slider.value));
  });
  number.addEventListener("input", () => {
    if (number.value === "") return number.validity.badInput ? tell("should be a number") : onreset();
    const value = Number(number.value);
    if (slider) slider.value = value;
    return parameter.kind === "integer" && !Number.isInteger(value) ? tell("should be a whole number") : onset(value);
  });
  const show = (value) => {
    write(number, value === null || value === undefined ? "" : String(value));
    if (slider && document.activeElement !== slider) slider.value = value ?? low;
    element.classList.toggle("unset", value === null || value === undefined);
  };
  const element = el("div", { class: "number" }, slider, number);
  return { element, show };
}

function makeChoice(parameter, { id, onset, onreset }) {
  const none = parameter.nullable ? [el("option", { value: "" }, "none")] : [];
  const select = el(
    "select",
    { id },
    none,
    parameter.choices.map((choice) => el("option", { value: String(choice) }, String(choice))),
  );
  select.addEventListener("change", () =>
    select.value === "" ? onreset() : onset(parameter.choices.find((choice) => String(choice) === select.value)),
  );
  return { element: select, show: (value) => (select.value = value ?? "") };
}

function makeFlag(parameter, { id, onset }) {
  const box = el("input", { type: "checkbox", id, role: "switch" });
  box.addEventListener("change", () => onset(box.checked));
  return { element: box, show: (value) => (box.checked = Boolean(value)) };
}

function makeText(parameter, { id, onset, onreset, rows }) {
  const isLong = /prompt$|query|reference/.test(parameter.name);
  const input = isLong
    ? el("textarea", { id, rows, spellcheck: true })
    : el("input", { type: "text", id, spellcheck: false });
  input.placeholder = parameter.nullable ? "none" : "";
  input.addEventListener("input", () => (input.value.trim() === "" ? onreset() : onset(input.value)));
  return { element: input, show: (value) => write(input, value ?? "") };
}

/** One text a line; a line in braces is a prompt with parameters of its own, as JSON. */
function makeTexts(parameter, { id, onset, onreset, rows }) {
  const area = el("textarea", { id, rows, spellcheck: true, placeholder: parameter.nullable ? "none" : "one a line" });
  area.addEventListener("input", () => {
    const lines = area.value
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
    if (!lines.length) return onreset();
    return onset(alone(lines.map((line) => (line.startsWith("{") ? parsed(line) : line))));
  });
  const asLine = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
  return { element: area, show: (value) => write(area, [value ?? []].flat().map(asLine).join("\n")) };
}

const alone = (values) => (values.length === 1 ? values[0] : values);

/** Whole numbers, or a rule such as `random` or `{count: 4}`. */
function makeSeeds(parameter, { id, onset, tell }) {
  const input = el("input", { type: "text", id, placeholder: "0, 1, 2", spellcheck: false, autocomplete: "off" });
  input.addEventListener("input", () => {
    const value = seedsFrom(input.value.trim());
    return value === null ? tell("should be whole numbers from 0, with commas between them") : onset(value);
  });
  const asWord = (value) =>
    typeof value === "object"
      ? JSON.stringify(value)
          .replaceAll('"', "")
          .replace(/([:,])/g, "$1 ")
      : String(value);
  return { element: input, show: (value) => write(input, [value ?? []].flat().map(asWord).join(", ")) };
}

function seedsFrom(text) {
  if (/^(random|\$\{[^}]*\})$/.test(text)) return text;
  if (text.startsWith("{")) return ruleFrom(text);
  const words = text.split(/[\s,;]+/).filter(Boolean);
  return words.length && words.every((word) => /^\d{1,15}$/.test(word)) ? alone(words.map(Number)) : null;
}

/** `{count: 4, start: random}`, written as in YAML. */
function ruleFrom(text) {
  try {
    return JSON.parse(
      text.replace(/([{,]\s*)(\w+)\s*:/g, '$1"$2":').replace(/:\s*(?!true\b|false\b)([a-z]+)/g, ':"$1"'),
    );
  } catch {
    return null;
  }
}

function makeColours(parameter, { id, label, onset, onreset }) {
  const input = el("input", { type: "text", id, spellcheck: false, placeholder: "white, #f0f0f0" });
  const picker = el("input", { type: "color", "aria-label": `Pick ${label}` });
  input.addEventListener("input", () => {
    const colours = input.value
      .split(",")
      .map((colour) => colour.trim())
      .filter(Boolean);
    if (!colours.length) return onreset();
    return onset(colours.length === 1 ? colours[0] : colours);
  });
  picker.addEventListener("input", () => {
    input.value = picker.value;
    onset(picker.value);
  });
  const show = (value) => {
    write(input, [value ?? []].flat().join(", "));
    if (/^#[0-9a-f]{6}$/i.test(input.value)) picker.value = input.value;
  };
  return { element: el("div", { class: "colours" }, picker, input), show };
}

/** Anything else: typed JSON where it parses, else text. */
function makeOther(parameter, { id, onset, onreset }) {
  const input = el("input", {
    type: "text",
    id,
    spellcheck: false,
    placeholder: parameter.nullable || parameter.default === null ? "none" : "",
  });
  input.addEventListener("input", () => (input.value.trim() === "" ? onreset() : onset(parsed(input.value))));
  return {
    element: input,
    show: (value) =>
      write(
        input,
        typeof value === "string" ? value : value === null || value === undefined ? "" : JSON.stringify(value),
      ),
  };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text.trim();
  }
}
