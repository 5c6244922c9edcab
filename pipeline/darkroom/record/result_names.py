"""Names of the files in `results/` by the template `results.name`, and the check that no two pictures share one."""

from __future__ import annotations

import hashlib
import unicodedata
from array import array
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import suppress
from pathlib import PurePosixPath

import numpy as np

from darkroom.config.recipe import Recipe
from darkroom.config.result_name import column_of, fill_in, references
from darkroom.config.settings import Results
from darkroom.dataset import Photo
from darkroom.dataset.columns import BUILT_IN
from darkroom.errors import PhotoError, RecipeError, suggest
from darkroom.imaging.codec import FORMATS
from darkroom.planning.plan import Step, StepPlanner, last_summary, paths, prompt_number
from darkroom.record.naming import digits_of, replace_forbidden, shortened, with_kind
from darkroom.system.file_names import fold, is_device

_MAX_BYTES = 150  # of each part of a name; kind and suffix are added, and file systems take 255
_MAX_DEPTH = 20  # folders
_SUFFIXES = (*FORMATS, ".psd")
_ADVICE = "${folder}, ${suffix}, ${variant} or a column to tell them apart"


def result_name(template: str, photo: Photo, steps: Sequence[Step]) -> str:
    """The name of a picture's results, without suffix, relative to `results/`.

    Characters that a system forbids become `_`, which also precedes the name of a Windows device. A part that is too
    long is shortened and gets 8 digits of its SHA-256.

    Args:
        template: `results.name`.
        photo: the photo.
        steps: from the photo to the picture, as planned.

    Raises:
        PhotoError: a column is missing or empty, the picture has no seed or prompt, or the name would be empty.
    """
    values = {reference: _value(reference, photo, steps) for reference in references(template)}
    parts = [_portable(part) for part in fill_in(template, values).split("/")]
    *folders, name = [part for part in parts if part] or [""]
    if not name or len(folders) > _MAX_DEPTH:
        raise PhotoError("results.name: gives this photo no usable name")
    return "/".join([*map(_folder, folders), name])


def require_name(results: Results, photo: Photo, tree: Sequence[Step]) -> None:
    """Make sure that the pictures of a photo can be named. Raises `PhotoError`, with its row, as `result_name` does."""
    try:
        if results.name is not None:
            result_name(results.name, photo, next(paths(tree)))
    except PhotoError as error:
        raise PhotoError(photo.located(error)) from None


def check_names(recipe: Recipe, results: Results) -> None:
    """Make sure that the template gives all pictures different names; it lists the photos and plans each.

    Raises:
        RecipeError: two pictures would have the same files, or no photo has what the template needs.
    """
    if results.name is None:
        return
    names = Names(recipe, results)
    for photo, tree in _planned(recipe, names.doubt):
        with suppress(PhotoError):  # costs this photo, and is reported by the run
            names.add(photo, tree)
    names.check()


def _planned(recipe: Recipe, doubt: Callable[[PhotoError], None]) -> Iterator[tuple[Photo, Sequence[Step]]]:
    planner = StepPlanner(recipe)
    for photo in recipe.dataset.photos():
        try:
            tree = planner.plan(photo)
        except PhotoError as error:
            doubt(error)
            continue
        yield photo, tree


class Names:
    """Checks that no two pictures of a recipe get the same files in `results/`; 8 bytes of memory for each file.

    Args:
        recipe: the recipe.
        results: with the template.
    """

    def __init__(self, recipe: Recipe, results: Results) -> None:
        self._recipe, self._results = recipe, results
        self._starts = array("Q")  # of the hashes of the files' names
        self._problem: PhotoError | None = None

    def doubt(self, problem: PhotoError) -> None:
        """Remember why a photo has no name: perhaps none has one."""
        self._problem = self._problem or problem

    def add(self, photo: Photo, tree: Sequence[Step]) -> None:
        """Take the names of a photo's pictures. Raises `PhotoError`, with its row, as `result_name` does."""
        if self._results.name is None:
            return
        try:
            for steps in paths(tree):
                self._starts.extend(map(_start, _hashes(result_name(self._results.name, photo, steps), self._results)))
        except PhotoError as error:
            self.doubt(error)
            raise PhotoError(photo.located(error)) from None

    def check(self) -> None:
        """Raise `RecipeError` as `check_names` does; only if there seem to be equal names, photos are listed again."""
        if self._results.name is None:
            return
        where = f"command line: results.name={self._results.name}"
        if self._problem and not self._starts:
            raise RecipeError(f"{where}: {str(self._problem).removeprefix('results.name: ')}")
        starts, counts = np.unique(np.frombuffer(self._starts, np.uint64), return_counts=True)
        if (counts < 2).all():
            return
        taken = _Taken(self._results, set(starts[counts > 1].tolist()))
        for photo, tree in _planned(self._recipe, self.doubt):
            with suppress(PhotoError):
                for steps in paths(tree):
                    taken.add(photo, steps)
        if taken.conflicts:
            more = f" ({taken.conflicts} such names)" if taken.conflicts > 1 else ""
            raise RecipeError(f"{where}: {taken.first_conflict}{more}; add {_ADVICE}")


