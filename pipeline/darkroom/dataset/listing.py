"""The pictures at a path, in a folder or matching a glob, in a fixed order. Opens no file."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import filter as matching
from functools import cached_property
from pathlib import Path, PurePath

from darkroom.imaging.codec import FORMATS

_JUNK = {
    "@eadir",
    "#recycle",
    "@recycle",
    "$recycle.bin",
    "__macosx",
    "thumbs.db",
    "desktop.ini",
}  # system files
_DIGITS = re.compile(r"([0-9]+)")
_RESULTS = {"journal.jsonl", "sweep.json"}  # files of run and sweep folders, which hold no photos


@dataclass(frozen=True)
class _Folder:
    """The visible names in one folder, without system files; both lists in natural order."""

    path: Path
    files: Sequence[str]
    folders: Sequence[str]

    @cached_property
    def captions(self) -> frozenset[str]:
        """The names that captions of its pictures have."""
        pictures = filter(_is_picture, map(PurePath, self.files))
        return frozenset(name for picture in pictures for name in caption_names(picture))


class Listing:
    """One walk. A folder is read only when its turn comes, and only once, however many links lead to it.

    In a folder its own pictures come first, then its sub-folders one after the other, both in natural order.

    Args:
        say: gets one line for each folder that cannot be read.
        with_captions: text files with the names of pictures are not counted as skipped.

    Attributes:
        skipped: the number of files that are not pictures, by suffix.
    """

    def __init__(self, say: Callable[[str], None], with_captions: bool = False) -> None:
        self._say, self._with_captions = say, with_captions
        self.skipped: Counter[str] = Counter()

    def pictures(self, place: str) -> Iterator[Path]:
        """The pictures of a place: a file itself, whatever its name; a folder's at any depth; the matches of a glob."""
        path, pattern = split(place)
        if pattern:
            yield from self._match(self._list(path), pattern)
        else:
            yield path

    def _match(self, here: _Folder, pattern: Sequence[str]) -> Iterator[Path]:
        head, *rest = pattern
        if head == "**":
            for folder in self._tree(here):
                yield from self._match(folder, rest or ["*"])
        elif rest:
            for name in matching(here.folders, head):
                yield from self._match(self._list(here.path / name), rest)
        else:
            for name in matching(here.files, head):
                path = here.path / name
                if _is_picture(path):
                    yield path
                elif not (self._with_captions and name in here.captions):
                    self.skipped[path.suffix.lower() or "no suffix"] += 1

    def _tree(self, root: _Folder) -> Iterator[_Folder]:
        """A folder and all below it except run folders; each is visited once, so that links cannot loop."""
        waiting, seen = [root.path], set()
        while waiting:
            path = waiting.pop()
            identity = _identity(path)
            if identity in seen:
                continue
            seen.add(identity)
            here = root if path == root.path else self._list(path)
            if here is root or _RESULTS.isdisjoint(here.files):
                yield here
                waiting.extend(path / name for name in reversed(here.folders))

    def _list(self, path: Path) -> _Folder:
        files, folders = [], []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name.lower() in _JUNK:
                        continue
                    if _is_folder(entry):
                        folders.append(entry.name)
                    elif entry.is_symlink() or entry.is_file():  # a dangling link is reported when it is loaded
                        files.append(entry.name)
                    else:
                        self.skipped["devices and pipes"] += 1
        except OSError as error:
            self._say(f"{path}: cannot be read, skipped: {error.strerror}")
        return _Folder(path, sorted(files, key=natural_order), sorted(folders, key=natural_order))


def caption_names(picture: PurePath) -> tuple[str, str]:
    """The names that the text file with a picture's caption may have, the first one first."""
    return f"{picture.stem}.txt", f"{picture.stem}.TXT"


def natural_order(name: str) -> tuple[object, ...]:
    """A sort key as in file managers: `img2` comes before `img10`, and capitals do not count."""
    parts: list[object] = list(_DIGITS.split(name.casefold()))
    for index in range(1, len(parts), 2):
        digits = str(parts[index]).lstrip("0")
        parts[index] = (len(digits), digits)  # as numbers, of any length
    return (parts, name)


def split(place: str) -> tuple[Path, list[str]]:
    """Split a place into (folder, pattern for names below it), or (file, []) for a single file.

    A path that exists is taken literally, even if its name has `*`, `?` or `[` in it.
    """
    path = Path(place)
    if path.is_dir():
        return path, ["**"]
    magic = [any(sign in part for sign in "*?[") for part in path.parts]
    if path.exists() or not any(magic):
        return path, []
    first = magic.index(True)
    return Path(*path.parts[:first]), list(path.parts[first:])


def _is_picture(path: PurePath) -> bool:
    return path.suffix.lower() in FORMATS


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _identity(path: Path) -> object:
    try:
        status = path.stat()
        return status.st_dev, status.st_ino
    except OSError:
        return path
