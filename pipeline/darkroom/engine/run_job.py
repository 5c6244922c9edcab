"""Runs jobs: a single one, or all jobs of a sweep together."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from time import monotonic
from typing import Any

from darkroom.config.jobs import Job
from darkroom.config.settings import Settings
from darkroom.dataset import Photo
from darkroom.engine.baseline import BaselineSurvey
from darkroom.engine.delivery import Delivery, Destination
from darkroom.engine.fingerprints import Fingerprints
from darkroom.engine.progress import Progress
from darkroom.engine.start import StartRunner, in_this_process
from darkroom.errors import PhotoError, RecipeError, SetupError
from darkroom.models import Models
from darkroom.planning.plan import Step, StepPlanner
from darkroom.record import Record
from darkroom.record.result_names import require_name
from darkroom.record.schema import JournalLine, RunStatus
from darkroom.stages.baseline import Baseline
from darkroom.store import Store
from darkroom.system.files import Folder
from darkroom.system.locks import locked

log = logging.getLogger("darkroom")


class JobRun:
    """A job that is running (`consumer.Consumer`).

    Args:
        job: the job.
        store: of the outputs folder.
        progress: shows the progress.

    Attributes:
        job: as given.
        totals: number of photos, and of pictures by status.
        status: as in `run.json`.
        work: what was computed and reused, shared by all jobs that ran together; empty before the end.
    """

    def __init__(self, job: Job, store: Store, progress: Progress) -> None:
        self.job = job
        self.totals = Counter(photos=0, done=0, failed=0, skipped=0, flagged=0)
        self.status: RunStatus = "running"
        self.work: Mapping[str, Any] = {}
        self._pictures = 0
        self._first = self._latest = 0.0  # when these were ready
        self._store = store
        self._progress = progress
        self._baselines: dict[str, Baseline | None] = {}  # by name of the gates that have been surveyed
        self._planner = StepPlanner(job.recipe, self._baselines)
        self._fingerprints = Fingerprints(job.recipe)
        self._record = Record.resume(job.folder) if job.begun else self._begin_record()
        self._destination = Destination(job, self._record, store, self.append)

    def tree(self, photo: Photo) -> Sequence[Step]:
        """See `consumer.Consumer`."""
        self._fingerprints.add_values(photo)
        tree = self._planner.plan(photo)
        require_name(self.job.settings.results, photo, tree)
        self._fingerprints.add_files(photo, tree)
        return tree

    def begin(self, photo: Photo, digest: str | PhotoError, tree: Sequence[Step] | PhotoError) -> Delivery:
        """See `consumer.Consumer`."""
        self.totals["photos"] += 1
        delivery = Delivery(self._destination, photo, digest, tree)
        self._progress.begin_photo(delivery.pictures)
        return delivery

    def append(self, line: JournalLine) -> None:
        """Add a picture's line to the journal and count the picture."""
        self._record.append(line)
        self._pictures += 1
        self._latest = monotonic()
        self._first = self._first or self._latest
        self.totals[line["status"]] += 1
        self.totals["flagged"] += bool(line["flags"])
        self._progress.picture_done(line["photo"], line["status"])

    def finish(self, status: RunStatus | None, work: Mapping[str, Any]) -> None:
        """Complete the record.

        Args:
            status: `interrupted` or `stopped`; None if the job ran to its end.
            work: see above.
        """
        self.work = work
        self.status = status or ("failed" if self.totals["failed"] else "done")
        facts = {
            "models": self._models().describe(self.job.recipe.models(), self.job.recipe.loras()),
            "totals": dict(self.totals),
            "usual": {name: baseline and asdict(baseline) for name, baseline in self._baselines.items()},
            "pace": self._pace(),
            "work": work,
            "depends_on": self._fingerprints.facts(),
        }
        self._record.finish(self.status, facts)

    def _pace(self) -> dict[str, float]:
        """The pictures after the first one, and the seconds that these took: without start-up and loading."""
        return {"pictures": max(0, self._pictures - 1), "seconds": round(self._latest - self._first, 3)}

    def next_survey(self) -> BaselineSurvey | None:
        """A survey for the first gate that needs a baseline and has none; None if there is no such gate."""
        recipe = self.job.recipe
        gate = next((spec for spec in recipe.comparing() if spec.name not in self._baselines), None)
        if gate is None:
            return None

        def begin_photo(photo: Photo) -> None:
            self._progress.survey_photo(gate.name, photo.name)
            self._record.import_earlier(photo.name, self._store)

        return BaselineSurvey(gate, recipe, self._baselines, begin_photo)

    def _models(self) -> Models:
        return self.job.settings.models()

    def _begin_record(self) -> Record:
        job, models = self.job, self._models()
        facts = {
            "overrides": list(job.words),
            "config": dict(job.config),
            "settled": models.resolved_settings(),
            "models": models.describe(job.recipe.models(), job.recipe.loras()),
            "warnings": list(job.warnings),
        }
        return Record.begin(job.folder, job.recipe.name, job.files, facts)


