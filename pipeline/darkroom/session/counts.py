"""Counts the photos, pictures and results of a dry run. A million photos take seconds, and memory does not grow."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from darkroom.config.jobs import Job
from darkroom.dataset import Photo
from darkroom.errors import PhotoError
from darkroom.imaging.codec import PhotoSize, read_size
from darkroom.planning.cache_keys import Keys, output_key
from darkroom.planning.plan import Step
from darkroom.planning.preflight import Preflight
from darkroom.record.result_names import require_name
from darkroom.session.disk_estimate import bytes_of_outputs, bytes_of_photo, bytes_of_result
from darkroom.store.listing import ManyKeys

SIZES_READ = 10_000  # photos; further ones are taken to have their mean size

_REMEMBERED = 50_000  # cache keys, so that results that photos or jobs share count once
_PHOTOS_REMEMBERED = 5_000  # that a manifest may name again
_REASONS = 5  # shown


class PlannedJob:
    """The parts of a job that counting needs.

    Attributes:
        job: the job.
        preflight: plans and checks the photos.
        missing_ops: the ops of results that are not in the store, if no earlier job needs them; filled in by counting.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.preflight = Preflight(job.recipe, job.settings.models())
        self.keys = Keys(job.settings.models())
        self.settings = job.settings
        self.missing_ops: dict[str, None] = {}

    def warnings(self) -> Sequence[str]:
        """The warnings, once all photos are counted. Raises `RecipeError` as `preflight.check` does."""
        job = self.job
        if not job.unchecked:
            return job.warnings
        return self.preflight.warnings(job.settings.strict, job.source, job.overridden)


class _Counted(NamedTuple):
    """What one photo and one tree gave, which is kept alive."""

    tree: Sequence[Step]
    pictures: int
    problems: Mapping[str, None]


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
        bytes: about how much disk space the missing results take.
        unread: photos with missing results whose size was not read, but taken for the mean.
    """

    keys: ManyKeys
    photos: int = 0
    pictures: int = 0
    undone: int = 0
    reasons: list[str] = field(default_factory=list)
    cached: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    bytes: float = 0.0
    _seen: set[str] = field(default_factory=set)
    _seen_before: set[str] = field(default_factory=set)
    _digests: OrderedDict[str, str] = field(default_factory=OrderedDict)
    _counted: OrderedDict[tuple[object, ...], _Counted] = field(default_factory=OrderedDict)
    _sizes: _Sizes = field(default_factory=lambda: _Sizes())

    @property
    def unread(self) -> int:
        """See above."""
        return max(0, self._sizes.asked - SIZES_READ)

    def add(self, photo: Photo, jobs: Sequence[PlannedJob]) -> None:
        """Count a photo of some jobs."""
        problems: dict[str, None] = {}
        self.photos += len(jobs)
        for job in jobs:
            try:
                tree = job.preflight.plan(photo)
                require_name(job.settings.results, photo, tree)
                self._add(photo, job, tree, problems)
            except PhotoError as error:
                problems[str(error)] = None
        if problems:
            self.undone += 1
            if len(self.reasons) < _REASONS:
                self.reasons.append(f"{photo.name}: {'; '.join(problems)}")

    def _add(self, photo: Photo, job: PlannedJob, tree: Sequence[Step], problems: dict[str, None]) -> None:
        digest = self._digest(photo)
        which = (digest, photo.name, id(tree), id(job))
        counted = self._counted.get(which)
        if counted is None:
            counted = self._counted[which] = self._walk_all(photo, job, tree, job.keys.photo(digest))
            if len(self._counted) > _PHOTOS_REMEMBERED:
                self._counted.popitem(last=False)
        self.pictures += counted.pictures
        problems |= counted.problems

    def _digest(self, photo: Photo) -> str:
        """The photo's digest; a file that the manifest names again is not read again."""
        place = str(photo.location)
        digest = self._digests.get(place)
        if digest is None or photo.problem:
            digest = self._digests[place] = photo.digest()
            if len(self._digests) > _PHOTOS_REMEMBERED:
                self._digests.popitem(last=False)
        return digest

    def _walk_all(self, photo: Photo, job: PlannedJob, tree: Sequence[Step], key: str) -> _Counted:
        """Count the results of a photo; returns its pictures and their problems."""
        problems: dict[str, None] = {}
        pictures = 0

        def walk(steps: Sequence[Step], parent: str, above: Mapping[str, str]) -> None:
            nonlocal pictures
            for step in steps:
                try:
                    key = job.keys.step(step.op, step.stage, parent, above, photo.name)
                except PhotoError as error:
                    problems[str(error)] = None
                    continue
                is_missing = self._is_new(key) and self._result(key, step.op, job, photo)
                if step.children:
                    content = output_key(step.stage, key, parent)
                    walk(step.children, content, {**above, step.name: content})
                else:
                    pictures += 1
                    if is_missing:
                        self.bytes += bytes_of_outputs(job.settings.results, self._sizes.of(photo))

        if self._is_new(key) and not self.keys.has(key):
            self.bytes += bytes_of_photo(self._sizes.of(photo))
        walk(tree, key, {})
        return _Counted(tree, pictures, problems)

    def _result(self, key: str, op: str, job: PlannedJob, photo: Photo) -> bool:
        """Count a result; returns whether it is missing."""
        if self.keys.has(key):
            self.cached[op] += 1
            return False
        self.missing[op] += 1
        job.missing_ops[op] = None
        self.bytes += bytes_of_result(op, self._sizes.of(photo))
        return True

    def _is_new(self, key: str) -> bool:
        if key in self._seen or key in self._seen_before:
            return False
        self._seen.add(key)
        if len(self._seen) >= _REMEMBERED:
            self._seen, self._seen_before = set(), self._seen
        return True


class _Sizes:
    """The sizes of photos, from their headers.

    Attributes:
        asked: the number of photos whose size was asked for.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._pixels = self._deep = 0
        self._latest: OrderedDict[str, PhotoSize] = OrderedDict()
        self._last_photo: Photo | None = None
        self._last_size = PhotoSize(0, 8)

    def of(self, photo: Photo) -> PhotoSize:
        """The size of a photo; after many photos, their mean."""
        if photo is self._last_photo:
            return self._last_size
        place = str(photo.location)
        size = self._latest.get(place)
        if size is None:
            size = self._latest[place] = self._find(photo)
            if len(self._latest) > _PHOTOS_REMEMBERED:
                self._latest.popitem(last=False)
        self._last_photo, self._last_size = photo, size
        return size

    def _find(self, photo: Photo) -> PhotoSize:
        self.asked += 1
        if self.asked > SIZES_READ:
            return PhotoSize(self._pixels // SIZES_READ, 16 if 2 * self._deep > SIZES_READ else 8)
        size = read_size(photo.path) or PhotoSize(0, 8)
        self._pixels += size.pixels
        self._deep += size.bits == 16
        return size
