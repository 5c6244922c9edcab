"""The photos of a recipe: files, folders, globs, or a manifest. No stages, no models."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, model_validator
from pydantic.dataclasses import dataclass

from darkroom.dataset import manifest, selection
from darkroom.dataset.columns import BUILT_IN
from darkroom.dataset.digests import photo_digest
from darkroom.dataset.listing import Listing, split
from darkroom.dataset.strays import Tally, describe, is_raw
from darkroom.dataset.table_rows import IMAGE, KEY, exists
from darkroom.errors import PhotoError, RecipeError, suggest
from darkroom.imaging import codec, heif

log = logging.getLogger("darkroom")


@plain_dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a dataset, not yet opened. There can be a million of them, so `path` is made only when it is used.

    Attributes:
        location: the file.
        name: its path within the dataset, with `/`; with a manifest, the path as written there. Two photos have the
            same name only if a file is listed twice. A bad row of a manifest is named `FILE:LINE`.
        item: the manifest's other columns; empty without a manifest and for a bad row.
        row: its row in the manifest, as `FILE:LINE`; empty without a manifest.
        problem: why it cannot be loaded, if that is known before it is opened; else None.
    """

    location: str | Path
    name: str
    item: Mapping[str, Any] = field(default_factory=dict)
    row: str = ""
    problem: str | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.location)

    def columns(self, names: Collection[str]) -> dict[str, Any]:
        """The values of some columns: the manifest's, or else the built-in ones; unknown columns are left out.

        Raises:
            PhotoError: the photo has no value in a built-in column.
        """
        found = {name: self.item[name] for name in names if name in self.item}
        if len(found) == len(names):
            return found
        return found | {name: BUILT_IN[name](self.path) for name in names if name in BUILT_IN and name not in found}

    def located(self, problem: object) -> str:
        """A problem of this photo, preceded by its row in the manifest: a manifest may list a photo twice."""
        text = str(problem)
        return f"{self.row}: {text}" if self.row not in ("", self.name) and not text.startswith(self.row) else text

    def digest(self) -> str:
        """SHA-256 of the file, from memory if it has not changed (`store.digests`).

        Raises:
            PhotoError: with the reason, in one line.
        """
        if self.problem:
            raise PhotoError(self.problem)
        try:
            return photo_digest(self.location)
        except PhotoError as error:
            raise self._unreadable(error) from None

    def load(self) -> codec.DecodedPhoto:
        """Read and decode it.

        Raises:
            PhotoError: with the reason, in one line.
        """
        if self.problem:
            raise PhotoError(self.problem)
        if is_raw(self.path):
            raise PhotoError("camera raw cannot be read: save it as JPEG, PNG or TIFF")
        try:
            photo = codec.read_photo(self.path)
        except PhotoError as error:
            raise self._unreadable(error) from None
        expected = codec.FORMATS.get(self.path.suffix.lower())
        if expected and expected != photo.format.replace("MPO", "JPEG"):
            log.warning("%s: is a %s file, despite its name", self.name, photo.format)
        if photo.bits == 16 and photo.pixels16 is None:
            log.warning(
                "%s: only 8 of its 16 bits are kept (see the page docs/datasets.md of the repository)", self.name
            )
        return photo

    def _unreadable(self, error: PhotoError) -> PhotoError:
        """The error, with the column of the manifest that names the photo."""
        return PhotoError(f"{IMAGE}: {error}") if self.row else error


def _several(value: Any) -> Any:
    several = value if isinstance(value, list | tuple) else () if value is None else (value,)
    return tuple(str(one) if type(one) is int else one for one in several)  # a folder called 2024


