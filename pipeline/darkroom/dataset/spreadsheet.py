"""Manifests as `.xlsx` files, through `openpyxl`. Formulas are not computed: the values that were saved count."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from datetime import datetime, time
from functools import lru_cache, partial
from itertools import repeat, zip_longest
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from xml.parsers.expat import ExpatError, ParserCreate
from zipfile import BadZipFile, ZipFile

from darkroom.dataset.table_rows import KEY, SHOWN, Missing, Row, columns_of, row_of_cells
from darkroom.errors import RecipeError, SetupError
from darkroom.resources import install_command
from darkroom.system.files import open_file
from darkroom.system.interrupts import raise_if_interrupted

_MAX_BYTES = 100_000_000  # unpacked
_MAX_COLUMNS = 1000
_MAX_ROWS = 1_048_576  # Excel's limit; a file may claim any number
_FORMULA = re.compile(rb"<(\w+:)?f[\s/>]")


class _Refused(Exception):
    """A workbook above a limit, or that could be; the message says why."""


class _Root(Exception):
    """The root element of an XML file has begun."""


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
        except _Refused as error:
            reason = str(error)
        except Exception as error:  # KeyError, ParseError, ...: the file may hold anything
            raise_if_interrupted()
            first = next(iter(str(error).splitlines()), "")
            reason = f"cannot be read as .xlsx: {type(error).__name__}: {first:.{SHOWN}}"
    raise RecipeError(f"{KEY}: {path}: {reason}")


def _read(file: BinaryIO) -> Iterator[tuple[int, tuple[Any, ...]]]:
    written = _formulas(file) if _check_parts(ZipFile(file)) else repeat(())
    for number, (cells, formulas) in enumerate(zip(_rows(file, values=True), written, strict=False), start=1):
        if number > _MAX_ROWS:
            raise _Refused(f"more than {_MAX_ROWS:,} rows")
        if len(cells) > _MAX_COLUMNS:
            raise _Refused(f"row {number} has more than {_MAX_COLUMNS:,} columns")
        found = tuple(_value(cell, formula) for cell, formula in zip_longest(cells, formulas))
        if any(value is not None for value in found):
            yield number, found


def _rows(file: BinaryIO, values: bool) -> Iterator[tuple[Any, ...]]:
    """The cells of the first sheet, with the saved values of formulas or with the formulas themselves."""
    from openpyxl import load_workbook

    file.seek(0)
    sheet = load_workbook(file, read_only=True, data_only=values, keep_links=False).worksheets[0]
    sheet.reset_dimensions()  # what a file claims about its size need not be true
    yield from sheet.iter_rows()


def _formulas(file: BinaryIO) -> Iterator[tuple[Any, ...]]:
    """The cells with their formulas, until one that openpyxl cannot read; the values may still be good."""
    try:
        yield from _rows(file, values=False)
    except Exception:
        raise_if_interrupted()
    yield from repeat(())


def _check_parts(book: ZipFile) -> bool:
    """Whether any part may have formulas.

    Raises:
        _Refused: the parts are too large, or one declares entities, with which a few bytes can stand for gigabytes.
    """
    parts = book.infolist()
    if sum(part.file_size for part in parts) > _MAX_BYTES:
        raise _Refused(f"more than {_MAX_BYTES // 1_000_000} MB unpacked; save it as CSV")
    has_formulas = False
    for part in parts:
        data = book.read(part)
        if _has_doctype(data):
            raise _Refused(
                f"{part.filename:.{SHOWN}} has a document type declaration (DTD), which no spreadsheet needs"
            )
        has_formulas = has_formulas or _FORMULA.search(data) is not None
    return has_formulas


def _has_doctype(data: bytes) -> bool:
    """Whether an XML file has a document type declaration, in any encoding; such precede the root element."""

    def stop(refuse: bool, *_: object) -> NoReturn:
        raise _Refused if refuse else _Root

    parser = ParserCreate()
    parser.StartDoctypeDeclHandler = partial(stop, True)
    parser.StartElementHandler = partial(stop, False)
    try:
        parser.Parse(data, True)
    except _Refused:
        return True
    except (_Root, ExpatError):  # no XML: a picture, or a part that openpyxl's parser, which is the same, refuses
        pass
    return False


def _value(cell: Any, formula: Any) -> Any:
    """The value of a cell: text, a number, None, or `Missing`."""
    value = cell.value
    if value is None and formula is not None and formula.value is not None:
        return Missing.FORMULA if cell.data_type == "n" else None  # `str` is an empty text that was saved
    return value if isinstance(value, str | int | float | None) else _text(value)


def _text(value: Any) -> str:
    """A date or time as ISO 8601; a date without a time as its day."""
    is_day = isinstance(value, datetime) and value.time() == time()
    return value.date().isoformat() if is_day else value.isoformat() if hasattr(value, "isoformat") else str(value)
