"""Checks a run folder against its own journal: all files are as written, and repaints changed nothing outside the mask.

Run folders may come from strangers: no file outside the folder is opened, whatever the journal names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path

from darkroom.errors import PhotoError
from darkroom.imaging.codec import DecodedPhoto, decode_photo
from darkroom.imaging.content_credentials import missing
from darkroom.imaging.paste_back import paste_back_problems
from darkroom.imaging.png import png_texts
from darkroom.provenance.verify_delivered import delivered_problems
from darkroom.provenance.verify_signatures import is_signed, signature_problems
from darkroom.record import read_journal
from darkroom.record.reading import read_metadata
from darkroom.record.schema import JournalLine
from darkroom.system.files import Folder


@dataclass(frozen=True)
class Verified:
    """The outcome of checking a run folder.

    Attributes:
        pictures: the number of pictures in the journal, finished or not.
        files: the number of files that it names.
        problems: one line per problem, which names the file; empty if there is none.
        unchecked: one line for each thing that could not be checked here.
    """

    pictures: int
    files: int
    problems: list[str]
    unchecked: list[str] = field(default_factory=list)


def verify(run_dir: Path) -> Verified:
    """Check every file of a run against its digest, and every repaint against its photo and its mask.

    Args:
        run_dir: a run folder, wherever it is now; nothing is written into it.

    Raises:
        RecordError: there is no run in this folder, or its journal is damaged.
    """
    pictures = files = bare = 0
    signed = is_signed(run_dir)
    unread = missing() if signed else ""
    problems: dict[str, None] = {}  # an ordered set: pictures that share a file share its problem
    folder = Folder(run_dir)
    decoded = lru_cache(maxsize=2)(partial(_decoded, folder))  # many pictures share a photo and a mask
    for _, lines in groupby(read_journal(run_dir), key=lambda line: line["photo"]):
        intact: dict[tuple[str, str | None], bool] = {}  # the files of this photo, by path and digest
        for line in lines:
            pictures += 1
            bare += line["status"] == "done" and line["source"] is None and line["result"] is None
            problems |= dict.fromkeys(_line_problems(folder, line, intact, decoded, signed and not unread))
        files += len(intact)
    unchecked = [f"signatures not checked: {unread}"] if unread else []
    if bare:
        unchecked.append(f"{bare} pictures not compared with their photos: the folder has results only (results.only)")
    return Verified(pictures, files, list(problems), unchecked)


def _line_problems(
    folder: Folder,
    line: JournalLine,
    intact: dict[tuple[str, str | None], bool],
    decoded: Callable[[str], DecodedPhoto],
    signed: bool,
) -> Iterator[str]:
    """The problems of one picture; `intact` remembers which files were checked, and the outcome."""
    source, mask, result = line["source"], line["mask"], line["result"]
    digests: dict[str, str | None] = {path: None for path in (source, mask, result, *line["outputs"].values()) if path}
    digests |= line["files"]
    for path, digest in digests.items():
        if (path, digest) not in intact:
            problem = _file_problem(folder, path, digest)
            intact[path, digest] = problem is None
            if problem:
                yield f"{path}: {problem}"
    if line["status"] != "done":
        return
    if all(intact[file] for file in digests.items()):
        yield from delivered_problems(line, decoded)
        yield from signature_problems(folder, line) if signed else ()
    if result == source:  # a photo that was kept as it is, or only framed
        return
    if source is None or mask is None or result is None:
        yield f"{line['photo']}: done, but the journal does not name photo, mask and result"
    elif all(intact[path, digests[path]] for path in (source, mask, result)):
        yield from _repaint_problems(folder, line, (source, mask, result), decoded)


def _file_problem(folder: Folder, path: str, digest: str | None) -> str | None:
    try:
        if digest is None:
            return "not in the journal's list of files"
        return None if folder.digest(path) == digest else "changed since it was written"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _repaint_problems(
    folder: Folder, line: JournalLine, paths: tuple[str, str, str], decoded: Callable[[str], DecodedPhoto]
) -> Iterator[str]:
    """The problems of a repaint: pixels and colour profile, then metadata; `paths` are photo, mask and result."""
    try:
        source, mask = (decoded(path) for path in paths[:2])
        data = _bytes(folder, paths[2])
        result = _decode(paths[2], data)
    except PhotoError as error:
        yield str(error)
        return
    sizes = {path: _size(picture) for path, picture in zip(paths, (source, mask, result), strict=True)}
    if other := next((path for path, size in sizes.items() if size != sizes[paths[0]]), None):
        yield f"{other}: {sizes[other]}, but the photo is {sizes[paths[0]]}"
    else:
        yield from (f"{paths[2]}: {text}" for text in paste_back_problems(source, mask.pixels[..., 0], result))
    if problem := _metadata_problem(data, line["digest"]):
        yield f"{paths[2]}: {problem}"


def _metadata_problem(data: bytes, digest: str | None) -> str | None:
    """Compares the metadata of a result with the journal; a result may have no metadata."""
    text = png_texts(data).get("darkroom")
    if text is None:
        return None
    metadata = read_metadata(text)
    if metadata is None:
        return "its metadata is damaged"
    return None if metadata["photo"] == digest else "its metadata names another photo than the journal"


def _bytes(folder: Folder, path: str) -> bytes:
    try:
        return folder.read(path)
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read: {error.strerror}") from None


def _decode(path: str, data: bytes) -> DecodedPhoto:
    try:
        return decode_photo(data)
    except PhotoError as error:
        raise PhotoError(f"{path}: {error}") from None


def _decoded(folder: Folder, path: str) -> DecodedPhoto:
    return _decode(path, _bytes(folder, path))


def _size(picture: DecodedPhoto) -> str:
    height, width, _ = picture.pixels.shape
    return f"{width} x {height} px"
