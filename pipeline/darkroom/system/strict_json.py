"""Reads JSON from strangers: a value that can be written as JSON again, or an error of one line."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from darkroom.errors import printable

MAX_DEPTH = 100  # of nested lists and objects; Python itself gives up at about a thousand

_MAX_SHOWN = 80  # characters of a path or key in an error line
_LONE_SURROGATE = "half of a surrogate pair, such as \\ud800, is not text"

_Path = tuple["_Path | None", str | int]  # the path of the parent, and the key or index in it


def loads(text: str | bytes, max_depth: int = MAX_DEPTH) -> Any:
    """Parse a JSON text strictly.

    Unlike Python's parser, it refuses NaN, infinity, numbers that overflow a float, duplicate keys and lone surrogates.
    Only U+DC80 to U+DCFF are allowed, by which Python names files that are not UTF-8.

    Args:
        text: a str, or bytes in UTF-8.
        max_depth: how deep lists and objects may be nested.

    Raises:
        ValueError: one line with the reason and, if known, the path, such as `points[0]`; a `json.JSONDecodeError` if
            the text is not JSON at all.
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
    if not _is_sound(value, max_depth):
        _explain(value, max_depth)
    return value


def _integer(digits: str) -> int | float:
    """An int, or infinity if it overflows a float. Checked before `int`, which takes quadratic time."""
    number = float(digits)
    return number if math.isinf(number) else int(digits)


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {_shown(twice)} appears twice")
    return found


def _is_sound(node: Any, depth: int) -> bool:
    """Whether a value has only text, finite numbers, and so much depth; journals have thousands of them."""
    kind = type(node)
    if kind is str:
        return _is_text(node)
    if kind is float:
        return math.isfinite(node)
    if kind is dict:
        return depth > 0 and all(_is_text(key) and _is_sound(inner, depth - 1) for key, inner in node.items())
    if kind is list:
        return depth > 0 and all(_is_sound(inner, depth - 1) for inner in node)
    return True


def _explain(value: Any, max_depth: int) -> None:
    """Raise `ValueError` for what is wrong with a value."""
    waiting: list[tuple[Any, _Path | None, int]] = [(value, None, 0)]
    while waiting:
        node, path, depth = waiting.pop()
        if isinstance(node, float) and not math.isfinite(node):
            raise ValueError(_at(path, "not a finite number, or larger than 1.8e308"))
        if isinstance(node, str) and not _is_text(node):
            raise ValueError(_at(path, _LONE_SURROGATE))
        if not isinstance(node, dict | list):
            continue
        if depth == max_depth:
            raise ValueError(_at(path, f"nested more than {max_depth} deep"))
        if isinstance(node, dict) and not all(map(_is_text, node)):
            raise ValueError(_at(path, f"a key: {_LONE_SURROGATE}"))
        inner = node.items() if isinstance(node, dict) else enumerate(node)
        waiting += [(value, (path, key), depth + 1) for key, value in inner]


def _is_text(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _at(path: _Path | None, reason: str) -> str:
    keys: list[str | int] = []
    while path is not None:
        path, key = path
        keys.append(key)
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in reversed(keys)).removeprefix(".")
    return f"{_shown(text)}: {reason}" if text else reason


def _shown(text: str) -> str:
    return printable(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}...")
