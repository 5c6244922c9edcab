// Requests to the studio's server, and what happens when it is gone.

import { Emitter } from "./dom.js";

/** The random name of this tab; the server answers only the newest mask request of each tab. */
export const TAB = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) =>
  byte.toString(16).padStart(2, "0"),
).join("");

/** An error that the server explains in one line. `status` is 0 if the server does not answer. */
export class ApiError extends Error {
  constructor(message, status, data = {}) {
    super(message);
    this.status = status;
    this.data = data;
  }

  get gone() {
    return this.status === 0 || this.status === 503;
  }
}

/** Emits `lost` when the server does not answer, and `back` when it does again. */
class Connection extends Emitter {
  online = true;
  #waiting = [];

  lose() {
    if (!this.online) return;
    this.online = false;
    this.emit("lost");
    this.#knock();
  }

  async #knock() {
    while (!this.online) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      try {
        const response = await fetch("/api/studio", { cache: "no-store" });
        if (response.ok) this.#find();
      } catch {
        // still gone
      }
    }
  }

  #find() {
    this.online = true;
    this.emit("back");
    this.#waiting.splice(0).forEach((resolve) => resolve());
  }

  /** Waits until the server answers. */
  ready() {
    return this.online ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }
}

export const connection = new Connection();

/** Fetches an answer of the server. Throws `ApiError`, or an `AbortError` if `options.signal` aborts it. */
export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    connection.lose();
    throw new ApiError("The studio does not answer.", 0);
  }
  if (response.ok) return response;
  if (response.status === 503) connection.lose();
  const data = await response.json().catch(() => ({}));
  throw new ApiError(
    data.error ?? `The studio answered ${response.status} ${response.statusText}.`,
    response.status,
    data,
  );
}

export const getJson = async (path, options) => (await ask(path, options)).json();

export async function postJson(path, body) {
  const headers = { "Content-Type": "application/json" };
  return (await ask(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

/** A picture as an `ImageBitmap`. */
export async function getBitmap(path, options) {
  const response = await ask(path, options);
  return createImageBitmap(await response.blob());
}

/** A path with those parameters that are not null. */
export function withQuery(path, parameters) {
  const query = new URLSearchParams(
    Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined),
  );
  return query.size ? `${path}?${query}` : path;
}

/** Listens to the server: emits `open`, then `draft`, `job` and `photo`. The browser connects again by itself. */
export function listen(emitter) {
  const source = new EventSource("/api/events");
  source.addEventListener("open", () => emitter.emit("open"));
  source.addEventListener("message", (message) => {
    const event = JSON.parse(message.data);
    emitter.emit(event.type, event);
  });
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return connection.lose();
    connection.ready().then(() => setTimeout(() => listen(emitter), 1000));
  });
}
