"""Checked recipes to finished run folders: one, or all of a sweep as one."""

from __future__ import annotations

import logging
import resource
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.basis import Basis
from pipeline.check import warnings
from pipeline.dataset import Photo
from pipeline.errors import EmptyMask, PhotoError, RecipeError, SetupError, Stopped
from pipeline.files import locked, remove_leftovers, writing
from pipeline.keys import content
from pipeline.models import Models
from pipeline.plan import Planner, Step
from pipeline.progress import Progress
from pipeline.record import Record
from pipeline.record.artifacts import Made, Trail, adopt, fate
from pipeline.record.journal import journal_line
from pipeline.record.record import earlier_lines
from pipeline.runner import Runner
from pipeline.stages.gate import FEWEST_PHOTOS, Usual
from pipeline.store import Store
from pipeline.sweep import Ready

log = logging.getLogger("darkroom")


class Run:
    """A run folder that is being filled (`runner.Job`)."""

    def __init__(self, ready: Ready, store: Store, progress: Progress, resume: bool) -> None:
        self.ready = ready
        self.totals = Counter(photos=0, done=0, failed=0, skipped=0, flagged=0)
        self.status = "running"
        self.work: Mapping[str, Any] = {}
        self.usual: dict[str, Usual | None] = {}  # by the names of the gates whose photos have all been looked at
        self._store = store
        self._progress = progress
        self._planner = Planner(ready.recipe, self.usual)
        self._basis = Basis(ready.recipe)
        if resume:
            self.record = Record.resume(ready.folder)
            for line in earlier_lines(ready.folder):
                with suppress(ValueError, TypeError, LookupError, AttributeError):  # not written by us
                    adopt(store, ready.folder, line)
        else:
            models = ready.settings.models()
            facts = {
                "overrides": list(ready.words),
                "config": dict(ready.config),
                "settled": models.settled(),
                "models": models.describe(ready.recipe.models()),
                "warnings": list(ready.warnings),
            }
            self.record = Record.begin(ready.folder, ready.recipe.name, ready.files, facts)

    def tree(self, photo: Photo) -> Sequence[Step]:
        """See `runner.Job`."""
        self._basis.add_values(photo)
        tree = self._planner.tree(photo.item)
        self._basis.add_files(photo, tree)
        return tree

    def begin(self, photo: Photo, digest: str | None, pictures: int) -> _Tray:
        """See `runner.Job`."""
        self.totals["photos"] += 1
        self._progress.begin_photo(pictures)
        if digest:
            self.record.add_photo(photo.name, digest)
        return _Tray(self, photo, digest, self.record.photo_folder(photo.name), pictures)

    def deliver(self, trail: Trail, finds_only: bool) -> None:
        """See `Trail.deliver`."""
        results = self.ready.settings.results
        trail.deliver(self._store, finds_only, results.format, results.quality)

    def keep(self, photo: Photo, trail: Trail, linked: set[str], line: Mapping[str, Any]) -> None:
        """Put a picture's files into the folder and its line into the journal."""
        for path, blob in trail.files.items():
            if path not in linked:
                self.record.link(path, self._store.path(blob))
                linked.add(path)
        self.record.append(line)
        self.totals[line["status"]] += 1
        self.totals["flagged"] += bool(line["flags"])
        self._progress.picture_done(photo.name, line["status"])

    def finish(self, status: str | None, work: Mapping[str, Any]) -> None:
        """Complete the record.

        Args:
            status: what stopped it; None where it came to its end.
            work: what was computed and reused, by all jobs that ran together.
        """
        self.work = work
        models = self.ready.settings.models().describe(self.ready.recipe.models())
        self.status = status or ("failed" if self.totals["failed"] else "done")
        usual = {name: each and asdict(each) for name, each in self.usual.items()}
        facts = {"models": models, "totals": dict(self.totals), "usual": usual, "work": work}
        self.record.finish(self.status, facts | {"depends_on": self._basis.facts()})

    def survey(self) -> Survey | None:
        """The first gate that compares photos and has not seen them all; None where there is none."""
        waiting = [name for name in self.ready.recipe.compared() if name not in self.usual]
        return Survey(self, waiting[0], self._progress) if waiting else None