def _hashes(name: str, results: Results) -> set[bytes]:
    """What stands for the files of a picture's results; equal for names that a file system takes for the same."""
    return {hashlib.sha256(fold(with_kind(name, kind)).encode()).digest()[:16] for kind in results.what}


def _start(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "little")


class _Taken:
    """The names that pictures have taken, among those that are taken twice.

    Args:
        results: with the template.
        twice: the `_start` of their hashes.

    Attributes:
        conflicts: the number of pictures whose name was taken.
        first_conflict: the first two pictures that share a name.
    """

    def __init__(self, results: Results, twice: Container[int]) -> None:
        self._results, self._twice = results, twice
        self._pictures: dict[bytes, str] = {}
        self.conflicts = 0
        self.first_conflict = ""

    def add(self, photo: Photo, steps: Sequence[Step]) -> None:
        """Take the names of a picture. Raises `PhotoError` as `result_name` does."""
        name = result_name(self._results.name or "", photo, steps)
        variant = variant_name(steps)
        picture = f"{photo.row or photo.name}{f' ({variant})' if variant else ''}"
        keys = [key for key in _hashes(name, self._results) if _start(key) in self._twice]
        other = next((self._pictures[key] for key in keys if key in self._pictures), None)
        if other is not None:
            self.conflicts += 1
            self.first_conflict = self.first_conflict or f"{other} and {picture} would both be results/{name}"
        self._pictures |= dict.fromkeys(keys, picture)


def variant_name(steps: Sequence[Step]) -> str:
    """What distinguishes a picture from others of its photo, such as `prompt2-seed7`; empty for an only picture."""
    return "_".join(step.variant for step in steps if step.variant)


def _value(reference: str, photo: Photo, steps: Sequence[Step]) -> str:
    if (column := column_of(reference)) is not None:
        return _of_column(column, photo)
    path = PurePosixPath(photo.name)
    is_picture, summary = path.suffix.lower() in FORMATS, last_summary(steps)
    if reference == "folder":
        return _folders(path)
    if reference == "stem":
        return replace_forbidden(path.stem if is_picture else path.name)
    if reference == "suffix":
        return path.suffix[1:].lower() if is_picture else ""
    if reference == "variant":
        return variant_name(steps)
    if summary is None or (reference == "seed" and summary.seed is None):
        raise PhotoError(f"results.name: the picture has no {reference}")
    return str(prompt_number(steps) if reference == "prompt" else summary.seed)


def _of_column(column: str, photo: Photo) -> str:
    found = photo.columns([column])
    if column not in found:
        raise PhotoError(f"results.name: no column '{column}', {suggest(column, [*photo.item, *BUILT_IN])}")
    value = found[column]
    if not isinstance(value, str | int | float) or not replace_forbidden(str(value)):
        raise PhotoError(f"results.name: the column '{column}' should be a text or number; got {value!r:.60}")
    return replace_forbidden(str(value))


def _folders(path: PurePosixPath) -> str:
    """The folder in the dataset; for a photo outside, only the last folder, for its path is the machine's."""
    parts = [replace_forbidden(part) for part in path.parent.parts if part not in ("/", "..")]
    return "/".join(parts if len(parts) == len(path.parent.parts) else parts[-1:])


def _portable(part: str) -> str:
    name = replace_forbidden(unicodedata.normalize("NFC", part)).rstrip(". ")
    name = "_" + name[1:] if name.startswith(".") else name  # hidden
    if len(name.encode()) > _MAX_BYTES:
        name = f"{shortened(name, _MAX_BYTES - 9)}-{digits_of(name)}"
    return f"_{name}" if is_device(name) else name


def _folder(part: str) -> str:
    """A folder's name that no file can have."""
    stem, dot, suffix = part.rpartition(".")
    return f"{stem}_{suffix}" if f"{dot}{suffix}".lower() in _SUFFIXES else part
