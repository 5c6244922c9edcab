"""The form of a recipe: its keys, valid names, and the checks that it is plain data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from darkroom.errors import suggest

KEYS = ("name", "dataset", "wildcards", "stages", "on_empty")
SECTIONS = {
    "dataset": "such as {images: photos/}",
    "wildcards": "such as {colour: [red, blue]} or {colour: colours.txt}",
    "stages": "each stage on a line with a colon, such as `invert:`",
}
MAX_STAGES = 100
NAME_FORM = "1 to 80 letters, digits, - or _, of at most 120 bytes in UTF-8"  # of a recipe and of a stage
MAX_NAME_BYTES = 120  # both names become parts of file names, which file systems limit to 255 bytes

_ALLOWED = (*KEYS, "base")  # in a recipe file
_NAME = re.compile(r"[\w-]{1,80}")
_INTERPOLATION = re.compile(r"\$\{([^}]*)\}?")
_REFERENCE = re.compile(r"(item|wildcard)\.\w+")


def is_name(text: str) -> bool:
    """Whether a recipe or a stage may have this name: see `NAME_FORM`."""
    return _NAME.fullmatch(text) is not None and len(text.encode(errors="replace")) <= MAX_NAME_BYTES


def find_unknown_keys(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, problem) of every top-level key that a recipe file does not have."""
    for key in config:
        if isinstance(key, str) and key not in _ALLOWED and not _is_code(key):
            yield key, f"unknown key, {suggest(key, _ALLOWED)}"


def as_meant(config: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe file's content without unknown keys and keys that are no text, so that the rest can be checked.

    What stands under a misspelt key is put under the right one.
    """
    unknown = dict(find_unknown_keys(config))
    meant: dict[str, Any] = _with_text_keys({key: value for key, value in config.items() if key not in unknown})
    for key in unknown:
        for close in get_close_matches(key, _ALLOWED, n=1):
            meant.setdefault(close, _with_text_keys(config[key]))
    return meant


def _with_text_keys(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _with_text_keys(value) for key, value in node.items() if isinstance(key, str)}
    return [_with_text_keys(value) for value in node] if isinstance(node, list) else node


def find_malformed(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, problem) of everything in a recipe that is not plain data, or not a mapping where it should be one."""
    for section in SECTIONS:
        if not isinstance(config.get(section), Mapping | None):
            yield section, f"should be a mapping, {SECTIONS[section]}; got {config[section]!r:.60}"
    if isinstance(stages := config.get("stages"), Mapping) and len(stages) > MAX_STAGES:
        yield "stages", f"{len(stages)} stages; the limit is {MAX_STAGES}"
        return
    yield from _find_code(config, "")


def _find_code(node: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            inner = f"{where}.{key}" if where else str(key)
            if not isinstance(key, str):
                yield inner, f"a key must be text; put it in quotes: '{key}'"
            elif _is_code(key):
                yield inner, "recipes are data: this key is refused"
            else:
                yield from _find_code(value, inner)
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _find_code(value, f"{where}[{index}]")
    else:
        yield from ((where, text) for text in _scalar_problems(node))


def _scalar_problems(value: Any) -> Iterator[str]:
    if not isinstance(value, str | int | float | bool | None):
        yield f"should be text, a number, true, false or null; put a {type(value).__name__} in quotes: '{value}'"
    elif isinstance(value, str):
        if "\0" in value:  # system calls refuse such file names
            yield "holds a null character"
        wrong = (inside for inside in _INTERPOLATION.findall(value) if not _REFERENCE.fullmatch(inside))
        if (inside := next(wrong, None)) is not None:
            yield f"'${{{inside:.60}}}' is refused: a recipe may only use ${{item.COLUMN}} and ${{wildcard.NAME}}"


def _is_code(key: str) -> bool:
    return key in ("hydra", "defaults") or (key.startswith("_") and key.endswith("_"))
