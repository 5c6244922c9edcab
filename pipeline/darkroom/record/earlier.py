"""What earlier attempts left of a run that is being resumed: finished pictures, which are kept, and failed ones."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from darkroom.record.reading import read_line, read_with_offsets
from darkroom.record.schema import JOURNAL, JournalLine
from darkroom.system.file_names import fold
from darkroom.system.files import Folder

log = logging.getLogger("darkroom")

EARLIER = "journal.earlier.jsonl"  # the journal of the earlier attempts, while a run is resumed

_NEW = "journal.earlier.new"


class EarlierPhoto:
    """What earlier attempts made of one photo.

    Args:
        lines: the photo's lines of the journal, one for each picture.
        is_foreign: whether a path in `results/` belongs to a finished picture of another photo.

    Attributes:
        done: the lines of finished pictures.
        is_foreign: as given.
    """

    def __init__(self, lines: Sequence[JournalLine], is_foreign: Callable[[str], bool] = lambda path: False) -> None:
        self.is_foreign = is_foreign
        self.done = [line for line in lines if line["status"] == "done"]
        self._by_settings = {json.dumps(line["settings"]): line for line in self.done}
        self._all_files = {path: digest for line in lines for path, digest in line["files"].items()}
        self._finished_files = {path: digest for line in self.done for path, digest in line["files"].items()}

    def finished_picture(self, settings: Sequence[Mapping[str, Any]]) -> JournalLine | None:
        """The line of a finished picture.

        Args:
            settings: the picture's settings (`plan.settings_of`). The line of a picture that `keep` ended early has
                only the first ones.
        """
        for end in range(len(settings), -1, -1):
            line = self._by_settings.get(json.dumps(settings[:end]))
            if line and (end == len(settings) or line["result"] == line["source"]):
                return line
        return None

    def recorded_digest(self, path: str) -> str | None:
        """SHA-256 of the file that was written at a path; None if none was."""
        return self._finished_files.get(path) or self._all_files.get(path)

    def belongs_to_finished(self, path: str) -> bool:
        """Whether a file belongs to a finished picture."""
        return path in self._finished_files


class EarlierJournal:
    """The journal of the earlier attempts.

    It keeps a few bytes per line in memory, and reads lines from the file when they are needed.

    Args:
        folder: the run folder, after `set_aside_journal`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines: dict[bytes, tuple[int, bool]] = {}  # by picture: offset of its line, and whether it is done
        self._pictures: dict[bytes, dict[bytes, None]] = {}  # by photo, in order
        self._folders: dict[bytes, dict[str, None]] = {}  # by name of photo, in order
        self._taken: set[str] = set()  # all folders, folded
        self._owners: dict[bytes, bytes] = {}  # by folded path in results/ of a finished picture: its photo
        self._written: set[bytes] = set()  # pictures
        self._begun: set[bytes] = set()  # photos
        for offset, line in read_with_offsets(folder, EARLIER, skip_damaged=True):
            self._add(offset, line)

    def folder_of(self, name: str, number: int) -> str | None:
        """The folder that a photo had in the earlier attempts.

        Args:
            name: the photo's name in the dataset.
            number: the photo's place among photos of the same name, from 0.
        """
        folders = list(self._folders.get(_hash(name), ()))
        return folders[number] if number < len(folders) else None

    def has_folder(self, folder: str) -> bool:
        """Whether a photo had this folder, or one whose name differs only in upper and lower case."""
        return fold(folder) in self._taken

    def photo(self, name: str, folder: str) -> EarlierPhoto:
        """What earlier attempts made of a photo.

        Args:
            name: the photo's name in the dataset.
            folder: the photo's folder.
        """
        photo = _hash(name, folder)
        return EarlierPhoto(self._read(name, folder), lambda path: self._owners.get(_hash(fold(path)), photo) != photo)

    def mark_begun(self, name: str, folder: str) -> None:
        """Note that this attempt writes a photo's lines from now on."""
        self._begun.add(_hash(name, folder))

    def lines_of(self, name: str) -> Iterator[JournalLine]:
        """The lines of all photos with a name."""
        for folder in self._folders.get(_hash(name), ()):
            yield from self._read(name, folder)

    def mark_written(self, line: JournalLine) -> None:
        """Note that the new journal has this picture."""
        self._written.add(_picture(line))

    def remaining(self, include_failed: bool) -> Iterator[JournalLine]:
        """The lines that the new journal lacks.

        Args:
            include_failed: also return failed pictures of photos that this attempt has not begun.
        """
        for picture, (offset, done) in self._lines.items():
            if picture not in self._written and (done or include_failed):
                line = read_line(self._folder, EARLIER, offset)
                if done or _hash(line["photo"], line["folder"]) not in self._begun:
                    yield line

    def _read(self, name: str, folder: str) -> list[JournalLine]:
        pictures = self._pictures.get(_hash(name, folder), ())
        return [read_line(self._folder, EARLIER, self._lines[picture][0]) for picture in pictures]

    def _add(self, offset: int, line: JournalLine) -> None:
        picture, done = _picture(line), line["status"] == "done"
        if done or not self._lines.get(picture, (0, False))[1]:
            self._lines[picture] = offset, done
        self._pictures.setdefault(_hash(line["photo"], line["folder"]), {})[picture] = None
        self._folders.setdefault(_hash(line["photo"]), {})[line["folder"]] = None
        self._taken.add(fold(line["folder"]))
        for path in line["outputs"].values() if done else ():
            self._owners.setdefault(_hash(fold(path)), _hash(line["photo"], line["folder"]))


def set_aside_journal(folder: Path) -> None:
    """Append the journal to the journal of earlier attempts; at any time, every line is in one of the two files."""
    files, damaged_parts = Folder(folder), 0
    files.remove(_NEW)
    with files.append(_NEW) as new:
        for name in filter(files.holds, (EARLIER, JOURNAL)):
            with files.open(name) as lines:
                end = 0
                for offset, _ in read_with_offsets(folder, name, skip_damaged=True):
                    damaged_parts += offset > end
                    lines.seek(offset)
                    line = lines.readline()
                    write_all(new, line)
                    end = offset + len(line)
                damaged_parts += files.status(name).st_size > end
        os.fsync(new.fileno())
    files.move(_NEW, EARLIER)
    files.remove(JOURNAL)
    if damaged_parts:
        log.warning("journal.jsonl: torn or damaged parts left out: %d", damaged_parts)


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write to an unbuffered file, which may take only a part at a time, as on a disk that is nearly full."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _picture(line: JournalLine) -> bytes:
    return _hash(line["photo"], line["folder"], line["settings"])


def _hash(*parts: Any) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode()).digest()[:16]
