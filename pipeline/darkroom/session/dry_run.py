"""Counts what a run would compute. It loads no model and writes no file."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, partial
from itertools import islice
from typing import Any

from darkroom.config.jobs import Job
from darkroom.config.settings import Settings
from darkroom.dataset import Photo
from darkroom.dataset.dataset import lines_left_out
from darkroom.errors import PhotoError, printable
from darkroom.imaging.codec import PhotoSize, read_size
from darkroom.planning.cache_keys import Keys, output_key
from darkroom.planning.plan import Step, StepPlanner
from darkroom.planning.preflight import planned
from darkroom.provenance.differences import recomputation_causes
from darkroom.provenance.earlier_runs import earlier_runs
from darkroom.record.result_names import require_name
from darkroom.session.disk_estimate import bytes_of_outputs, bytes_of_photo, bytes_of_result, disk_line
from darkroom.stages import STAGES
from darkroom.store import Store

_EARLIER_RUNS = 20  # whose times per op give the estimate
_REMEMBERED = 100_000  # cache keys, so that results that photos or jobs share count once
_REASONS = 5  # shown


@dataclass
class _Counts:
    """Numbers of a dry run.

    Attributes:
        photos: the photos of all jobs; a photo counts once for each job.
        pictures: the pictures that can be made, counted the same way.
        undone: photos with pictures that cannot be made.
        reasons: the first of these photos, with the reason.
        cached: results in the store, by op.
        missing: results that are not in the store, by op.
        missing_ops: the ops of missing results, by the settings of the first job that needs them.
        bytes: about how much disk space the missing results take.
    """

    photos: int = 0
    pictures: int = 0
    undone: int = 0
    reasons: list[str] = field(default_factory=list)
    cached: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    missing_ops: dict[Settings, dict[str, None]] = field(default_factory=dict)
    bytes: float = 0.0
    _seen: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def photo(self, key: str, size: PhotoSize, store: Store) -> None:
        """Count the decoded copy of a photo, unless it has been counted."""
        if self._is_new(key) and not store.has(key):
            self.bytes += bytes_of_photo(size)

    def result(self, key: str, op: str, settings: Settings, size: PhotoSize, store: Store) -> bool:
        """Count a result, unless it has been counted; returns whether it is missing and was not counted before."""
        if not self._is_new(key):
            return False
        if store.has(key):
            self.cached[op] += 1
            return False
        self.missing[op] += 1
        self.missing_ops.setdefault(settings, {})[op] = None
        self.bytes += bytes_of_result(op, size)
        return True

    def _is_new(self, key: str) -> bool:
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return True

    def problems(self, photo: Photo, problems: Mapping[str, None]) -> None:
        """Count a photo, if it has problems."""
        if problems:
            self.undone += 1
            if len(self.reasons) < _REASONS:
                self.reasons.append(f"{photo.name}: {'; '.join(problems)}")


@dataclass(frozen=True)
class _Job:
    """The parts of a job that counting needs."""

    planner: StepPlanner
    keys: Keys
    settings: Settings


def dry_run(jobs: Sequence[Job], store: Store) -> str:
    """The report of a dry run, one line per op, model and warning.

    It reads the bytes of every photo and decodes none. One photo's plan is in memory at a time. Results that photos or
    jobs share count once, unless 100,000 other results come between.

    Args:
        jobs: that would run.
        store: with the results of earlier runs.
    """
    counts = _Counts()
    waiting = list(jobs)
    while waiting:
        same_photos = [job for job in waiting if job.recipe.dataset == waiting[0].recipe.dataset]
        waiting = [job for job in waiting if job not in same_photos]
        counted = [_Job(StepPlanner(job.recipe), Keys(job.settings.models()), job.settings) for job in same_photos]
        for photo in same_photos[0].recipe.dataset.photos():
            _count(photo, counted, store, counts)
    warnings = dict.fromkeys(f"warning: {line}" for job in jobs for line in job.warnings)
    left_out = lines_left_out([job.recipe.dataset for job in jobs], set().union(*(job.columns for job in jobs)))
    return "\n".join(map(printable, [*_work(counts, jobs), *left_out, *_estimates(counts, jobs, store), *warnings]))


def _count(photo: Photo, jobs: Sequence[_Job], store: Store, counts: _Counts) -> None:
    problems: dict[str, None] = {}

    def walk(job: _Job, steps: Sequence[Step], parent: str, above: Mapping[str, str]) -> None:
        for step in steps:
            try:
                key = job.keys.step(step.op, step.stage, parent, above, photo.name)
            except PhotoError as error:
                problems[str(error)] = None
                continue
            is_missing = counts.result(key, step.op, job.settings, size, store)
            if step.children:
                content = output_key(step.stage, key, parent)
                walk(job, step.children, content, {**above, step.name: content})
            else:
                counts.pictures += 1
                counts.bytes += bytes_of_outputs(job.settings.results, size) if is_missing else 0

    counts.photos += len(jobs)
    digest = cache(photo.digest)  # a file is read once for all jobs
    size = (None if photo.problem else read_size(photo.path)) or PhotoSize(0, 8)
    for job in jobs:
        try:
            steps = planned(photo, partial(job.planner.plan, photo), job.settings.models())
            require_name(job.settings.results, photo, steps)
            key = job.keys.photo(digest())
            counts.photo(key, size, store)
            walk(job, steps, key, {})
        except PhotoError as error:
            problems[str(error)] = None
    counts.problems(photo, problems)


def _work(counts: _Counts, jobs: Sequence[Job]) -> list[str]:
    several = f"{len(jobs)} jobs; " if len(jobs) > 1 else ""
    lines = [f"{several}{_many(counts.photos, 'photo')}, {_many(counts.pictures, 'picture')}"]
    width = max(map(len, [*counts.missing, *counts.cached]), default=0)
    for op in (op for op in STAGES if op in counts.cached or op in counts.missing):
        lines.append(f"  {op:<{width}}  {counts.missing[op]:>9,} to compute {counts.cached[op]:>9,} in the store")
    lines += [f"  cannot be made: {reason}" for reason in counts.reasons]
    if more := counts.undone - len(counts.reasons):
        lines.append(f"  ... and {_many(more, 'more photo')} with pictures that cannot be made")
    return lines


def _estimates(counts: _Counts, jobs: Sequence[Job], store: Store) -> list[str]:
    lines = []
    for settings in dict.fromkeys(job.settings for job in jobs):
        models, ops = settings.models(), counts.missing_ops.get(settings, ())
        chosen = models.summary([kind for job in jobs if job.settings == settings for kind in job.recipe.models()])
        recipes = [job.recipe for job in jobs if job.settings == settings]
        kinds = list(dict.fromkeys(kind for recipe in recipes for kind in recipe.models(ops)))
        size, named = models.bytes_of(kinds) / 1e6, ", ".join(kinds)
        lines.append(f"models: {f'{named} to load, {size:,.0f} MB' if kinds else 'none to load'}; {chosen}")
    earlier = list(islice(earlier_runs(store.folder.parent, jobs[0].recipe.name), _EARLIER_RUNS))
    lines += _costs(counts.missing, [facts.get("work", {}) for _, facts in earlier])
    lines += [disk_line(counts.bytes, store.folder.parent)] if counts.bytes else []
    if counts.missing and len(jobs) == 1:
        for folder, facts in earlier[:1]:
            now = {"config": jobs[0].config, "models": models.describe(jobs[0].recipe.models())}
            since = folder.relative_to(store.folder.parent)
            lines += [f"since {since}: {line}" for line in recomputation_causes(facts, now)]
    return lines


def _costs(missing: Counter[str], works: Sequence[Mapping[str, Any]]) -> list[str]:
    """Time and memory, estimated from the newest earlier run that computed each op."""
    if not missing:
        return ["time: only reading the photos"]
    per_result: dict[str, float] = {}
    for work in reversed(works):
        seconds, computed = work.get("seconds", {}), work.get("computed", {})
        per_result |= {op: seconds[op] / number for op, number in computed.items() if number and op in seconds}
    if not set(missing) <= set(per_result):
        return ["time and memory: not known before a first run of this recipe"]
    total = timedelta(seconds=round(sum(number * per_result[op] for op, number in missing.items())))
    peak = max(work.get("peak_memory", 0) for work in works)
    return [f"time: about {total}, memory: {peak / 1e9:.1f} GB, judging by earlier runs"]


def _many(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' * (number != 1)}"
