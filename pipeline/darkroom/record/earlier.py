"""What earlier attempts have left of a run that is being resumed: finished pictures, which stay, and failed ones."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from darkroom.record.schema import JOURNAL, JournalLine, read_line, read_places
from darkroom.system.files import Folder

log = logging.getLogger("darkroom")

EARLIER = "journal.earlier.jsonl"  # the journal of the earlier attempts, while a run is resumed

_ASIDE = "journal.earlier.new"


class EarlierPhoto:
    """What earlier attempts have made of one photo.

    Args:
        lines: of the journal, one for each picture.

    Attributes:
        done: the lines of finished pictures.
    """

    def __init__(self, lines: Sequence[JournalLine]) -> None:
        self.done = [line for line in lines if line["status"] == "done"]
        self._by_settings = {json.dumps(line["settings"]): line for line in self.done}
        self._failed = {path: digest for line in lines for path, digest in line["files"].items()}
        self._finished = {path: digest for line in self.done for path, digest in line["files"].items()}

    def picture(self, settings: Sequence[Mapping[str, Any]]) -> JournalLine | None:
        """The line of a finished picture.

        Args:
            settings: what is asked for (`plan.settings_of`). A photo that was kept as it is ended earlier.
        """
        for end in range(len(settings), -1, -1):
            line = self._by_settings.get(json.dumps(settings[:end]))
            if line and (end == len(settings) or line["result"] == line["source"]):
                return line
        return None

    def recorded(self, path: str) -> tuple[str | None, bool]:
        """SHA-256 of what was written under a path, None where nothing was; whether a finished picture has the file."""
        if path in self._finished:
            return self._finished[path], True
        return self._failed.get(path), False


class EarlierJournal:
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
        self._taken: set[str] = set()  # all folders, case folded
        self._kept: set[bytes] = set()
        self._begun: set[bytes] = set()  # photos
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

    def has(self, folder: str) -> bool:
        """Whether a photo had this folder, or one that some file systems take for the same."""
        return folder.casefold() in self._taken

    def begin(self, name: str, folder: str) -> EarlierPhoto:
        """What was made of a photo, by its name in the dataset and its folder, which is now begun again."""
        self._begun.add(_hash(name, folder))
        return EarlierPhoto(self._lines(name, folder))

    def all_of(self, name: str) -> Iterator[JournalLine]:
        """What was made of all photos of a name."""
        for folder in self._folders.get(_hash(name), ()):
            yield from self._lines(name, folder)

    def keep(self, line: JournalLine) -> None:
        """Note that a line has been written into the new journal."""
        self._kept.add(_picture(line))

    def rest(self, failed: bool) -> Iterator[JournalLine]:
        """The lines that are not in the new journal: those of finished pictures, and, where `failed`, of photos that
        have not been begun again."""
        for picture, (start, done) in self._starts.items():
            if picture not in self._kept and (done or failed):
                line = read_line(self._folder, EARLIER, start)
                if done or _hash(line["photo"], line["folder"]) not in self._begun:
                    yield line

    def _lines(self, name: str, folder: str) -> list[JournalLine]:
        pictures = self._pictures.get(_hash(name, folder), ())
        return [read_line(self._folder, EARLIER, self._starts[each][0]) for each in pictures]

    def _add(self, start: int, line: JournalLine) -> None:
        picture, done = _picture(line), line["status"] == "done"
        if done or not self._starts.get(picture, (0, False))[1]:
            self._starts[picture] = start, done
        self._pictures.setdefault(_hash(line["photo"], line["folder"]), {})[picture] = None
        self._folders.setdefault(_hash(line["photo"]), {})[line["folder"]] = None
        self._taken.add(line["folder"].casefold())


def set_aside(folder: Path) -> None:
    """Move the journal's lines to those of earlier attempts; at no moment are they in neither file."""
    files, left_out = Folder(folder), 0
    files.remove(_ASIDE)
    with files.append(_ASIDE) as aside:
        for name in filter(files.holds, (EARLIER, JOURNAL)):
            with files.open(name) as lines:
                end = 0
                for start, _ in read_places(folder, name, damaged=True):
                    left_out += start > end
                    lines.seek(start)
                    line = lines.readline()
                    _write(aside, line)
                    end = start + len(line)
                left_out += files.status(name).st_size > end
        os.fsync(aside.fileno())
    files.move(_ASIDE, EARLIER)
    files.remove(JOURNAL)
    if left_out:
        log.warning("torn or damaged parts of the journal, left out: %d", left_out)


def _write(file: Any, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _picture(line: JournalLine) -> bytes:
    return _hash(line["photo"], line["folder"], line["settings"])


def _hash(*parts: Any) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode()).digest()[:16]
