"""What a picture's own record says of it: its label and its split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from darkroom.dataset.columns import BUILT_IN
from darkroom.record.schema import JournalLine

_OF_PATH = ("folder", "stem")  # columns that need no file of the photo


def label_of(line: JournalLine, source: str) -> str | None:
    """The label of a picture's object; None if it has none.

    Args:
        line: of the picture.
        source: `prompt`, or `item.COLUMN` for a column of the table, or else `folder` or `stem` as in recipes.
    """
    if source == "prompt":
        return _cell(line["prompt"])
    column, item = source.removeprefix("item."), line["item"]
    of_path = BUILT_IN[column] if column in _OF_PATH and column not in item else None
    return _cell(of_path(Path(line["path"])) if of_path else item.get(column))


def split_of(line: JournalLine) -> str | None:
    """The split of a picture, which is its photo's: the column `split` of the table; None if it has none."""
    return _cell(line["item"].get("split"))


def utf8(text: str) -> str:
    """Text that UTF-8 can hold. In names of files, and in records of strangers, other bytes are lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


def to_json(value: Any) -> bytes:
    """JSON in one line, UTF-8."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _cell(value: Any) -> str | None:
    """A cell of a table as text in one line."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    return " ".join(utf8(str(value)).split()) or None
