"""What a run would do: counted before any model loads, without a file being written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any

from pipeline.dataset import Photo
from pipeline.errors import PhotoError
from pipeline.keys import Keys
from pipeline.plan import Planner, Step
from pipeline.record.changes import changes, last_runs
from pipeline.stages import STAGES
from pipeline.store import Store
from pipeline.sweep import Ready

_EARLIER_RUNS = 20  # that are asked what an op takes


@dataclass
class _Counts:
    """What there is to do.

    Attributes:
        photos: in all jobs, each as often as it is asked for.
        pictures: likewise.
        unreadable: photos that cannot be worked on, and why.
        there: results in the store, by op; `missing`: those that are not.
    """

    photos: int = 0
    pictures: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    there: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)


def dry_run(jobs: Sequence[Ready], store: Store) -> str:
    """The plan of a command line, in words.

    Reads every photo's bytes, decodes none, and holds one photo's plan at a time. What jobs have in common is
    counted once.

    Args:
        jobs: what would run.
        store: what is there already.
    """
    counts = _Counts()
    waiting = list(jobs)
    while waiting:
        together = [job for job in waiting if job.recipe.dataset == waiting[0].recipe.dataset]
        waiting = [job for job in waiting if job not in together]
        planners = [(Planner(job.recipe), Keys(job.settings.models())) for job in together]
        for photo in together[0].recipe.dataset.photos():
            _count(photo, planners, store, counts)
    return "\n".join([*_told(counts, jobs), *_estimated(counts, jobs, store)])


def _count(photo: Photo, planners: Sequence[tuple[Planner, Keys]], store: Store, counts: _Counts) -> None:
    seen: set[str] = set()

    def walk(steps: Sequence[Step], parent: str, above: Mapping[str, str]) -> None:
        for step in steps:
            key = keys.step(step.op, step.stage, parent, above, photo.name)
            if key not in seen:
                seen.add(key)
                (counts.there if store.has(key) else counts.missing)[step.op] += 1
            if step.children:
                walk(step.children, key, above | {step.name: key})
            else:
                counts.pictures += 1

    counts.photos += len(planners)
    try:
        digest = photo.digest()
        for planner, keys in planners:
            walk(planner.tree(photo.item), keys.photo(digest), {})
    except PhotoError as error:
        counts.unreadable[f"{photo.name}: {error}"] += 1


def _told(counts: _Counts, jobs: Sequence[Ready]) -> list[str]:
    several = f"{len(jobs)} jobs; " if len(jobs) > 1 else ""
    lines = [f"{several}{_many(counts.photos, 'photo')}, {_many(counts.pictures, 'picture')}"]
    width = max(map(len, [*counts.missing, *counts.there]), default=0)
    for op in (op for op in STAGES if op in counts.there or op in counts.missing):
        lines.append(f"  {op:<{width}}  {counts.missing[op]:>9,} to do {counts.there[op]:>9,} there already")
    lines += [f"  cannot be done: {reason}" for reason in list(counts.unreadable)[:5]]
    if len(counts.unreadable) > 5:
        lines.append(f"  ... and {len(counts.unreadable) - 5:,} more photos that cannot be done")
    return lines


def _estimated(counts: _Counts, jobs: Sequence[Ready], store: Store) -> list[str]:
    kinds = [kind for op in counts.missing for kind in STAGES[op].uses]
    lines = []
    for settings in dict.fromkeys(job.settings for job in jobs):
        models = settings.models()
        size = models.bytes_of(kinds) / 1e6
        named = ", ".join(dict.fromkeys(kinds))
        lines.append(f"models: {f'{named} to load, {size:,.0f} MB' if kinds else 'none to load'}; {models.summary}")
    earlier = list(islice(last_runs(store.folder.parent, jobs[0].recipe.name), _EARLIER_RUNS))
    lines += _costs(counts.missing, [facts.get("work", {}) for _, facts in earlier])
    if counts.missing and len(jobs) == 1:
        for folder, facts in earlier[:1]:
            now = {"config": jobs[0].config, "models": models.describe(jobs[0].recipe.models())}
            lines += [f"since {folder.name}: {line}" for line in changes(facts, now)]
    return lines


def _costs(missing: Counter[str], works: Sequence[Mapping[str, Any]]) -> list[str]:
    """Time and memory, by what one of each op took in earlier runs, the newest first."""
    if not missing:
        return ["time: that of reading the photos"]
    each: dict[str, float] = {}
    for work in reversed(works):
        each |= {op: work["seconds"][op] / number for op, number in work.get("computed", {}).items() if number}
    if not set(missing) <= set(each):
        return ["time and memory: not known before a first run of this recipe"]
    seconds = sum(number * each[op] for op, number in missing.items())
    peak = max(work.get("peak_memory", 0) for work in works)
    return [f"time: about {timedelta(seconds=round(seconds))}, memory: {peak / 1e9:.1f} GB, judging by earlier runs"]


def _many(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' * (number != 1)}"
