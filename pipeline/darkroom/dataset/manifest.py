"""Manifests: tables of photos in CSV or JSON Lines, read row by row. Opens no picture."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from json import JSONDecodeError
from pathlib import Path
from typing import Any, BinaryIO

from darkroom.errors import RecipeError
from darkroom.system import strict_json
from darkroom.system.files import open_file

KEY = "dataset.manifest"
IMAGE = "image"

_LONGEST = 1_000_000  # characters in a row of JSON Lines: its columns must fit into a line of the journal

_MAX_DEPTH = 20  # of nested lists and objects; points need three, with the row
_JSON = re.compile(r"\s*(\[|-?\d|(true|false|null)\s*$)")  # how cells with JSON values begin


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        line: the line in the file where the row starts, from 1.
        image: the photo's path as written; None for a bad row.
        item: the other columns.
        problem: why the row cannot be used; None for a good row.
    """

    line: int
    image: str | None = None
    item: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None


def rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a manifest as they are read; blank lines are skipped.

    Raises:
        RecipeError: it cannot be read, or has no column `image`.
    """
    read = {".csv": _csv_rows, ".jsonl": _jsonl_rows}.get(path.suffix.lower())
    if read is None:
        raise RecipeError(f"{KEY}: {path}: a manifest is a .csv or .jsonl file")
    try:
        # Invalid UTF-8 becomes lone surrogates here, so that only its row fails and not the file.
        with TextIOWrapper(_opened(path), encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield from read(path, file)
    except OSError as error:
        raise RecipeError(f"{KEY}: {path}: cannot be read: {error.strerror}") from None


def _opened(path: Path) -> BinaryIO:
    try:
        return open_file(path)
    except (FileNotFoundError, ValueError):  # a NUL in the path
        raise RecipeError(f"{KEY}: {path}: no such file") from None


def _csv_rows(path: Path, lines: Iterator[str]) -> Iterator[Row]:
    table = csv.reader(lines, skipinitialspace=True, strict=True)
    columns: list[str] | None = None
    while True:
        start = table.line_num + 1
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            if columns is None:
                raise RecipeError(f"{KEY}: {path}:{start}: {error}") from None
            yield Row(start, problem=_csv_problem(error))
            continue
        if columns is None:
            columns = _columns(path, cells)
        elif cells:
            yield _csv_row(start, columns, cells)


def _csv_problem(error: csv.Error) -> str:
    if "unexpected end" in str(error) or "field larger" in str(error):
        return 'a quote (") opened here is not closed, so the rows after it cannot be separated'
    return f"not CSV: {error}"


def _columns(path: Path, header: Sequence[str]) -> list[str]:
    columns = [name.strip() for name in header]
    if not _is_utf8("".join(columns)):
        raise RecipeError(f"{KEY}: {path}: not UTF-8 text")
    if IMAGE not in columns:
        raise RecipeError(f"{KEY}: {path}: no column `{IMAGE}`; its columns: {', '.join(columns)}")
    for name in columns:
        if name and columns.count(name) > 1:
            raise RecipeError(f"{KEY}: {path}: two columns are called `{name}`")
    return columns


def _csv_row(line: int, columns: Sequence[str], cells: Sequence[str]) -> Row:
    if len(cells) != len(columns):
        hint = ': a text with commas needs quotes (") around it' if len(cells) > len(columns) else ""
        return Row(line, problem=f"{len(cells)} cells for {len(columns)} columns{hint}")
    row = dict(zip(columns, cells, strict=True))
    row.pop("", None)  # pandas writes its index as a column without a name
    for name in row.keys() - {IMAGE}:
        try:
            row[name] = _value(row[name])
        except ValueError as error:
            return Row(line, problem=f"{name}: {error}")
    return _row(line, row)


def _jsonl_rows(_: Path, lines: Iterator[str]) -> Iterator[Row]:
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        if len(text) > _LONGEST:
            yield Row(line, problem=f"longer than {_LONGEST:,} characters")
            continue
        try:
            row = strict_json.loads(text, _MAX_DEPTH)
        except JSONDecodeError as error:
            yield Row(line, problem=f"not JSON: {error}")
        except ValueError as error:
            yield Row(line, problem=str(error))
        else:
            yield _jsonl_row(line, row)


def _jsonl_row(line: int, row: Any) -> Row:
    if not isinstance(row, dict):
        return Row(line, problem="not a JSON object: {...}")
    return _row(line, row)


def _row(line: int, row: Mapping[str, Any]) -> Row:
    image = row.get(IMAGE)
    if not _is_utf8(json.dumps(row, ensure_ascii=False)):
        return Row(line, problem="not UTF-8 text")
    if not isinstance(image, str) or not image.strip():
        return Row(line, problem=f"no `{IMAGE}`")
    if not Path(image).name:  # such as `.` and `/`
        return Row(line, problem=f"{IMAGE}: {image}: is a folder; a row must name one photo")
    return Row(line, image, {name: value for name, value in row.items() if name != IMAGE})


def _value(cell: str) -> Any:
    """The value of a CSV cell: JSON numbers, lists, true, false and null, None for an empty cell, else text.

    Raises:
        ValueError: it is JSON, but not a usable value, such as 1e999.
    """
    if not cell.strip():
        return None
    if not _JSON.match(cell):
        return cell
    try:
        return strict_json.loads(cell, _MAX_DEPTH)
    except JSONDecodeError:
        return cell


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
