"""Reads JSON from others: returns values that can be written as JSON again, or raises one line of error."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from darkroom.errors import printable

MAX_DEPTH = 100  # of lists and objects in one another; Python itself gives up at about a thousand

_SHOWN = 80  # letters of a place, in an error line
_HALF = "half a pair of surrogates, such as \\ud800, is not text"

_Place = tuple["_Place | None", str | int]  # the place around it, and the key or index in there


def loads(text: str | bytes, max_depth: int = MAX_DEPTH) -> Any:
    """The value of a JSON text.

    It can be written as JSON again: Python's own reader also takes NaN, reads 1e999 as infinity and integers that no
    float can hold, and lets the last of two equal keys win. Of lone surrogates it takes those by which Python names
    files that are not UTF-8, U+DC80 to U+DCFF, and no others.

    Args:
        text: as a str, or as bytes in UTF-8.
        max_depth: how deep lists and objects may be nested.

    Raises:
        ValueError: with the reason in one line, and the place where there is one, such as `points[0]`; a
            `json.JSONDecodeError` where the text is not JSON at all.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"not UTF-8 text ({error.reason} at byte {error.start})") from None
    try:
        value = json.loads(text, parse_int=_integer, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError(f"nested more than {max_depth} deep") from None
    _check(value, max_depth)
    return value


def _integer(digits: str) -> int | float:
    """Infinity where it is too large for a float; looked at before `int`, whose time grows with the square."""
    number = float(digits)
    return number if math.isinf(number) else int(digits)


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {_shown(twice)} stands twice")
    return found


def _check(value: Any, max_depth: int) -> None:
    waiting: list[tuple[Any, _Place | None, int]] = [(value, None, 0)]
    while waiting:
        node, place, depth = waiting.pop()
        if isinstance(node, float) and not math.isfinite(node):
            raise ValueError(_at(place, "not a finite number, or larger than 1.8e308"))
        if isinstance(node, str) and not _is_text(node):
            raise ValueError(_at(place, _HALF))
        if not isinstance(node, dict | list):
            continue
        if depth == max_depth:
            raise ValueError(_at(place, f"nested more than {max_depth} deep"))
        if isinstance(node, dict) and not all(map(_is_text, node)):
            raise ValueError(_at(place, f"a key: {_HALF}"))
        inside = node.items() if isinstance(node, dict) else enumerate(node)
        waiting += [(each, (place, key), depth + 1) for key, each in inside]


def _is_text(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _at(place: _Place | None, reason: str) -> str:
    keys: list[str | int] = []
    while place is not None:
        place, key = place
        keys.append(key)
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in reversed(keys)).removeprefix(".")
    return f"{_shown(path)}: {reason}" if path else reason


def _shown(text: str) -> str:
    return printable(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
