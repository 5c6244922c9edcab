"""Counts what a run would compute. It loads no model and writes no file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, NamedTuple

from darkroom.config.jobs import Job
from darkroom.config.settings import Settings
from darkroom.dataset.dataset import lines_left_out
from darkroom.errors import RecipeError, printable
from darkroom.provenance.differences import recomputation_causes
from darkroom.provenance.earlier_runs import earlier_runs
from darkroom.record.schema import RunFacts
from darkroom.session.counts import Counts, PlannedJob
from darkroom.session.disk_estimate import SIZES_READ, disk_line
from darkroom.stages import STAGES
from darkroom.store import Store
from darkroom.store.digests import remembered_digests
from darkroom.store.listing import VERIFIED, ManyKeys
from darkroom.system.memory import few_collections

_EARLIER_RUNS = 20  # whose times per op give the estimate


class DryRun(NamedTuple):
    """What a dry run says.

    Attributes:
        text: the report of all jobs that could run, one line per op, model and warning; empty if none could.
        errors: why the others could not.
    """

    text: str
    errors: list[str]


def dry_run(jobs: Sequence[Job], store: Store) -> DryRun:
    """Report what jobs would do.

    It reads the bytes of every photo that no earlier run has read unchanged, and decodes none. One photo's plan is in
    memory at a time. Results that photos or jobs share count once, unless 50,000 other results come between.

    Args:
        jobs: that would run.
        store: with the results of earlier runs.
    """
    errors: list[str] = []
    while jobs:
        counts, planned = _count(jobs, store)
        warnings: dict[str, None] = {}
        refused = []
        for job in planned:
            try:
                warnings |= dict.fromkeys(job.warnings())
            except RecipeError as error:
                refused.append(job.job)
                errors.append(str(error))
        if not refused:
            return DryRun(_report(counts, planned, list(warnings), store), errors)
        jobs = [job for job in jobs if job not in refused]  # which are counted anew: jobs share results
    return DryRun("", errors)


def _count(jobs: Sequence[Job], store: Store) -> tuple[Counts, list[PlannedJob]]:
    """Count what some jobs would do; photos of several jobs are looked at once."""
    counts, planned = Counts(ManyKeys(store)), [PlannedJob(job) for job in jobs]
    waiting = planned
    while waiting:
        dataset = waiting[0].job.recipe.dataset
        same_photos = [job for job in waiting if job.job.recipe.dataset == dataset]
        waiting = [job for job in waiting if job not in same_photos]
        with remembered_digests(store, save=False), few_collections():
            for photo in dataset.photos():
                counts.add(photo, same_photos)
    return counts, planned


def _report(counts: Counts, planned: Sequence[PlannedJob], warnings: Sequence[str], store: Store) -> str:
    missing_ops: dict[Settings, dict[str, None]] = {}
    for one in planned:
        missing_ops.setdefault(one.job.settings, {}).update(one.missing_ops)
    jobs = [one.job for one in planned]
    left_out = lines_left_out([job.recipe.dataset for job in jobs], set().union(*(job.columns for job in jobs)))
    estimates = _estimates(counts, missing_ops, jobs, store)
    warned = [f"warning: {line}" for line in warnings]
    return "\n".join(map(printable, [*_work(counts, jobs), *left_out, *estimates, *warned]))


def _work(counts: Counts, jobs: Sequence[Job]) -> list[str]:
    several = f"{len(jobs)} jobs; " if len(jobs) > 1 else ""
    lines = [f"{several}{_many(counts.photos, 'photo')}, {_many(counts.pictures, 'picture')}"]
    width = max(map(len, [*counts.missing, *counts.cached]), default=0)
    for op in (op for op in STAGES if op in counts.cached or op in counts.missing):
        lines.append(f"  {op:<{width}}  {counts.missing[op]:>9,} to compute {counts.cached[op]:>9,} in the store")
    lines += [f"  cannot be made: {reason}" for reason in counts.reasons]
    if more := counts.undone - len(counts.reasons):
        lines.append(f"  ... and {_many(more, 'more photo')} with pictures that cannot be made")
    if counts.keys.by_name:
        lines.append(
            f"  in the store: {VERIFIED:,} entries were read, {counts.keys.by_name:,} more counted by their names"
        )
    return lines


def _estimates(
    counts: Counts, missing_ops: Mapping[Settings, Mapping[str, None]], jobs: Sequence[Job], store: Store
) -> list[str]:
    lines = []
    for settings in dict.fromkeys(job.settings for job in jobs):
        models, ops = settings.models(), missing_ops.get(settings, ())
        recipes = [job.recipe for job in jobs if job.settings == settings]
        used = [kind for recipe in recipes for kind in recipe.models()]
        loras = [recipe.loras() for recipe in recipes]
        chosen = models.summary(used, None if None in loras else [name for names in loras if names for name in names])
        kinds = list(dict.fromkeys(kind for recipe in recipes for kind in recipe.models(ops)))
        size, named = models.bytes_of(kinds) / 1e6, ", ".join(kinds)
        lines.append(f"models: {f'{named} to load, {size:,.0f} MB' if kinds else 'none to load'}; {chosen}")
    earlier = list(islice(earlier_runs(store.folder.parent, jobs[0].recipe.name), _EARLIER_RUNS))
    lines += _costs(counts, [facts for _, facts in earlier], jobs[0].settings.models().workers)
    whose = f"the first {SIZES_READ:,} photos'" if counts.space.is_extrapolated else "the photos'"
    lines += [disk_line(counts.space.bytes, store.folder.parent, whose)] if counts.space.bytes else []
    if counts.missing and len(jobs) == 1:
        for folder, facts in earlier[:1]:
            now = {"config": jobs[0].config, "models": models.describe(jobs[0].recipe.models(), jobs[0].recipe.loras())}
            since = folder.relative_to(store.folder.parent)
            lines += [f"since {since}: {line}" for line in recomputation_causes(facts, now)]
    return lines


def _costs(counts: Counts, earlier: Sequence[RunFacts], workers: int) -> list[str]:
    """Time and memory, estimated from the newest earlier run that computed each op; workers share the time."""
    missing = counts.missing
    if not missing:
        return ["time: only reading the photos"]
    works: list[Mapping[str, Any]] = [facts.get("work", {}) for facts in earlier]
    per_result: dict[str, float] = {}
    for work in reversed(works):
        seconds, computed = work.get("seconds", {}), work.get("computed", {})
        per_result |= {op: seconds[op] / number for op, number in computed.items() if number and op in seconds}
    if not set(missing) <= set(per_result):
        return ["time and memory: not known before a first run of this recipe"]
    computing = sum(number * per_result[op] for op, number in missing.items()) / workers
    total = timedelta(seconds=round(computing + counts.pictures * _beside_the_ops(earlier, workers)))
    peak = max(work.get("peak_memory", 0) for work in works)
    return [f"time: about {total}, memory: {peak / 1e9:.1f} GB, judging by earlier runs"]


def _beside_the_ops(earlier: Sequence[RunFacts], workers: int) -> float:
    """Seconds for each picture that were not spent in ops, but on reading, PNG, thumbnails and files, in the earlier
    run with most pictures.
    """
    paces = [(facts["pace"], facts.get("work", {}).get("seconds", {})) for facts in earlier if "pace" in facts]
    pace, seconds = max(paces, key=lambda one: one[0]["pictures"], default=({"pictures": 0, "seconds": 0.0}, {}))
    if not pace["pictures"]:
        return 0.0
    whole = pace["seconds"] / pace["pictures"]
    return max(0.0, whole - sum(seconds.values()) / workers / (pace["pictures"] + 1))


def _many(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' * (number != 1)}"