class _Tray:
    """One photo's pictures on their way into a run folder (`runner.Tray`)."""

    def __init__(self, run: Run, photo: Photo, digest: str | None, folder: str, pictures: int) -> None:
        self._run = run
        self._to_come = pictures
        self._photo = photo
        self._digest = digest
        self._folder = folder
        self._linked: set[str] = set()
        self._inputs: dict[Path, str] = {}
        self._told: set[str] = set()

    def deliver(self, steps: Sequence[Step], way: Sequence[Made | PhotoError]) -> None:
        """See `runner.Tray`."""
        made, error = fate(way)
        finds_only = not any(step.stage.repaints for step in steps)
        status = "done" if error is None else self._status(error)
        if error and status == "done":  # kept as it was when nothing more was found
            steps = [each.step for each in made if each.step]
        trail = Trail.of(self._folder, made)
        if status == "done":
            self._run.deliver(trail, finds_only)
        if isinstance(error, Stopped) and status == "done":
            trail.flags.append(str(error))
        self._tell(status, error, trail.flags)
        reason = str(error) if error and status != "done" else None
        inputs = self._inputs_of(each.step for each in made if each.step)
        told = warnings(steps, self._run.ready.settings.models())
        line = journal_line(self._photo, self._digest, inputs, trail, steps, status, reason) | {"warnings": told}
        self._run.keep(self._photo, trail, self._linked, line)
        self._to_come -= 1
        if not self._to_come:
            self._run.record.photo_done(self._photo.name, self._folder)

    def flush(self) -> None:
        """See `runner.Tray`."""
        self._run.record.flush()

    def _inputs_of(self, steps: Iterable[Step]) -> dict[str, str]:
        """The files that these steps have read, each looked at once; without one that has gone since."""
        found = {}
        for step in steps:
            with suppress(PhotoError):
                for path in step.stage.inputs(self._photo.name):
                    if path not in self._inputs:
                        self._inputs[path] = content(path)
                    found[str(path)] = self._inputs[path]
        return found

    def _status(self, error: PhotoError) -> str:
        policy = error.policy if isinstance(error, Stopped) else "fail"
        policy = self._run.ready.recipe.on_empty if isinstance(error, EmptyMask) else policy
        return {"keep": "done", "skip": "skipped"}.get(policy, "failed")

    def _tell(self, status: str, error: PhotoError | None, flags: Sequence[str]) -> None:
        """A reason that several pictures share is told once."""
        lines = [f"flagged: {self._photo.name}: {flag}" for flag in flags if flag != str(error)]
        if error:
            lines.append(f"{'kept as it is' if status == 'done' else status}: {self._photo.name}: {error}")
        for line in dict.fromkeys(lines):
            if line not in self._told:
                self._told.add(line)
                log.warning("%s", line)


class Survey:
    """The masks of all photos at a gate, looked at before the first is judged by the others (`runner.Job`).

    Args:
        run: whose gate.
        gate: its name in the recipe.
        progress: is told of every photo.
    """

    def __init__(self, run: Run, gate: str, progress: Progress) -> None:
        self._run = run
        self._gate = gate
        self._progress = progress
        self._planner = Planner(run.ready.recipe.until(gate), run.usual)
        self._photos: list[set[float]] = []

    def tree(self, photo: Photo) -> Sequence[Step]:
        """See `runner.Job`."""
        return self._planner.tree(photo.item)

    def begin(self, photo: Photo, digest: str | None, pictures: int) -> _Look:
        """See `runner.Job`."""
        self._progress.look(self._gate, photo.name)
        self._photos.append(set())
        return _Look(self._gate, self._photos[-1])

    def finish(self) -> None:
        """Let the run know what is usual."""
        self._run.usual[self._gate] = usual = Usual.of([each for each in self._photos if each])
        if usual is None:
            log.info("gate %s: too few photos have a mask to tell outliers, which takes %d", self._gate, FEWEST_PHOTOS)


class _Look(NamedTuple):
    """The coverages of one photo's masks at a gate (`runner.Tray`)."""

    gate: str
    coverages: set[float]

    def deliver(self, steps: Sequence[Step], way: Sequence[Made | PhotoError]) -> None:
        """See `runner.Tray`."""
        for each in way:
            if isinstance(each, Made) and each.step and each.step.name == self.gate:
                self.coverages.add(each.result.figures["coverage"])

    def flush(self) -> None:
        """See `runner.Tray`."""


def perform(ready: Sequence[Ready], store: Store, resume: bool = False) -> list[Run]:
    """Run jobs as one: what they have in common is computed once, and every model is loaded once.

    Args:
        ready: the jobs.
        store: of the outputs folder in which they lie.
        resume: their folders hold what earlier attempts have finished.

    Raises:
        SetupError: a recipe needs what this machine lacks.
        OutputError: results cannot be written.
    """
    with ExitStack() as stack:
        stack.enter_context(_using(store))
        progress = stack.enter_context(Progress([each.recipe.dataset for each in ready]))
        for folder in {each.sweep or each.folder for each in ready if resume}:
            remove_leftovers(folder)
        runs = [Run(each, store, progress, resume) for each in ready]
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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "reused": dict(+runner.reused),
        "computed": dict(runner.computed),
        "failed": dict(runner.failed),
        "seconds": {op: round(seconds, 3) for op, seconds in runner.seconds.items()},
        "loaded": models.loaded(),
        "peak_memory": peak,
    }


def _perform_group(group: Sequence[Run], store: Store, open_runs: list[Run]) -> None:
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


def _alike(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Jobs by the models that they ask."""
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.ready.settings, []).append(run)
    yield from groups.values()


@contextmanager
def _using(store: Store) -> Iterator[None]:
    """Keep the store from being pruned meanwhile."""
    with writing(store.folder):
        store.folder.mkdir(parents=True, exist_ok=True)
    with locked(store.folder, shared=True, busy=f"{store.folder}: is being pruned; try again in a moment"):
        yield
