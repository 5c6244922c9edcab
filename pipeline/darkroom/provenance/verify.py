"""Checks a run folder against its own journal: every file is as it was written, and nothing else was repainted than
what the mask shows.

Run folders come from strangers, too: nothing outside the folder is opened, whatever its journal names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path

from darkroom.errors import PhotoError
from darkroom.imaging import codec as photo
from darkroom.imaging.codec import Picture
from darkroom.imaging.paste_back import breaches
from darkroom.record import read_journal
from darkroom.record.schema import JournalLine, read_metadata
from darkroom.system.files import Folder

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
        RecordError: there is no such folder, no run in it, or its journal is damaged.
    """
    pictures = files = 0
    problems: dict[str, None] = {}  # an ordered set: what pictures share is told once
    run_files = Folder(run_dir)
    read = lru_cache(maxsize=3)(partial(_read, run_files))  # pictures share photo and mask
    for _, lines in groupby(read_journal(run_dir), key=lambda line: line["photo"]):
        sound: dict[tuple[str, str | None], bool] = {}  # the files of this photo, by path and digest
        for line in lines:
            pictures += 1
            problems |= dict.fromkeys(_line_problems(run_files, line, sound, read))
        files += len(sound)
    return Verified(pictures, files, list(problems))


def _line_problems(
    run_files: Folder,
    line: JournalLine,
    sound: dict[tuple[str, str | None], bool],
    read: Callable[[str], Picture],
) -> Iterator[str]:
    """All that is wrong with one picture; `sound` remembers which files have been checked, and how that went."""
    pictures = [line[role] for role in _ROLES]
    digests = {path: None for path in pictures if path} | line["files"]
    for pair in digests.items():
        if pair not in sound:
            problem = _file_problem(run_files, *pair)
            sound[pair] = problem is None
            if problem:
                yield f"{pair[0]}: {problem}"
    source, _, result = pictures
    if line["status"] != "done" or result == source:  # a photo that was kept as it is
        return
    if None in pictures:
        yield f"{line['photo']}: done, but the journal does not name photo, mask and result"
    elif all(sound[path, digests[path]] for path in pictures):
        yield from _paste_problems(line, read)
        yield from _metadata_problems(run_files, line)


def _file_problem(files: Folder, path: str, digest: str | None) -> str | None:
    try:
        if digest is None:
            return "the journal has no digest of it"
        return None if files.digest(path) == digest else "changed since it was written"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _read(files: Folder, path: str) -> Picture:
    try:
        return photo.decode(files.read(path))
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read: {error.strerror}") from None
    except PhotoError as error:
        raise PhotoError(f"{path}: {error}") from None


def _paste_problems(line: JournalLine, read: Callable[[str], Picture]) -> Iterator[str]:
    """Where the mask is 0 the result is the photo, bit for bit; size and colour profile are the photo's, and so is its
    transparency, filled by the mask."""
    try:
        source, mask, result = (read(line[role]) for role in _ROLES)
    except PhotoError as error:
        yield str(error)
        return
    for path, picture in ((line["mask"], mask), (line["result"], result)):
        if picture.pixels.shape != source.pixels.shape:
            yield f"{path}: {_size(picture)}, but the photo is {_size(source)}"
            return
    yield from (f"{line['result']}: {text}" for text in breaches(source, mask.pixels[..., 0], result))


def _metadata_problems(run_files: Folder, line: JournalLine) -> Iterator[str]:
    """What a result says about itself is what the journal says; one without metadata says nothing."""
    text = photo.png_texts(run_files.read(line["result"])).get("darkroom")
    if text is None:
        return
    metadata = read_metadata(text)
    if metadata is None:
        yield f"{line['result']}: its metadata is damaged"
    elif metadata["photo"] != line["digest"]:
        yield f"{line['result']}: its metadata names another photo than the journal"


def _size(picture: Picture) -> str:
    height, width, _ = picture.pixels.shape
    return f"{width} x {height} px"
