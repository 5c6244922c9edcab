"""Checked recipes to finished run folders: one, or all of a sweep as one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any, NamedTuple

from darkroom.config.jobs import Job
from darkroom.config.stage_spec import StageSpec
from darkroom.dataset import Photo
from darkroom.engine.delivery import Delivery
from darkroom.engine.fingerprints import Fingerprints
from darkroom.engine.progress import Progress
from darkroom.engine.runner import Runner
from darkroom.engine.step_result import StepResult
from darkroom.errors import PhotoError, RecipeError, SetupError
from darkroom.models import Models
from darkroom.planning.plan import Step, StepPlanner
from darkroom.record import Record
from darkroom.record.schema import JournalLine
from darkroom.stages.baseline import Baseline
from darkroom.store import Store
from darkroom.system.files import Folder
from darkroom.system.locks import locked
from darkroom.system.memory import peak_memory

log = logging.getLogger("darkroom")


class JobRun:
    """A run folder that is being filled (`runner.Consumer`)."""

    def __init__(self, ready: Job, store: Store, progress: Progress) -> None:
        self.ready = ready
        self.totals = Counter(photos=0, done=0, failed=0, skipped=0, flagged=0)
        self.status = "running"
        self.work: Mapping[str, Any] = {}
        self.baselines: dict[str, Baseline | None] = {}  # of the gates that have seen all photos, by name
        self.store = store
        self._progress = progress
        self._planner = StepPlanner(ready.recipe, self.baselines)
        self._basis = Fingerprints(ready.recipe)
        if ready.begun:
            self.record = Record.resume(ready.folder)
        else:
            models = ready.settings.models()
            facts = {
                "overrides": list(ready.words),
                "config": dict(ready.config),
                "settled": models.resolved_settings(),
                "models": models.describe(ready.recipe.models()),
                "warnings": list(ready.warnings),
            }
            self.record = Record.begin(ready.folder, ready.recipe.name, ready.files, facts)

    def tree(self, photo: Photo) -> Sequence[Step]:
        """See `runner.Consumer`."""
        self._basis.add_values(photo)
        tree = self._planner.tree(photo.item)
        self._basis.add_files(photo, tree)
        return tree

    def begin(self, photo: Photo, digest: str | PhotoError, tree: Sequence[Step] | PhotoError) -> Delivery:
        """See `runner.Consumer`."""
        self.totals["photos"] += 1
        delivery = Delivery(self, photo, digest, tree)
        self._progress.begin_photo(delivery.pictures)
        delivery.hand_on()
        return delivery

    def append(self, line: JournalLine) -> None:
        """Put a picture's line into the journal and count it."""
        self.record.append(line)
        self.totals[line["status"]] += 1
        self.totals["flagged"] += bool(line["flags"])
        self._progress.picture_done(line["photo"], line["status"])

    def finish(self, status: str | None, work: Mapping[str, Any]) -> None:
        """Complete the record.

        Args:
            status: what stopped it; None where it came to its end.
            work: what was computed and reused, by all jobs that ran together.
        """
        self.work = work
        models = self.ready.settings.models().describe(self.ready.recipe.models())
        self.status = status or ("failed" if self.totals["failed"] else "done")
        usual = {name: baseline and asdict(baseline) for name, baseline in self.baselines.items()}
        facts = {"models": models, "totals": dict(self.totals), "usual": usual, "work": work}
        self.record.finish(self.status, facts | {"depends_on": self._basis.facts()})

    def survey(self) -> BaselineSurvey | None:
        """The first gate that compares photos and has not seen them all; None where there is none."""
        waiting = [spec for spec in self.ready.recipe.comparing() if spec.name not in self.baselines]
        return BaselineSurvey(self, waiting[0], self._progress) if waiting else None


