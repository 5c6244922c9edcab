// The cards in the strip of results.

import { el } from "./dom.js";

export function makeCard(key, src, label, prompt, onclick) {
  const image = el("img", { src, alt: "", draggable: false });
  const caption = el("span", { class: "label" }, el("strong", {}, label), prompt ? ` ${prompt}` : "");
  return el(
    "button",
    {
      type: "button",
      class: "card",
      "data-key": key,
      "data-test": key === "photo" ? "card-photo" : "result",
      onclick,
      "aria-label": `${label} ${prompt}`.trim(),
    },
    image,
    caption,
  );
}

/** A picture that is being painted, or waits for it. */
export function waitingCard(job) {
  const text = job ? `${Math.round((job.share * job.total - job.done) * 100)} %` : "";
  return el(
    "div",
    { class: "card waiting", "data-test": "waiting", "data-key": "" },
    el("span", { class: "blank" }, text),
    el("span", { class: "label" }, "waiting"),
  );
}

/** Puts other cards into the strip. Keeps the pictures that are there, which would blink, and the focus. */
export function replaceCards(strip, cards) {
  const focused = strip.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const known = new Map([...strip.children].map((card) => [card.dataset.key, card]));
  strip.replaceChildren(...cards.map((card) => withOldPicture(known.get(card.dataset.key), card)));
  if (focused) [...strip.children].find((card) => card.dataset.key === focused)?.focus();
}

function withOldPicture(old, card) {
  if (!old || old.dataset.test === "waiting") return card;
  const image = old.querySelector("img");
  if (image?.getAttribute("src") === card.querySelector("img")?.getAttribute("src"))
    card.querySelector("img").replaceWith(image);
  return card;
}
