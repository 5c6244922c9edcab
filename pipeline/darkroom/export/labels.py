"""What a picture's own record says of it: its label and its split."""

from __future__ import annotations

import json
from typing import Any

from darkroom.record.schema import JournalLine


def label_of(line: JournalLine, source: str) -> str | None:
    """The label of a picture's object; None if it has none.

    Args:
        line: of the picture.
        source: `prompt` or `item.COLUMN`.
    """
    return _cell(line["prompt"] if source == "prompt" else line["item"].get(source.removeprefix("item.")))


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
