"""A table of photos, CSV or JSON Lines, row by row. It opens no picture."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from pipeline.errors import RecipeError

KEY = "dataset.manifest"
IMAGE = "image"


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        line: where it starts in the file, from 1.
        image: the photo's path as written; None for a bad row.
        item: the other columns.
        problem: why the row cannot be used; None for a good one.
    """

    line: int
    image: str | None = None
    item: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None


def rows(path: Path) -> Iterator[Row]:
    """The rows of a manifest, as they are read; blank lines are none.

    Raises:
        RecipeError: it cannot be read, or has no column `image`.
    """
    read = {".csv": _csv_rows, ".jsonl": _jsonl_rows}.get(path.suffix.lower())
    if read is None:
        raise RecipeError(f"{KEY}: {path}: a manifest is a .csv or .jsonl file")
    try:
        if not path.is_file():  # opening a FIFO would wait for ever
            raise RecipeError(f"{KEY}: {path}: no such file")
        # Bytes that are not UTF-8 become lone surrogates here, so that they cost their row and not the file.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield from read(path, file)
    except OSError as error:
        raise RecipeError(f"{KEY}: {path}: cannot be read: {error.strerror}") from None


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
        return 'a quote (") is opened here and not closed: the rows that follow it cannot be told apart'
    return f"not CSV: {error}"


def _columns(path: Path, header: Sequence[str]) -> list[str]:
    columns = [each.strip() for each in header]
    if not _is_utf8("".join(columns)):
        raise RecipeError(f"{KEY}: {path}: not UTF-8 text")
    if IMAGE not in columns:
        raise RecipeError(f"{KEY}: {path}: no column `{IMAGE}`; its columns: {', '.join(columns)}")
    for name in columns:
        if name and columns.count(name) > 1:
            raise RecipeError(f"{KEY}: {path}: two columns `{name}`")
    return columns


def _csv_row(line: int, columns: Sequence[str], cells: Sequence[str]) -> Row:
    if len(cells) != len(columns):
        hint = ': a text with commas needs quotes (") around it' if len(cells) > len(columns) else ""
        return Row(line, problem=f"{len(cells)} cells for {len(columns)} columns{hint}")
    row = dict(zip(columns, cells, strict=True))
    row.pop("", None)  # pandas writes its index as a column without a name: of no use to a recipe
    return _row(line, row, "".join(cells), _value)


def _jsonl_rows(_: Path, lines: Iterator[str]) -> Iterator[Row]:
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            yield Row(line, problem=f"not JSON: {error}")
            continue
        if isinstance(row, dict):
            yield _row(line, row, text, lambda value: value)
        else:
            yield Row(line, problem="not a JSON object: {...}")


def _row(line: int, row: Mapping[str, Any], text: str, value_of: Any) -> Row:
    image = row.get(IMAGE)
    if not _is_utf8(text):
        return Row(line, problem="not UTF-8 text")
    if not isinstance(image, str) or not image.strip():
        return Row(line, problem=f"no `{IMAGE}`")
    return Row(line, image, {name: value_of(value) for name, value in row.items() if name != IMAGE})


def _value(cell: str) -> Any:
    """JSON numbers, lists, true, false and null are read as such, an empty cell as None; all else is text."""
    if not cell.strip():
        return None
    try:
        value = json.loads(cell, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return cell
    return cell if isinstance(value, str | dict) else value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")  # Python would read NaN and Infinity


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
