"""Rows of a manifest: what the cells of a table mean, however the table is stored."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from enum import Enum
from json import JSONDecodeError
from pathlib import Path
from string import ascii_letters
from types import MappingProxyType
from typing import Any, NamedTuple

from darkroom.errors import RecipeError
from darkroom.system import strict_json

KEY = "dataset.manifest"
IMAGE = "image"
NOT_TEXT = "not UTF-8 text: in Excel, save as `CSV UTF-8` or .xlsx"
MAX_DEPTH = 20  # of nested lists and objects; points need three, with the row

_JSON = re.compile(r"\s*(\[|-?\d|(true|false|null)\s*$)")  # how cells with JSON values begin
_DECIMAL_COMMA = re.compile(r"\s*-?\d{1,15},\d{1,15}\s*", re.ASCII)
_ERRORS = {"#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"}  # what spreadsheets show for no value
SHOWN = 60  # characters of a cell in an error
_COLUMNS_SHOWN = 20
_LONGEST_PATH = 4096  # characters; the limit of Linux, and of few systems more
_EXACT = 2**53  # floats beyond are not exact whole numbers
_STARTS_OF_TEXTS = frozenset(ascii_letters) - frozenset("tfn")  # with these letters, JSON values begin
_ENDS_OF_FOLDERS = frozenset("./\\: \t\r\n")  # a path without a file's name ends in one of these


class DecimalComma(str):
    """A cell such as `0,8` in a table whose separator is no comma: a number, or a point. The parameter decides."""

    __slots__ = ()

    @property
    def number(self) -> float:
        """The number."""
        return float(self.replace(",", "."))


class Missing(Enum):
    """Cells whose value is not in the file."""

    FORMULA = "a formula without a saved value: open the table in a spreadsheet program and save it"


class Row(NamedTuple):
    """One row.

    Attributes:
        line: the line in the file, or the row of the spreadsheet, where the row starts, from 1.
        image: the photo's path as written; None for a bad row.
        item: the other columns.
        problem: why the row cannot be used; None for a good row.
    """

    line: int
    image: str | None = None
    item: Mapping[str, Any] = MappingProxyType({})
    problem: str | None = None


def columns_of(path: Path, header: Sequence[Any]) -> list[str]:
    """The names in the header of a table; columns without a name are left out of the rows.

    Raises:
        RecipeError: there is no column `image`, or a name appears twice or is not UTF-8.
    """
    columns = ["" if name is None else str(name).strip() for name in header]
    if not is_utf8("".join(columns)):
        raise RecipeError(f"{KEY}: {path}: {NOT_TEXT}")
    named = list(filter(None, columns))
    if IMAGE not in columns:
        raise RecipeError(f"{KEY}: {path}: no column `{IMAGE}`{_close(named)}; its columns: {_shown(named)}")
    for name in named:
        if named.count(name) > 1:
            raise RecipeError(f"{KEY}: {path}: two columns are called `{name:.{SHOWN}}`")
    return columns


def _close(columns: Sequence[str]) -> str:
    """The column that may have been meant as `image`, as a question."""
    folded = {name[:SHOWN].casefold(): name for name in columns}
    close = get_close_matches(IMAGE, list(folded), n=1)
    return f", did you mean `{folded[close[0]]}`?" if close else ""


def _shown(columns: Sequence[str]) -> str:
    more = [f"and {len(columns) - _COLUMNS_SHOWN} more"] if len(columns) > _COLUMNS_SHOWN else []
    return ", ".join([*(name[:SHOWN] for name in columns[:_COLUMNS_SHOWN]), *more])


def row_of_cells(line: int, columns: Sequence[str], cells: Sequence[Any], separator: str = ",") -> Row | None:
    """The row of a table of cells; None if all of them are empty.

    Spreadsheets fill rows up with empty cells, or leave out those at the end.

    Args:
        line: where it starts.
        columns: from `columns_of`.
        cells: texts, or values from a spreadsheet.
        separator: of the cells in the file; empty if it needs none.
    """
    if len(cells) == len(columns) and all(cells) and "" not in columns:  # most rows
        row = _row(line, columns, cells, separator)
        return row if row.image is not None or not all(map(_is_empty, cells)) else None
    return _ragged_row(line, columns, cells, separator)


def _ragged_row(line: int, columns: Sequence[str], cells: Sequence[Any], separator: str) -> Row | None:
    """`row_of_cells` where cells are empty or without a column."""
    filled = [index for index, cell in enumerate(cells) if not _is_empty(cell)]
    if not filled:
        return None
    if len(columns) <= filled[-1]:
        hint = f': a text with `{separator}` in it needs quotes (") around it' if separator else ""
        return Row(line, problem=f"{len(cells)} cells for {len(columns)} columns{hint}")
    named = [index for index, name in enumerate(columns) if name]  # pandas writes its index as a column without a name
    padded = [*cells, *[None] * (len(columns) - len(cells))]
    return _row(line, [columns[index] for index in named], [padded[index] for index in named], separator)


def _row(line: int, columns: Sequence[str], cells: Sequence[Any], separator: str) -> Row:
    """The row of named columns and their cells."""
    row: dict[str, Any] = {}
    is_text = True
    for name, cell in zip(columns, cells, strict=True):
        if cell.__class__ is str and cell and cell[0] in _STARTS_OF_TEXTS and cell.isascii():
            row[name] = cell  # most cells: the rules below cannot apply
            continue
        try:
            value = _there(cell) if name == IMAGE else _value(cell, separator)
        except ValueError as error:
            return Row(line, problem=f"{name:.{SHOWN}}: {error}")
        row[name] = value
        is_text = is_text and (value.isascii() if isinstance(value, str) else not isinstance(value, list))
    return row_of_values(line, row, is_text)


def row_of_values(line: int, row: dict[str, Any], is_text: bool = False) -> Row:
    """The row with these values by column.

    Args:
        line: where it starts.
        row: the values; the row takes them over.
        is_text: whether it is known that they can be written as UTF-8.
    """
    if not is_text and not is_utf8(json.dumps(row, ensure_ascii=False)):
        return Row(line, problem=NOT_TEXT)
    image = row.pop(IMAGE, None)
    if image is None or (isinstance(image, str) and not image.strip()):
        return Row(line, problem=f"no `{IMAGE}`")
    if not isinstance(image, str):
        return Row(line, problem=f"{IMAGE}: should be the path of a photo, as text; got {image!r:.{SHOWN}}")
    if len(image) > _LONGEST_PATH:
        return Row(line, problem=f"{IMAGE}: longer than a path can be: {image[:SHOWN]}...")
    if (image[-1] in _ENDS_OF_FOLDERS or image[-1].isspace()) and not Path(image.strip()).name:  # such as `.` and `/`
        return Row(line, problem=f"{IMAGE}: {image}: is a folder; a row must name one photo")
    return Row(line, image, row)


def plain_path(folder: Path, written: str) -> str:
    """A path as a table writes it, unless a file has that very name: with `/` for the backslashes of Windows, and
    without spaces at its ends.
    """
    plain = written.strip().replace("\\", "/")
    return written if plain == written or exists(folder / written) else plain


def is_utf8(text: str) -> bool:
    """Whether a text can be written as UTF-8: it has no lone surrogates, which stand for other bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _there(cell: Any) -> Any:
    """A cell as it is. Raises `ValueError` if its value is missing, or an error of a spreadsheet."""
    if isinstance(cell, Missing):
        raise ValueError(cell.value)
    if isinstance(cell, str) and cell.strip() in _ERRORS:
        raise ValueError(f"the spreadsheet has the error {cell.strip()} in this cell")
    return cell


def _value(cell: Any, separator: str) -> Any:
    """The value of a cell: JSON numbers, lists, true, false and null, None for an empty cell, else text.

    Whole numbers become int, as `7.0` and `1E+09`, which spreadsheets and pandas write.

    Raises:
        ValueError: it is JSON, but not a usable value, such as 1e999; or it holds an error of a spreadsheet.
    """
    if _is_empty(cell):
        return None
    if not isinstance(_there(cell), str):
        return _whole(cell)
    if not _JSON.match(cell):
        return cell
    try:
        return _whole(strict_json.loads(cell, MAX_DEPTH))
    except JSONDecodeError:
        return DecimalComma(cell) if separator != "," and _DECIMAL_COMMA.fullmatch(cell) else cell


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT else value


def _is_empty(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; False for a path that none can have."""
    try:
        return path.exists()
    except (OSError, ValueError):  # such as a name of 5,000 letters, or with a null character
        return False
