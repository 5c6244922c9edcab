"""What a run would do: counted before any model loads, without a file being written."""

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
from darkroom.dataset.dataset import stray_lines
from darkroom.errors import PhotoError, printable
from darkroom.planning.cache_keys import Keys, handed_on
from darkroom.planning.plan import Step, StepPlanner
from darkroom.planning.preflight import planned
from darkroom.provenance.differences import recomputation_causes
from darkroom.provenance.earlier_runs import earlier_runs
from darkroom.stages import STAGES
from darkroom.store import Store

_EARLIER_RUNS = 20  # that are asked what an op takes
_REMEMBERED = 100_000  # results, so that what several photos or jobs have in common is counted once
_REASONS = 5  # that are shown


@dataclass
class _Counts:
    """What there is to do.

    Attributes:
        photos: in all jobs, each as often as it is asked for.
        pictures: likewise; those that can be made.
        undone: photos of which some or all cannot; `reasons`: the first of them, with why.
        there: results in the store, by op; `missing`: those that are not.
        asked: the ops of these, by the settings of the first job that needs them.
    """

    photos: int = 0
    pictures: int = 0
    undone: int = 0
    reasons: list[str] = field(default_factory=list)
    there: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    asked: dict[Settings, dict[str, None]] = field(default_factory=dict)
    _seen: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def result(self, key: str, op: str, settings: Settings, store: Store) -> None:
        """Count a result, if it is not known yet."""
        if key in self._seen:
            return
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        if store.has(key):
            self.there[op] += 1
        else:
            self.missing[op] += 1
            self.asked.setdefault(settings, {})[op] = None

    def problems(self, photo: Photo, problems: Mapping[str, None]) -> None:
        """Count a photo, if there is anything that cannot be done with it."""
        if problems:
            self.undone += 1
            if len(self.reasons) < _REASONS:
                self.reasons.append(f"{photo.name}: {'; '.join(problems)}")


@dataclass(frozen=True)
class _Job:
    """A job that is looked through."""

    planner: StepPlanner
    keys: Keys
    settings: Settings


def dry_run(jobs: Sequence[Job], store: Store) -> str:
    """The plan of a command line, in words.

    Reads every photo's bytes, decodes none, and holds one photo's plan at a time. What photos and jobs have in common
    is counted once, unless a hundred thousand other results lie between.

    Args:
        jobs: what would run.
        store: what is there already.
    """
    counts = _Counts()
    waiting = list(jobs)
    while waiting:
        together = [job for job in waiting if job.recipe.dataset == waiting[0].recipe.dataset]
        waiting = [job for job in waiting if job not in together]
        looked_through = [_Job(StepPlanner(job.recipe), Keys(job.settings.models()), job.settings) for job in together]
        for photo in together[0].recipe.dataset.photos():
            _count(photo, looked_through, store, counts)
    warnings = dict.fromkeys(f"warning: {line}" for job in jobs for line in job.warnings)
    strays = stray_lines(job.recipe.dataset for job in jobs)
    return "\n".join(map(printable, [*_told(counts, jobs), *strays, *_estimated(counts, jobs, store), *warnings]))


def _count(photo: Photo, jobs: Sequence[_Job], store: Store, counts: _Counts) -> None:
    problems: dict[str, None] = {}

    def walk(job: _Job, steps: Sequence[Step], parent: str, above: Mapping[str, str]) -> None:
        for step in steps:
            try:
                key = job.keys.step(step.op, step.stage, parent, above, photo.name)
            except PhotoError as error:
                problems[str(error)] = None
                continue
            counts.result(key, step.op, job.settings, store)
            if step.children:
                content = handed_on(step.stage, key, parent)
                walk(job, step.children, content, above | {step.name: content})
            else:
                counts.pictures += 1

    counts.photos += len(jobs)
    digest = cache(photo.digest)  # a file is read once for all jobs
    for job in jobs:
        try:
            steps = planned(photo, partial(job.planner.tree, photo.item), job.settings.models())
            walk(job, steps, job.keys.photo(digest()), {})
        except PhotoError as error:
            problems[str(error)] = None
    counts.problems(photo, problems)


def _told(counts: _Counts, jobs: Sequence[Job]) -> list[str]:
    several = f"{len(jobs)} jobs; " if len(jobs) > 1 else ""
    lines = [f"{several}{_many(counts.photos, 'photo')}, {_many(counts.pictures, 'picture')}"]
    width = max(map(len, [*counts.missing, *counts.there]), default=0)
    for op in (op for op in STAGES if op in counts.there or op in counts.missing):
        lines.append(f"  {op:<{width}}  {counts.missing[op]:>9,} to do {counts.there[op]:>9,} there already")
    lines += [f"  cannot be done: {reason}" for reason in counts.reasons]
    if more := counts.undone - len(counts.reasons):
        lines.append(f"  ... and {_many(more, 'more photo')} that cannot be done")
    return lines


def _estimated(counts: _Counts, jobs: Sequence[Job], store: Store) -> list[str]:
    lines = []
    for settings in dict.fromkeys(job.settings for job in jobs):
        models, ops = settings.models(), counts.asked.get(settings, ())
        kinds = list(dict.fromkeys(kind for op in ops for kind in STAGES[op].uses))
        size, named = models.bytes_of(kinds) / 1e6, ", ".join(kinds)
        lines.append(f"models: {f'{named} to load, {size:,.0f} MB' if kinds else 'none to load'}; {models.summary}")
    earlier = list(islice(earlier_runs(store.folder.parent, jobs[0].recipe.name), _EARLIER_RUNS))
    lines += _costs(counts.missing, [facts.get("work", {}) for _, facts in earlier])
    if counts.missing and len(jobs) == 1:
        for folder, facts in earlier[:1]:
            now = {"config": jobs[0].config, "models": models.describe(jobs[0].recipe.models())}
            since = folder.relative_to(store.folder.parent)
            lines += [f"since {since}: {line}" for line in recomputation_causes(facts, now)]
    return lines


def _costs(missing: Counter[str], works: Sequence[Mapping[str, Any]]) -> list[str]:
    """Time and memory, by what one of each op took in earlier runs, the newest first."""
    if not missing:
        return ["time: that of reading the photos"]
    each: dict[str, float] = {}
    for work in reversed(works):
        seconds = work.get("seconds", {})
        each |= {
            op: seconds[op] / number for op, number in work.get("computed", {}).items() if number and op in seconds
        }
    if not set(missing) <= set(each):
        return ["time and memory: not known before a first run of this recipe"]
    seconds = sum(number * each[op] for op, number in missing.items())
    peak = max(work.get("peak_memory", 0) for work in works)
    return [f"time: about {timedelta(seconds=round(seconds))}, memory: {peak / 1e9:.1f} GB, judging by earlier runs"]


def _many(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' * (number != 1)}"
