"""Reads `run.json`, `sweep.json` and journals through their schemas; no other code reads these files.

They may come from strangers, from other versions and from damaged disks: anything invalid is a one-line error.
Unknown keys are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from darkroom.errors import RecordError
from darkroom.record.schema import JOURNAL, RUN, SWEEP, JournalLine, Metadata, RunFacts, SweepFacts
from darkroom.system import strict_json
from darkroom.system.files import Folder

_MAX_FACTS = 64_000_000  # bytes of run.json or sweep.json
_MAX_LINE = 16_000_000  # bytes of a line of the journal


@cache
def _schema(kind: Any) -> TypeAdapter[Any]:
    """Made at first use: making all of them takes longer than checking a recipe."""
    return TypeAdapter(kind)


def read_metadata(text: str) -> Metadata | None:
    """The text chunk `darkroom` of a result PNG; None if it is damaged."""
    try:
        metadata: Metadata = _schema(Metadata).validate_python(strict_json.loads(text), strict=True)
        return metadata
    except ValueError:
        return None


def read_facts(folder: Path) -> RunFacts:
    """Read `run.json`.

    Raises:
        RecordError: the folder holds no run, or its `run.json` is damaged.
    """
    facts: RunFacts = _read(folder, RUN, RunFacts)
    return facts


def read_sweep(folder: Path) -> SweepFacts:
    """Read `sweep.json`.

    Raises:
        RecordError: the folder holds no sweep, or its `sweep.json` is damaged.
    """
    facts: SweepFacts = _read(folder, SWEEP, SweepFacts)
    if len({job["folder"] for job in facts["jobs"]}) < len(facts["jobs"]):
        raise RecordError(f"{folder / SWEEP}: is damaged: two runs have the same folder")
    if link := next((job["folder"] for job in facts["jobs"] if (folder / job["folder"]).is_symlink()), None):
        raise RecordError(f"{folder / SWEEP}: {link}: is a link, not a run folder")
    return facts


def read_journal(folder: Path, name: str = JOURNAL, skip_damaged: bool = False) -> Iterator[JournalLine]:
    """Read the lines of a journal one by one, oldest first.

    A run that was killed while writing leaves a torn last line, which is left out: its picture is not finished.

    Args:
        folder: the run folder.
        name: the journal's name in the folder.
        skip_damaged: leave out damaged lines too.

    Raises:
        RecordError: there is no such journal, it cannot be read, or a line is damaged.
    """
    for _, line in read_with_offsets(folder, name, skip_damaged):
        yield line


def read_with_offsets(
    folder: Path, name: str = JOURNAL, skip_damaged: bool = False
) -> Iterator[tuple[int, JournalLine]]:
    """See `read_journal`; yields the offset of each line in bytes, and the line."""
    try:
        with Folder(folder).open(name) as file:
            number, offset = 0, 0
            while text := file.readline(_MAX_LINE):
                number += 1
                if not text.endswith(b"\n") and len(text) < _MAX_LINE:
                    return  # torn
                line = _line(text)
                if line is not None:
                    yield offset, line
                elif not skip_damaged:
                    reason = f"line {number} is damaged, or was written by another version of Darkroom"
                    raise RecordError(f"{folder / name}: {reason}")
                offset += len(text)
    except FileNotFoundError:
        raise RecordError(f"{folder}: not a run folder: it holds no {name}") from None
    except OSError as error:
        raise RecordError(f"{folder / name}: cannot be read: {error.strerror}") from None


def read_line(folder: Path, name: str, offset: int) -> JournalLine:
    """Read one line of a journal.

    Args:
        folder: the run folder.
        name: the journal's name in the folder.
        offset: from `read_with_offsets`.

    Raises:
        RecordError: the file has changed since.
    """
    try:
        with Folder(folder).open(name) as file:
            file.seek(offset)
            line = _line(file.readline(_MAX_LINE))
    except OSError as error:
        raise RecordError(f"{folder / name}: cannot be read: {error.strerror}") from None
    if line is None:
        raise RecordError(f"{folder / name}: was changed by another program while it was read")
    return line


def _line(text: bytes) -> JournalLine | None:
    try:
        line = strict_json.loads(text)
        if isinstance(line, dict) and "outputs" not in line:  # version 0.2.0, which delivered pictures only
            line["outputs"] = {"picture": line["delivered"]} if line.get("delivered") else {}
        checked: JournalLine = _schema(JournalLine).validate_python(line, strict=True)
        return checked
    except ValueError:
        return None


def _read(folder: Path, name: str, kind: Any) -> Any:
    try:
        content = strict_json.loads(Folder(folder).read(name, _MAX_FACTS))
    except FileNotFoundError:
        raise RecordError(f"{folder}: not a {'run' if name == RUN else 'sweep'} folder: it holds no {name}") from None
    except OSError as error:
        raise RecordError(f"{folder / name}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise RecordError(f"{folder / name}: is damaged: {error}") from None
    try:
        return _schema(kind).validate_python(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        reason = f"{place}: {first['msg'].removeprefix('Value error, ')}" if place else first["msg"]
        raise RecordError(
            f"{folder / name}: is damaged, or was written by another version of Darkroom: {reason:.200}"
        ) from None