def _usable(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if wrong := next(filter(None, map(selection.problem, patterns)), None):
        raise ValueError(wrong)
    return patterns


Patterns = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_usable)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Dataset:
    """The photos of a run, as absolute paths: either `images` or `manifest`.

    Attributes:
        images: a photo, a folder with all below it, a glob (`*`, `?`, `[abc]`, `**`), or a list of these.
        manifest: a table with a column `image`, relative to `folder`. The other columns become each photo's `item`.
        folder: where the table's `image` paths start; by default the table's own folder.
        only: only photos whose names fit one of these patterns (`selection.Patterns`); empty for all.
        exclude: no photos whose names fit one of these patterns.
        limit: at most this many photos; None for all. Not a key of `dataset`: see `first`.
    """

    images: str | list[str] | None = None
    manifest: str | None = None
    folder: str | None = None
    only: Patterns = ()
    exclude: Patterns = ()
    limit: int | None = field(default=None, init=False)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.images and self.manifest:
            raise ValueError("`images` and `manifest` are both given; add dataset.images=null or dataset.manifest=null")
        if not self.images and not self.manifest:
            raise ValueError(f"give either `images` (a photo, folder or glob) or `manifest` ({manifest.SUFFIXES})")
        if self.folder and not self.manifest:
            raise ValueError("`folder` is where the paths of a `manifest` start; there is no manifest")
        return self

    def first(self, limit: int | None) -> Self:
        """The same dataset, but with at most this many photos; None for all."""
        copy = replace(self)
        object.__setattr__(copy, "limit", limit and min(limit, sys.maxsize))  # the copy is not yet shared
        return copy

    def check(self, columns: Collection[str] = ()) -> None:
        """Check quickly that every path has at least one photo, and that one is selected.

        Args:
            columns: the manifest's columns that the recipe uses; each must be in some row.

        Raises:
            RecipeError: one line for each path that is missing, empty or unreadable, and for each missing column.
        """
        if self.manifest:
            _check_manifest(Path(self.manifest), self._start, columns)
        problems = [problem for place in self._places() if (problem := _problem(place))]
        if problems:
            raise RecipeError([f"dataset.images: {problem}" for problem in problems])
        if (self.only or self.exclude) and not any(True for _ in self._photos(_ignore)):
            key = "only" if self.only else "exclude"
            raise RecipeError(f"dataset.{key}: leaves no photo; a photo's name is its path within the dataset")

    def photos(self) -> Iterator[Photo]:
        """Yield the photos as they are found, in an order that depends on names only.

        Lists and manifests keep their order. In a folder its own pictures come first, then its sub-folders one
        after the other, in natural order. Hidden files, system files such as `Thumbs.db`, and run folders are
        skipped.

        Raises:
            RecipeError: the manifest can no longer be read.
        """
        return self._photos(log.warning)

    def count(self) -> int:
        """The number of photos, found by a separate walk that logs nothing."""
        return sum(1 for _ in self._photos(_ignore))

    def left_out(self, columns: Collection[str] = ()) -> list[str]:
        """What is not taken, in one line each: files that are no photos, and photos that are not selected.

        Args:
            columns: those that the recipe uses: with `caption`, the text files beside photos are not left out.
        """
        if self.manifest and not (self.only or self.exclude or self.limit or heif.missing()):
            return []  # without reading the table
        listing, tally = Listing(_ignore, "caption" in columns), Tally(self.only, self.exclude)
        taken = 0
        for photo in self._all(listing):
            takes = self._takes(photo) and taken != self.limit
            taken += takes
            tally.add(photo.path, takes, *(patterns.fitting(photo.name) for patterns in self._patterns))
        return [*([describe(listing.skipped)] if listing.skipped else []), *tally.lines()]

    @property
    def _start(self) -> Path:
        """The folder where the manifest's paths start."""
        return Path(self.folder) if self.folder else Path(str(self.manifest)).parent

    def _places(self) -> list[str]:
        return [self.images] if isinstance(self.images, str) else self.images or []

    @cached_property
    def _patterns(self) -> tuple[selection.Patterns, selection.Patterns]:
        return selection.Patterns(self.only), selection.Patterns(self.exclude)

    def _takes(self, photo: Photo) -> bool:
        only, exclude = self._patterns
        return (not self.only or only.fits(photo.name)) and not exclude.fits(photo.name)

    def _photos(self, say: Callable[[str], None]) -> Iterator[Photo]:
        photos = self._all(Listing(say))
        return islice(filter(self._takes, photos) if self.only or self.exclude else photos, self.limit)

    def _all(self, listing: Listing) -> Iterator[Photo]:
        if self.manifest:
            yield from _listed(Path(self.manifest), self._start)
            return
        root = _common_root(self._places())
        for place in self._places():
            for path in listing.pictures(place):
                yield Photo(path, path.relative_to(root).as_posix())