def run_jobs(
    jobs: Sequence[Job], store: Store, on_screen: bool = True, start: StartRunner = in_this_process
) -> list[JobRun]:
    """Run jobs together: work that they share is done once, and every model is loaded once.

    Args:
        jobs: the jobs.
        store: of the outputs folder.
        on_screen: show progress in the terminal.
        start: starts what takes the photos through the steps.

    Raises:
        SetupError: this machine lacks something that a recipe needs.
        OutputError: results cannot be written.
    """
    with ExitStack() as stack:
        stack.enter_context(_unpruned(store))
        progress = stack.enter_context(Progress([job.recipe.dataset for job in jobs], on_screen))
        for folder in {job.sweep or job.folder for job in jobs}:
            Folder(folder).remove_leftovers()
        runs = [JobRun(job, store, progress) for job in jobs]
        unfinished = list(runs)
        status: RunStatus = "stopped"
        try:
            for group in _by_settings(runs):
                try:
                    _run_group(group, store, unfinished, start, progress)
                except (SetupError, RecipeError) as error:
                    if len(group) == len(runs):
                        raise
                    log.error("%s", error)  # the other jobs of the sweep have other settings
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            for run in unfinished:
                run.finish(status, {})
    return runs


def _run_group(
    group: Sequence[JobRun], store: Store, unfinished: list[JobRun], start: StartRunner, progress: Progress
) -> None:
    """Run jobs with the same settings. Jobs with the same photos go through them together."""
    kinds = list(dict.fromkeys(kind for run in group for kind in run.job.recipe.models()))
    with start(group[0].job.settings, store, kinds) as (runner, work_of, progress.at_work):
        waiting = list(group)
        while waiting:
            dataset = waiting[0].job.recipe.dataset
            together = [run for run in waiting if run.job.recipe.dataset == dataset]
            waiting = [run for run in waiting if run not in together]
            while surveys := [survey for survey in (run.next_survey() for run in together) if survey]:
                runner.run_ahead(dataset.photos(), surveys)
                for survey in surveys:
                    survey.finish()
            runner.run(dataset.photos(), together)
        work = work_of()
    for run in group:
        unfinished.remove(run)
        run.finish(None, work)


def _by_settings(runs: Sequence[JobRun]) -> list[list[JobRun]]:
    """Groups of jobs with the same settings, and so with the same models."""
    groups: dict[Settings, list[JobRun]] = {}
    for run in runs:
        groups.setdefault(run.job.settings, []).append(run)
    return list(groups.values())


@contextmanager
def _unpruned(store: Store) -> Iterator[None]:
    """Create the store if necessary, and protect it from being pruned."""
    store.create()
    with locked(store.folder, shared=True, busy=f"{store.folder}: is being pruned; try again in a moment"):
        yield
