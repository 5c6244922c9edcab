"""Manifests as text: CSV as spreadsheets of any country write it, and JSON Lines. Read row by row."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from io import TextIOWrapper
from itertools import chain
from json import JSONDecodeError
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from darkroom.dataset.table_rows import IMAGE, KEY, MAX_DEPTH, Row, columns_of, row_of_cells, row_of_values
from darkroom.errors import RecipeError
from darkroom.system import strict_json
from darkroom.system.files import open_file

_SEPARATORS = ",;\t"
_EXCEL_HINT = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # a first line that Excel takes for the separator
_LONGEST = 1_000_000  # characters in a row of JSON Lines: its columns must fit into a line of the journal
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)  # the first begins like UTF-16
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

# Bytes that are no text become lone surrogates, so that only their row fails and not the file.
codecs.register_error("darkroom_lone", lambda error: ("\udcff", error.end) if hasattr(error, "end") else ("", 0))


def csv_rows(path: Path) -> Iterator[Row]:
    """The rows of a table whose cells are separated by commas, semicolons or tabs, whatever its suffix.

    Raises:
        RecipeError: its header cannot be used.
        OSError: it cannot be read.
    """
    with _opened(path) as file:
        first = file.readline()
        hint = _EXCEL_HINT.fullmatch(first)
        separator = hint[1] if hint else _separator(first)
        lines, skipped = (file, 1) if hint else (chain([first] if first else [], file), 0)
        yield from _parsed(path, lines, separator, skipped)


def jsonl_rows(path: Path) -> Iterator[Row]:
    """The rows of a file of JSON Lines.

    Raises:
        RecipeError: it is in an unknown encoding.
        OSError: it cannot be read.
    """
    with _opened(path) as file:
        for line, text in enumerate(file, start=1):
            if text.strip():
                yield _jsonl_row(line, text)


def _opened(path: Path) -> TextIO:
    """The file as text: UTF-8 with or without a byte order mark, or UTF-16 with one."""
    file: BinaryIO = open_file(path)
    start = file.read(4)
    file.seek(0)
    if start in _UTF_32:
        file.close()
        raise RecipeError(f"{KEY}: {path}: UTF-32 text: save it as UTF-8")
    if start[:2] in _UTF_16:
        return TextIOWrapper(file, encoding="utf-16", errors="darkroom_lone", newline="")
    if b"\0" in start:
        file.close()
        raise RecipeError(f"{KEY}: {path}: looks like UTF-16 or UTF-32 without a byte order mark: save it as UTF-8")
    return TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _separator(header: str) -> str:
    """The separator with which a header has the column `image`, or else the one that gives most columns."""
    most, likely = 0, ","
    for separator in _SEPARATORS:
        try:
            cells = next(csv.reader([header], delimiter=separator, skipinitialspace=True, strict=True), [])
        except csv.Error:  # a name with a line break in it
            continue
        if IMAGE in map(str.strip, cells):
            return separator
        if len(cells) > most:
            most, likely = len(cells), separator
    return likely


def _parsed(path: Path, lines: Iterator[str], separator: str, skipped: int) -> Iterator[Row]:
    table = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    columns: list[str] | None = None
    while True:
        start = table.line_num + 1 + skipped
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
            columns = columns_of(path, cells)
        elif row := row_of_cells(start, columns, cells, separator):
            yield row


def _csv_problem(error: csv.Error) -> str:
    if "unexpected end" in str(error) or "field larger" in str(error):
        return 'a quote (") opened here is not closed, so the rows after it cannot be separated'
    return f"not CSV: {error}"


def _jsonl_row(line: int, text: str) -> Row:
    if len(text) > _LONGEST:
        return Row(line, problem=f"longer than {_LONGEST:,} characters")
    try:
        row: Any = strict_json.loads(text, MAX_DEPTH)
    except JSONDecodeError as error:
        return Row(line, problem=f"not JSON: {error}")
    except ValueError as error:
        return Row(line, problem=str(error))
    return row_of_values(line, row) if isinstance(row, dict) else Row(line, problem="not a JSON object: {...}")
