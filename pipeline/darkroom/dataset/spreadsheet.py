"""Manifests as `.xlsx` files, through `openpyxl`. Formulas are not computed: the values that were saved count."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from datetime import datetime, time
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile

from darkroom.dataset.table_rows import KEY, Row, columns_of, row_of_cells
from darkroom.errors import RecipeError, SetupError
from darkroom.resources import install_command
from darkroom.system.files import open_file
from darkroom.system.interrupts import raise_if_interrupted

_MAX_BYTES = 100_000_000  # unpacked
_MAX_COLUMNS = 1000
_MAX_ROWS = 1_048_576  # Excel's limit; a file may claim any number


class _TooLarge(Exception):
    """A workbook above a limit; the message says which."""


_Cells = tuple[tuple[int, tuple[Any, ...]], ...]  # number and cells of each row that is not empty


def xlsx_rows(path: Path) -> Iterator[Row]:
    """The rows of the first sheet of a workbook. The file is read as a whole.

    Raises:
        RecipeError: it is no such file, is too large, or its header cannot be used.
        SetupError: `openpyxl` is not installed.
        OSError: it cannot be read.
    """
    status = path.stat()
    (_, header), *rows = _sheet(path, status.st_mtime_ns, status.st_size) or [(1, ())]
    columns = columns_of(path, header) if header else []
    for number, cells in rows:
        if row := row_of_cells(number, columns, cells, ""):
            yield row


@lru_cache(maxsize=1)
def _sheet(path: Path, changed: int, size: int) -> _Cells:
    """The first sheet; a run goes through its table several times."""
    try:
        import openpyxl  # noqa: F401
    except ImportError:
        raise SetupError(f"{KEY}: {path}: .xlsx needs openpyxl: {install_command('xlsx')}") from None
    with open_file(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on parts that openpyxl leaves out, such as drop-down lists
        try:
            return tuple(_read(file))
        except BadZipFile:
            reason = "not an .xlsx file, or damaged; an .xls file must be saved as .xlsx"
        except _TooLarge as error:
            reason = str(error)
        except Exception as error:  # KeyError, ParseError, ...: the file may hold anything
            raise_if_interrupted()
            first = next(iter(str(error).splitlines()), "")
            reason = f"cannot be read as .xlsx: {type(error).__name__}: {first}"
    raise RecipeError(f"{KEY}: {path}: {reason}")


def _read(file: BinaryIO) -> Iterator[tuple[int, tuple[Any, ...]]]:
    from openpyxl import load_workbook

    if sum(part.file_size for part in ZipFile(file).infolist()) > _MAX_BYTES:
        raise _TooLarge(f"more than {_MAX_BYTES // 1_000_000} MB unpacked; save it as CSV")
    file.seek(0)
    sheet = load_workbook(file, read_only=True, data_only=True, keep_links=False).worksheets[0]
    sheet.reset_dimensions()  # what a file claims about its size need not be true
    for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
        if number > _MAX_ROWS:
            raise _TooLarge(f"more than {_MAX_ROWS:,} rows")
        if len(cells) > _MAX_COLUMNS:
            raise _TooLarge(f"row {number} has more than {_MAX_COLUMNS:,} columns")
        if any(cell is not None for cell in cells):
            yield number, _plain(cells)


def _plain(cells: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(cell if isinstance(cell, str | int | float | None) else _text(cell) for cell in cells)


def _text(cell: Any) -> str:
    """A date or time as ISO 8601; a date without a time as its day."""
    is_day = isinstance(cell, datetime) and cell.time() == time()
    return cell.date().isoformat() if is_day else cell.isoformat() if hasattr(cell, "isoformat") else str(cell)
