"""Which pictures a file, a folder or a glob stands for, in a fixed order. It opens no file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import filter as matching
from pathlib import Path

from darkroom.imaging.codec import FORMATS

_RAW = (".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw", ".dng")
UNREAD = dict.fromkeys((".heic", ".heif", ".hif"), "HEIC") | dict.fromkeys(_RAW, "camera raw") | {".psd": "PSD"}
"""Suffixes of pictures that no decoder here reads, and what their formats are called."""

_JUNK = {"@eadir", "#recycle", "@recycle", "$recycle.bin", "__macosx", "thumbs.db", "desktop.ini"}  # of file servers
_RESULTS = {"journal.jsonl", "sweep.json"}  # a folder that holds one is a run's or a sweep's: no photos there


@dataclass(frozen=True)
class _Folder:
    """The visible names in one folder, without what systems leave there, each list sorted by code points."""

    path: Path
    files: Sequence[str]
    folders: Sequence[str]


class Listing:
    """One walk; folders are read only when their turn comes, each once however many links lead to it.

    In a folder its own pictures come first, then its sub-folders one after the other, sorted by code points.

    Args:
        say: is told in one line of each folder that cannot be read.

    Attributes:
        skipped: how many files were passed over because they are no pictures, by suffix.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.skipped: Counter[str] = Counter()

    def pictures(self, place: str) -> Iterator[Path]:
        """What a place stands for: a file itself, whatever its name; a folder's pictures at any depth; a glob's."""
        path, pattern = split(place)
        if pattern:
            yield from self._match(self._list(path), pattern)
        else:
            yield path

    def _match(self, here: _Folder, pattern: Sequence[str]) -> Iterator[Path]:
        head, *rest = pattern
        if head == "**":
            for each in self._tree(here):
                yield from self._match(each, rest or ["*"])
        elif rest:
            for name in matching(here.folders, head):
                yield from self._match(self._list(here.path / name), rest)
        else:
            for name in matching(here.files, head):
                path = here.path / name
                if path.suffix.lower() in FORMATS:
                    yield path
                else:
                    self.skipped[path.suffix.lower() or "no suffix"] += 1

    def _tree(self, root: _Folder) -> Iterator[_Folder]:
        """A folder and all below it, save what runs have written; links cannot lead into a circle."""
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
                    elif entry.is_symlink() or entry.is_file():  # a link to nothing will say so when loaded
                        files.append(entry.name)
                    else:
                        self.skipped["devices and pipes"] += 1
        except OSError as error:
            self._say(f"{path}: cannot be read, passed over: {error.strerror}")
        return _Folder(path, sorted(files), sorted(folders))


def split(place: str) -> tuple[Path, list[str]]:
    """A place as (folder, pattern of names below it), or, for a single file, (file, []).

    What exists is meant literally, even where its name holds `*`, `?` or `[`.
    """
    path = Path(place)
    if path.is_dir():
        return path, ["**"]
    magic = [any(sign in part for sign in "*?[") for part in path.parts]
    if path.exists() or not any(magic):
        return path, []
    first = magic.index(True)
    return Path(*path.parts[:first]), list(path.parts[first:])


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _identity(path: Path) -> object:
    try:
        status = path.stat()
        return status.st_dev, status.st_ino
    except OSError:
        return path
