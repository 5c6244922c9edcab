"""What earlier attempts have left of a run that is being resumed: finished pictures, which stay, and failed ones."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.files import Folder
from pipeline.record.schema import JOURNAL, Line, read_line, read_places

log = logging.getLogger("darkroom")

EARLIER = "journal.earlier.jsonl"  # the journal of the earlier attempts, while a run is resumed

_ASIDE = "journal.earlier.new"


@dataclass(frozen=True)
class Before:
    """What earlier attempts have made of one photo.

    Attributes:
        lines: of the journal, one for each picture.
    """

    lines: Sequence[Line]

    @property
    def done(self) -> list[Line]:
        """Those of finished pictures."""
        return [line for line in self.lines if line["status"] == "done"]

    def picture(self, settings: Sequence[Mapping[str, Any]]) -> Line | None:
        """The line of a finished picture.

        Args:
            settings: what is asked for (`plan.settings_of`). A photo that was kept as it is ended earlier.
        """
        done = {json.dumps(line["settings"]): line for line in self.done}
        for end in range(len(settings), -1, -1):
            line = done.get(json.dumps(settings[:end]))
            if line and (end == len(settings) or line["result"] == line["source"]):
                return line
        return None

    def owner(self, path: str) -> Line | None:
        """The line of a finished picture that has a file."""
        return next((line for line in self.done if path in line["files"]), None)

    def recorded(self, path: str) -> tuple[str | None, bool]:
        """SHA-256 of what was written under a path, None where nothing was; whether a finished picture has the file."""
        digest = None
        for line in self.lines:
            digest = line["files"].get(path, digest)
            if path in line["files"] and line["status"] == "done":
                return digest, True
        return digest, False


class Earlier:
    """The journal of the earlier attempts.

    It holds a few bytes for each line, and reads the lines when they are asked for.

    Args:
        folder: the run folder, whose journal has been set aside (`set_aside`).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._starts: dict[bytes, tuple[int, bool]] = {}  # where a picture's line begins, and whether it is done
        self._pictures: dict[bytes, dict[bytes, None]] = {}  # of each photo
        self._folders: dict[bytes, dict[str, None]] = {}  # of the photos of each name, in their order
        self._kept: set[bytes] = set()
        for start, line in read_places(folder, EARLIER, damaged=True):
            self._add(start, line)

    def folder(self, name: str, number: int) -> str | None:
        """The folder of a photo in the earlier attempts.

        Args:
            name: its name in the dataset.
            number: which of the photos of this name, from 0.
        """
        folders = list(self._folders.get(_hash(name), ()))
        return folders[number] if number < len(folders) else None

    def of(self, name: str, folder: str) -> Before:
        """What was made of a photo, by its name in the dataset and its folder."""
        pictures = self._pictures.get(_hash(name, folder), ())
        return Before([read_line(self._folder, EARLIER, self._starts[each][0]) for each in pictures])

    def all_of(self, name: str) -> Iterator[Line]:
        """What was made of all photos of a name."""
        for folder in self._folders.get(_hash(name), ()):
            yield from self.of(name, folder).lines

    def keep(self, line: Line) -> None:
        """Note that a line has been written into the new journal."""
        self._kept.add(_picture(line))

    def rest(self) -> Iterator[Line]:
        """The lines of all finished pictures that are not in the new journal."""
        for picture, (start, done) in self._starts.items():
            if done and picture not in self._kept:
                yield read_line(self._folder, EARLIER, start)

    def _add(self, start: int, line: Line) -> None:
        picture, folder, done = _picture(line), line_folder(line), line["status"] == "done"
        if done or not self._starts.get(picture, (0, False))[1]:
            self._starts[picture] = start, done
        if folder is not None:
            self._pictures.setdefault(_hash(line["photo"], folder), {})[picture] = None
            self._folders.setdefault(_hash(line["photo"]), {})[folder] = None


def line_folder(line: Line) -> str | None:
    """The folder of a line's photo; None where the photo could not be decoded."""
    return line["source"].partition("/")[0] if line["source"] else None


def set_aside(folder: Path) -> None:
    """Move the journal's lines to those of earlier attempts; at no moment are they in neither file."""
    files, left_out = Folder(folder), 0
    files.remove(_ASIDE)
    with files.append(_ASIDE) as aside:
        for name in filter(files.holds, (EARLIER, JOURNAL)):
            with files.open(name) as lines:
                whole = {start for start, _ in read_places(folder, name, damaged=True)}
                start = 0
                for line in lines:
                    if start in whole:
                        _write(aside, line)
                    left_out += start not in whole
                    start += len(line)
        os.fsync(aside.fileno())
    files.move(_ASIDE, EARLIER)
    files.remove(JOURNAL)
    if left_out:
        log.warning("torn or damaged lines of the journal, left out: %d", left_out)


def _write(file: Any, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _picture(line: Line) -> bytes:
    return _hash(line["photo"], line_folder(line), line["settings"])


def _hash(*parts: Any) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode()).digest()[:16]
