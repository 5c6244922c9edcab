"""Counts the photos, pictures and results of a dry run. A million photos take seconds, and memory does not grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from darkroom.config.jobs import Job
from darkroom.dataset import Photo
from darkroom.errors import PhotoError
from darkroom.planning.cache_keys import Keys, output_key
from darkroom.planning.plan import Step
from darkroom.planning.preflight import Preflight
from darkroom.record.result_names import Names
from darkroom.session.disk_estimate import Space
from darkroom.store.listing import ManyKeys

_REMEMBERED = 50_000  # cache keys, so that results that photos or jobs share count once
_PHOTOS_REMEMBERED = 5_000  # that a manifest may name again
_REASONS = 5  # shown


class PlannedJob:
    """The parts of a job that counting needs.

    Attributes:
        job: the job.
        preflight: plans and checks the photos.
        names: checks the names of results.
        missing_ops: the ops of results that are not in the store, if no earlier job needs them; filled in by counting.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.preflight = Preflight(job.recipe, job.settings.models())
        self.keys = Keys(job.settings.models())
        self.settings = job.settings
        self.names = Names(job.recipe, job.settings.results)
        self.missing_ops: dict[str, None] = {}

    def warnings(self) -> Sequence[str]:
        """The warnings, once all photos are counted. Raises `RecipeError` as `preflight.check` and `check_names` do."""
        job = self.job
        self.names.check()
        if not job.unchecked:
            return job.warnings
        return self.preflight.warnings(job.settings.strict, job.source, job.overridden)


_Counted = tuple[Sequence[Step], int, Mapping[str, None]]
"""What one photo and one tree gave: the tree, which is kept alive; the pictures, and their problems."""


def _named(photo: Photo, job: PlannedJob) -> Sequence[Step]:
    """A photo's steps, whose results have taken their names, as in a run, also where the models will refuse them."""
    try:
        tree = job.preflight.steps(photo)
    except PhotoError as error:
        job.names.doubt(error)
        raise
    job.names.add(photo, tree)
    return tree


@dataclass
class Counts:
    """Numbers of a dry run.

    Attributes:
        keys: of the store.
        photos: the photos of all jobs; a photo counts once for each job.
        pictures: the pictures that can be made, counted the same way.
        undone: photos with pictures that cannot be made.
        reasons: the first of these photos, with the reason.
        cached: results in the store, by op.
        missing: results that are not in the store, by op.
        space: the disk space that the missing results take.
    """

    keys: ManyKeys
    photos: int = 0
    pictures: int = 0
    undone: int = 0
    reasons: list[str] = field(default_factory=list)
    cached: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    space: Space = field(default_factory=Space)
    _seen: set[str] = field(default_factory=set)
    _seen_before: set[str] = field(default_factory=set)
    _digests: dict[str | Path, str] = field(default_factory=dict)
    _counted: dict[tuple[object, ...], _Counted] = field(default_factory=dict)

    def add(self, photo: Photo, jobs: Sequence[PlannedJob]) -> None:
        """Count a photo of some jobs."""
        problems: dict[str, None] = {}
        self.photos += len(jobs)
        for job in jobs:
            try:
                tree = _named(photo, job)
                job.preflight.require(photo, tree)
                self._add(photo, job, tree, problems)
            except PhotoError as error:
                problems[str(error)] = None
        if problems:
            self.undone += 1
            if len(self.reasons) < _REASONS:
                self.reasons.append(f"{photo.name}: {'; '.join(map(photo.located, problems))}")

    def _add(self, photo: Photo, job: PlannedJob, tree: Sequence[Step], problems: dict[str, None]) -> None:
        which = (photo.location, photo.name, id(tree), id(job))
        counted = self._counted.get(which)
        if counted is None:
            if len(self._counted) >= _PHOTOS_REMEMBERED:
                self._counted.clear()
            counted = self._counted[which] = self._walk(photo, job, tree)
        _, pictures, found = counted
        self.pictures += pictures
        if found:
            problems |= found

    def _digest(self, photo: Photo) -> str:
        """The photo's digest; a file that the manifest names again is not read again."""
        digest = self._digests.get(photo.location)
        if digest is None:
            if len(self._digests) >= _PHOTOS_REMEMBERED:
                self._digests.clear()
            digest = self._digests[photo.location] = photo.digest()
        return digest

    def _walk(self, photo: Photo, job: PlannedJob, tree: Sequence[Step]) -> _Counted:
        """Count the results of a photo; returns its pictures and their problems."""
        problems: dict[str, None] = {}
        missing: list[str] = []
        pictures = delivered = 0
        key = job.keys.photo(self._digest(photo))
        is_unread = self._is_there(key) is False
        waiting: list[tuple[Sequence[Step], str, Mapping[str, str]]] = [(tree, key, {})]
        for steps, parent, above in waiting:
            for _, name, op, stage, _, children, _ in steps:  # a million rows: attributes would cost 1 s more
                try:
                    key = job.keys.step(op, stage, parent, above, photo.name)
                except PhotoError as error:
                    problems[str(error)] = None
                    continue
                if is_there := self._is_there(key):
                    self.cached[op] += 1
                elif is_there is False:
                    missing.append(op)
                if children:
                    content = output_key(stage, key, parent)
                    waiting.append((children, content, {**above, name: content}))
                else:
                    pictures += 1
                    delivered += is_there is False
        if missing or is_unread:
            for op in missing:
                self.missing[op] += 1
                job.missing_ops[op] = None
            self.space.add(photo, job.settings.results, missing, is_unread, delivered)
        return tree, pictures, problems

    def _is_there(self, key: str) -> bool | None:
        """Whether a result is in the store; None if it has already been counted."""
        if key in self._seen or key in self._seen_before:
            return None
        self._seen.add(key)
        if len(self._seen) >= _REMEMBERED:
            self._seen, self._seen_before = set(), self._seen
        return self.keys.has(key)