class BaselineSurvey:
    """The masks of all photos at a gate, looked at before the first is judged by the others (`runner.Consumer`).

    Args:
        run: whose gate.
        gate: which of its gates.
        progress: is told of every photo.
    """

    def __init__(self, run: JobRun, gate: StageSpec, progress: Progress) -> None:
        self._run = run
        self._gate = gate
        self._progress = progress
        self._planner = StepPlanner(run.ready.recipe.until(gate.name), run.baselines)
        self._photos: list[list[Mapping[str, float]]] = []

    def tree(self, photo: Photo) -> Sequence[Step]:
        """See `runner.Consumer`."""
        return self._planner.tree(photo.item)

    def begin(self, photo: Photo, digest: str | PhotoError, tree: Sequence[Step] | PhotoError) -> _Look:
        """See `runner.Consumer`."""
        self._progress.look(self._gate.name, photo.name)
        self._run.record.import_earlier(photo.name, self._run.store)
        self._photos.append([])
        return _Look(self._gate.name, self._photos[-1], tree)

    def finish(self) -> None:
        """Give the run the gate's baseline."""
        photos = [figures for figures in self._photos if figures]
        self._run.baselines[self._gate.name] = self._gate.kind.baseline(self._gate.name, photos)


class _Look(NamedTuple):
    """What a gate measures of one photo's masks (`runner.ResultSink`)."""

    gate: str
    figures: list[Mapping[str, float]]
    remaining: Sequence[Step] | PhotoError

    def deliver(self, steps: Sequence[Step], way: Sequence[StepResult | PhotoError]) -> None:
        """See `runner.ResultSink`."""
        for each in way:
            if isinstance(each, StepResult) and each.step and each.step.name == self.gate:
                self.figures.append(each.result.figures)

    def flush(self) -> None:
        """See `runner.ResultSink`."""


def run_jobs(ready: Sequence[Job], store: Store, on_screen: bool = True) -> list[JobRun]:
    """Run jobs as one: what they have in common is computed once, and every model is loaded once.

    Args:
        ready: the jobs.
        store: of the outputs folder in which they lie.
        on_screen: show progress in the terminal.

    Raises:
        SetupError: a recipe needs what this machine lacks.
        OutputError: results cannot be written.
    """
    with ExitStack() as stack:
        stack.enter_context(_using(store))
        progress = stack.enter_context(Progress([each.recipe.dataset for each in ready], on_screen))
        for folder in {each.sweep or each.folder for each in ready}:
            Folder(folder).remove_leftovers()
        runs = [JobRun(each, store, progress) for each in ready]
        open_runs = list(runs)
        status: str | None = "stopped"
        try:
            for group in _alike(runs):
                try:
                    _perform_group(group, store, open_runs)
                except (SetupError, RecipeError) as error:
                    if len(group) == len(runs):
                        raise
                    log.error("%s", error)  # the other jobs of the sweep ask other models
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            for run in open_runs:
                run.finish(status, {})
    return runs


def _work(runner: Runner, models: Models) -> dict[str, Any]:
    """What a runner has done, as plain data: counts and seconds by op, models loaded, peak memory in bytes."""
    return {
        "reused": dict(+runner.reused),
        "computed": dict(runner.computed),
        "failed": dict(runner.failed),
        "seconds": {op: round(seconds, 3) for op, seconds in runner.seconds.items()},
        "loaded": models.loaded(),
        "peak_memory": peak_memory(),
    }


def _perform_group(group: Sequence[JobRun], store: Store, open_runs: list[JobRun]) -> None:
    """Jobs that ask the same models. Jobs over the same photos go through them together."""
    models = group[0].ready.settings.models()
    runner = Runner(models, store)
    waiting = list(group)
    while waiting:
        together = [run for run in waiting if run.ready.recipe.dataset == waiting[0].ready.recipe.dataset]
        waiting = [run for run in waiting if run not in together]
        dataset = together[0].ready.recipe.dataset
        while surveys := [each for each in (run.survey() for run in together) if each]:
            runner.look_ahead(dataset.photos(), surveys)
            for each in surveys:
                each.finish()
        runner.run(dataset.photos(), together)
    work = _work(runner, models)
    for run in group:
        open_runs.remove(run)
        run.finish(None, work)


def _alike(runs: Sequence[JobRun]) -> Iterator[list[JobRun]]:
    """Jobs by the models that they ask."""
    groups: dict[Any, list[JobRun]] = {}
    for run in runs:
        groups.setdefault(run.ready.settings, []).append(run)
    yield from groups.values()


@contextmanager
def _using(store: Store) -> Iterator[None]:
    """Keep the store from being pruned meanwhile."""
    store.create()
    with locked(store.folder, shared=True, busy=f"{store.folder}: is being pruned; try again in a moment"):
        yield
