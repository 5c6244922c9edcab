// The bar at the top: what is open, what is wrong with it, saving it, and running it on all photos.

import { postJson } from "./api.js";
import { byId, copyable, counted, el, prose, toast } from "./dom.js";
import { makeProgress } from "./jobs.js";

export class TopBar {
  #draft;
  #jobs;
  #openReview;

  constructor(draft, jobs, openReview) {
    this.#draft = draft;
    this.#jobs = jobs;
    this.#openReview = openReview;
    this.progress = makeProgress(jobs, "run");
    byId("run-progress").append(this.progress.element);
    draft.on("change", () => this.#update());
    jobs.on("change", () => this.#update());
    jobs.on("end", (job) => job.kind === "run" && this.#ended(job));
    byId("problems").addEventListener("click", () => byId("problem-list").showModal());
    byId("save").addEventListener("click", () => this.openSave());
    byId("save-form").addEventListener("submit", (event) => this.#save(event));
    byId("run-all").addEventListener("click", () => this.#openRun());
    byId("run-form").addEventListener("submit", (event) => this.#run(event));
  }

  #update() {
    const { name, models, problems, warnings } = this.#draft.state;
    document.title = `${name} – Darkroom`;
    byId("draft-name").textContent = name;
    byId("draft-name").title = this.#draft.state.recipe;
    byId("models").textContent = models;
    byId("models").title = models;
    this.#showProblems(problems, warnings);
    const isRunning = this.#jobs.isRunning;
    byId("run-all").disabled = problems.length > 0 || isRunning;
    byId("run-all").title = problems.length
      ? `First mend: ${problems[0]}`
      : "An ordinary run on all photos, with its folder and report";
    byId("run-progress").hidden = !(isRunning && this.#jobs.job.kind === "run");
    if (!isRunning) return;
    this.progress.show(this.#jobs.job);
    if (this.#jobs.job.kind === "run") byId("run-link").replaceChildren();
  }

  #showProblems(problems, warnings) {
    const button = byId("problems");
    button.hidden = !problems.length && !warnings.length;
    const count = (lines, word) => (lines.length ? counted(lines.length, word) : null);
    button.textContent = [count(problems, "problem"), count(warnings, "warning")].filter(Boolean).join(", ");
    button.classList.toggle("error", problems.length > 0);
    const line = (kind) => (text) => el("li", { class: kind }, prose(text));
    byId("problem-lines").replaceChildren(...problems.map(line("error")), ...warnings.map(line("warning")));
  }

  openSave() {
    const input = byId("save-name");
    input.value ||= this.#draft.state.name;
    byId("save-answer").replaceChildren();
    byId("save-dialog").showModal();
    input.select();
  }

  async #save(event) {
    event.preventDefault();
    const answer = byId("save-answer");
    try {
      await this.#draft.settled();
      const { recipe, manifest, command } = await postJson("/api/save", { name: byId("save-name").value.trim() });
      const lines = [
        el(
          "p",
          {},
          "Saved the recipe as ",
          el("code", {}, recipe),
          manifest ? " and the clicks of each photo as " : "",
          manifest ? el("code", {}, manifest) : "",
          ".",
        ),
        el("p", {}, "The same from the command line:"),
        copyable(command),
      ];
      answer.replaceChildren(...lines);
    } catch (error) {
      answer.replaceChildren(el("p", { class: "complaint error", role: "alert" }, error.message));
    }
  }

  async #openRun() {
    await this.#draft.settled();
    await this.#draft.load(); // clicks change how many photos it takes
    const { name, recipe, command } = this.#draft.state;
    const outputs = recipe.split("/").slice(0, -3).join("/");
    byId("run-text").replaceChildren(
      el("p", { "data-test": "run-photos" }, runPhotos(this.#draft.state)),
      el("p", {}, "The results go into a new folder, ", el("code", {}, `${outputs}/DATE_TIME_${name}`), "."),
      el("p", {}, "What has been computed before is not computed again."),
      el("p", {}, "The same from the command line:"),
      copyable(command),
    );
    byId("run-dialog").showModal();
  }

  async #run(event) {
    event.preventDefault();
    try {
      const { job } = await this.#draft.post("/api/run", {});
      byId("run-dialog").close();
      this.#jobs.set(job);
    } catch (error) {
      byId("run-text").replaceChildren(el("p", { class: "complaint error", role: "alert" }, error.message));
    }
  }

  #ended(job) {
    const link = byId("run-link");
    link.replaceChildren();
    if (job.status === "failed") toast(job.message || "The run failed.", "error");
    const report = el(
      "a",
      {
        href: `/api/runs/${encodeURIComponent(job.run)}/files/index.html`,
        target: "_blank",
        rel: "noopener",
        "data-test": "report",
      },
      "Report",
    );
    const review = el("button", { type: "button", class: "small", onclick: () => this.#openReview(job.run) }, "Review");
    const words = { cancelled: "Run cancelled", failed: "Run failed", done: "Run finished" };
    link.className = job.status === "failed" ? "error" : "";
    link.append(words[job.status], report, review);
  }
}

function runPhotos({ photos, run_photos: taken }) {
  if (taken < photos)
    return `${taken} of ${counted(photos, "photo")} ${taken === 1 ? "has" : "have"} clicks; the others are left out.`;
  return `Runs the recipe on ${photos === 1 ? "the one photo" : `all ${photos.toLocaleString("en")} photos`}.`;
}
