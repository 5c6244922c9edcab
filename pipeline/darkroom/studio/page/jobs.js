// The one job that the server works on: painting a photo, or a run on all of them.

import { connection, postJson } from "./api.js";
import { Emitter, duration, el } from "./dom.js";

const isOver = (job) => job === null || !["waiting", "running"].includes(job.status);

/** Emits `change` {job} with every progress, and `end` {job} when a job is over. */
export class Jobs extends Emitter {
  job = null;

  set(job) {
    if (job?.run === this.job?.run && isOver(this.job) && !isOver(job)) return; // an answer that a message has overtaken
    const wasRunning = this.isRunning;
    this.job = job;
    this.emit("change", job);
    if (job && wasRunning && !this.isRunning) this.emit("end", job); // null: the server has been started again
  }

  get isRunning() {
    return this.job !== null && !isOver(this.job);
  }

  async cancel() {
    try {
      await postJson("/api/cancel", {});
    } catch (error) {
      if (!error.gone) throw error;
      await connection.ready();
    }
  }
}

/** A progress bar with the time left and a button that cancels. Returns {element, show(job)}. */
export function makeProgress(jobs, test) {
  const bar = el("progress", { max: 1, value: 0, "aria-label": "Progress", "data-test": `${test}-progress` });
  const text = el("span", { class: "time", role: "status" });
  const cancel = el("button", { type: "button", class: "small", "data-test": `${test}-cancel` }, "Cancel");
  cancel.addEventListener("click", () => {
    cancel.disabled = true;
    jobs.cancel();
  });
  const show = (job) => {
    bar.value = job.share;
    text.textContent = progressText(job);
    cancel.disabled &&= job.status === "running" && job.share > 0;
  };
  return { element: el("div", { class: "progress" }, bar, text, cancel), show, cancel };
}

function progressText(job) {
  const left =
    Number.isFinite(job.seconds_left) && job.seconds_left !== null ? `, ${duration(job.seconds_left)} left` : "";
  return `${job.done} of ${job.total}${left}`;
}
