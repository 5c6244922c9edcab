"""Checks a run folder against its own journal: every file is as it was written, and nothing else was repainted than
what the mask shows.

Run folders come from strangers, too: nothing outside the folder is opened, whatever its journal names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.compositing import filled
from pipeline.dataset import photo
from pipeline.dataset.photo import Picture
from pipeline.errors import PhotoError, RecipeError
from pipeline.record.journal import read_journal

_ROLES = ("source", "mask", "result")


@dataclass(frozen=True)
class Verified:
    """What came out of checking a run folder.

    Attributes:
        pictures: how many the journal tells of, made or not.
        files: how many files it names.
        problems: one line each, the file and what is wrong with it; none where all is as it was written.
    """

    pictures: int
    files: int
    problems: list[str]


def verify(run_dir: Path) -> Verified:
    """Check every file of a run against its digest, and every repaint against its photo and its mask.

    Args:
        run_dir: a run folder, wherever it has been moved to; it is only read.

    Raises:
        RecipeError: there is no such folder, no run in it, or its journal is damaged.
    """
    pictures = files = 0
    problems: dict[str, None] = {}  # an ordered set: what pictures share is told once
    read = lru_cache(maxsize=3)(partial(_read, run_dir))  # pictures share photo and mask
    for _, lines in groupby(_journal(run_dir), key=lambda line: line["photo"]):
        sound: dict[tuple[str, str | None], bool] = {}  # the files of this photo, by path and digest
        for line in lines:
            pictures += 1
            problems |= dict.fromkeys(_line_problems(run_dir, line, sound, read))
        files += len(sound)
    return Verified(pictures, files, list(problems))


def _journal(run_dir: Path) -> Iterator[Mapping[str, Any]]:
    """The journal's lines; what is read here of each is there and of the right type."""
    if not run_dir.is_dir():
        raise RecipeError(f"{run_dir}: no such folder")
    number = 1
    try:
        for line in read_journal(run_dir):
            _check_form(line)
            yield line
            number += 1
    except OSError as error:
        raise RecipeError(f"{run_dir}: not a run folder: journal.jsonl: {error.strerror}") from None
    except (ValueError, RecursionError):
        text = f"line {number} is damaged, or was written by another version of Darkroom"
        raise RecipeError(f"{run_dir / 'journal.jsonl'}: {text}") from None


def _check_form(line: Any) -> None:
    if not (isinstance(line, dict) and isinstance(line.get("files"), dict)):
        raise ValueError("no mapping of files")
    texts = [line.get("photo"), line.get("status"), *line["files"].values()]
    paths = [line.get(role, 0) for role in _ROLES]  # null is one thing, no such key another
    if not (all(isinstance(each, str) for each in texts) and all(isinstance(each, str | None) for each in paths)):
        raise ValueError("something else where a text should be")


def _line_problems(
    run_dir: Path,
    line: Mapping[str, Any],
    sound: dict[tuple[str, str | None], bool],
    read: Callable[[str], Picture],
) -> Iterator[str]:
    """All that is wrong with one picture; `sound` remembers which files have been checked, and how that went."""
    pictures = [line[role] for role in _ROLES]
    digests = {path: None for path in pictures if path} | line["files"]
    for pair in digests.items():
        if pair not in sound:
            problem = _file_problem(run_dir, *pair)
            sound[pair] = problem is None
            if problem:
                yield f"{_shown(pair[0])}: {problem}"
    source, _, result = pictures
    if line["status"] != "done" or result == source:  # a photo that was kept as it is
        return
    if None in pictures:
        yield f"{_shown(line['photo'])}: done, but the journal does not name photo, mask and result"
    elif all(sound[path, digests[path]] for path in pictures):
        yield from _paste_problems(line, read)


def _file_problem(run_dir: Path, path: str, digest: str | None) -> str | None:
    try:
        file = (run_dir / path).resolve()
        if not file.is_relative_to(run_dir.resolve()):
            return "lies outside the run folder; not opened"
        if not file.is_file():  # opening a FIFO would wait for ever
            return "missing"
        if digest is None:
            return "the journal has no digest of it"
        with file.open("rb") as opened:
            same = hashlib.file_digest(opened, "sha256").hexdigest() == digest
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except (RuntimeError, ValueError):  # links that go round in a circle, a null character
        return "no such file can exist"
    return None if same else "changed since it was written"


def _read(run_dir: Path, path: str) -> Picture:
    try:
        return photo.read(run_dir / path)
    except PhotoError as error:
        raise PhotoError(f"{_shown(path)}: {error}") from None


def _paste_problems(line: Mapping[str, Any], read: Callable[[str], Picture]) -> Iterator[str]:
    """Where the mask is 0 the result is the photo, bit for bit; size and colour profile are the photo's, and so is its
    transparency, filled by the mask."""
    try:
        source, mask, result = (read(line[role]) for role in _ROLES)
    except PhotoError as error:
        yield str(error)
        return
    for path, picture in ((line["mask"], mask), (line["result"], result)):
        if picture.pixels.shape != source.pixels.shape:
            yield f"{_shown(path)}: {_size(picture)}, but the photo is {_size(source)}"
            return
    name = _shown(line["result"])
    outside = mask.pixels[..., 0] == 0
    new, old = (_colours(each)[outside] for each in (result, source))
    if furthest := (np.maximum(new, old) - np.minimum(new, old)).max(initial=0):
        yield f"{name}: pixels outside the mask differ by {furthest} from the photo"
    before = _transparency(source)
    expected = before if before is None else filled(before, mask.pixels[..., 0])
    if not np.array_equal(_transparency(result), expected):  # None equals None alone
        yield f"{name}: its transparency is not the photo's, filled by the mask"
    if result.icc != source.icc:
        yield f"{name}: its colour profile is not the photo's"


def _colours(picture: Picture) -> np.ndarray:
    return picture.pixels if picture.deep is None else picture.deep[..., :3]


def _transparency(picture: Picture) -> np.ndarray | None:
    if picture.deep is None or picture.alpha is None:
        return picture.alpha
    return picture.deep[..., 3]


def _size(picture: Picture) -> str:
    height, width, _ = picture.pixels.shape
    return f"{width} x {height} px"


def _shown(path: str) -> str:
    """A name out of a journal, fit for a terminal."""
    return repr(path)[1:-1]