def lines_left_out(datasets: Iterable[Dataset], columns: Collection[str] = ()) -> list[str]:
    """`Dataset.left_out` of several datasets; equal ones are walked through once."""
    different: list[Dataset] = []
    for dataset in datasets:
        if dataset not in different:
            different.append(dataset)
    return list(dict.fromkeys(line for dataset in different for line in dataset.left_out(columns)))


def _ignore(line: str) -> None:
    """Takes lines for the log that another walk has written."""


def _listed(path: Path, start: Path) -> Iterator[Photo]:
    table, folder, within = path.name, str(start), os.path.join(start, "")  # noqa: PTH118  # Paths cost more than rows
    for line, image, item, problem in manifest.rows(path, start):
        place = f"{table}:{line}"
        if image is None:
            yield Photo(path, place, row=place, problem=problem)
        else:
            is_relative = image[0].isalnum() and ":" not in image
            location = within + image if is_relative else os.path.join(folder, image)  # noqa: PTH118
            yield Photo(location, image, item, place)


def _common_root(places: list[str]) -> Path:
    """The folder that names are relative to: the deepest one that contains all paths."""
    roots = (path if pattern else path.parent for path, pattern in map(split, places))
    return Path(os.path.commonpath(list(roots)))


def _check_manifest(path: Path, start: Path, columns: Collection[str]) -> None:
    """Read rows until one photo and all columns are found; in a good manifest, that is the first row."""
    first_bad = first_lost = None
    missing, known, usable, there = set(columns) - BUILT_IN.keys(), set(BUILT_IN), 0, False
    for row in manifest.rows(path, start):
        if row.image is None:
            first_bad = first_bad or row
            continue
        usable += 1
        missing -= row.item.keys()
        known |= row.item.keys()
        there = there or exists(start / row.image)
        first_lost = first_lost or row.image
        if there and not missing:
            return
    if not usable:
        reason = f"no usable row; line {first_bad.line}: {first_bad.problem}" if first_bad else "no rows"
        raise RecipeError(f"{KEY}: {path}: {reason}")
    problems = [f"no column '{name}', {suggest(name, sorted(known))}" for name in sorted(missing)]
    if not there:
        problems.append(f"none of its photos exists, such as {first_lost}; is their disk mounted?")
    raise RecipeError([f"{KEY}: {path}: {problem}" for problem in problems])


def _problem(place: str) -> str | None:
    """Why there is no photo at a path or glob, or None."""
    try:
        return _missing(place)
    except OSError as error:  # such as a parent folder without permission
        return f"{place}: cannot be read: {error.strerror}"


def _missing(place: str) -> str | None:
    path, pattern = split(place)
    if pattern.count("**") > 1:
        return f"{place}: a glob can have `**` only once"
    if not path.exists():
        return f"{path}: no such file or folder"
    if not pattern:
        return None if path.is_file() else f"{path}: neither a file nor a folder"
    unreadable: list[str] = []
    listing = Listing(unreadable.append)
    if any(True for _ in listing.pictures(place)):
        return None
    skipped = f"; {describe(listing.skipped)}" if listing.skipped else ""
    wanted = " ".join(codec.FORMATS)
    return "; ".join([f"{place}: no photos found, looking for {wanted}{skipped}", *unreadable])
