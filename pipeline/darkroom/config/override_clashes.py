"""Overrides that Hydra cannot merge with the configuration or with each other, as lines that say what is right."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from darkroom.config import settings

_KINDS = {"[": "list", "{": "mapping"}
_NO_NAME = re.compile(r"[\[{]|(true|false|[-+]?(\d+(\.\d*)?|\.\d+))$", re.IGNORECASE)


def find_clash(error: BaseException, words: Sequence[str], groups: Mapping[str, str]) -> str | None:
    """The error line for a value of a wrong kind; None if the error has another cause.

    Args:
        error: what Hydra raised.
        words: the overrides.
        groups: the config groups, with the name of an option of each.
    """
    for word in words:
        key, value = split(word)
        if key in groups and _NO_NAME.match(value):
            return f"command line: {word}: takes a name, such as {groups[key]}{_example(key)}"
    merged = re.match(r"Error merging override (?:\+\+)?(.+)", str(error), re.DOTALL)
    if merged and "Cannot merge" in str(error.__cause__):
        return _wrong_kind(merged[1].strip(), words)
    if merged and "index out of range" in str(error.__cause__):
        outer = split(merged[1])[0].rpartition(".")[0]
        return f"command line: {merged[1].strip()}: the list has no such entry; give all of it: '{outer}=[...]'"
    index = re.match(r"invalid literal for int\(\) with base 10: '(.+)'$", str(error))
    return _within_list(index[1], words) if index else None


def split(word: str) -> tuple[str, str]:
    """The dotted key of an override, without `+` and `~`, and the text of its value."""
    key, _, value = word.lstrip("+~").partition("=")
    return key, value.strip()


def removing(key: str, words: Sequence[str]) -> str | None:
    """The override that removes a key which another one needs: `~stages.inpaint` beside `stages.inpaint.seed=1`."""
    naming = [word for word in words if f"{key}.".startswith(f"{split(word)[0]}.")]
    return next((word for word in naming if word.startswith("~")), None) if len(naming) > 1 else None


def _wrong_kind(word: str, words: Sequence[str]) -> str:
    """A list was given for a mapping, or a mapping for a list."""
    key, value = split(word)
    given = _KINDS.get(value[:1], "text")
    wanted = "list" if given == "mapping" else "mapping"
    if earlier := _earlier(key, word, words):
        return _twice(key, (wanted, earlier), (given, word))
    right = f", as in '{key}=[...]'" if wanted == "list" else _example(key, "NAME")
    return f"command line: {word}: should be a {wanted}{right}"


def _within_list(part: str, words: Sequence[str]) -> str | None:
    """An override sets a key of a list, as in `results.what.cutout=true`."""
    for word in words:
        key, _ = split(word)
        outer, found, _ = f"{key}.".partition(f".{part}.")
        if found and (earlier := _earlier(outer, word, words)):
            return _twice(outer, ("list", earlier), ("mapping", word))
        if found:
            return f"command line: {word}: {outer} is a list, which has no keys; give all of it: '{outer}=[...]'"
    return None


def _earlier(key: str, word: str, words: Sequence[str]) -> str | None:
    """The last override before this one that sets the key or a part of it."""
    before = words[: words.index(word)] if word in words else ()
    return next((other for other in reversed(before) if f"{split(other)[0]}.".startswith(f"{key}.")), None)


def _twice(key: str, *given: tuple[str, str]) -> str:
    (kind, earlier), (other_kind, word) = given
    return (
        f"command line: {key}: given twice, as a {kind} and as a {other_kind}: {earlier} and {word}; keep one of them"
    )


def _example(key: str, default: str = "") -> str:
    """How one key of a section is set."""
    inner = settings.known_keys().get(key)
    name = next(iter(inner or ()), default)
    return f"; one key of it is set by {key}.{name}=..." if name else ""
