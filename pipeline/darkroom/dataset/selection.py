"""Which photos of a dataset are taken: patterns for their names, written as in a `.gitignore` file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import translate
from functools import lru_cache
from itertools import accumulate

_Pattern = tuple["re.Pattern[str] | None", ...]  # one for each part of a path; None stands for `**`

_ANY_DEPTH: _Pattern = (None,)
_ESCAPED = re.compile(r"\[([*?[]|t(?=\]$))\]")
_MAGIC = re.compile(r"[*?[]|t$")


class Patterns:
    """Names of photos and folders. A folder stands for everything in it.

    Without a slash, a pattern fits a name at any depth (`draft*`, `old/`); with one, a path from the top
    (`day 1/*.jpg`, `/car.jpg`). `*` and `?` do not cross folders; `**` stands for any number of them. A pattern also
    fits the name that it spells, such as `[x].png`.

    Args:
        entries: patterns that `problem` accepts.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._exact = {path: entry for entry in entries if (path := _exact_path(entry)) is not None}
        exact = set(self._exact.values())
        self._patterns = [(entry, _parts(entry)) for entry in entries if entry not in exact]

    def fitting(self, name: str) -> Iterator[str]:
        """The patterns that a photo's name fits."""
        parts = name.split("/")
        for path in accumulate(parts, lambda folder, part: f"{folder}/{part}"):
            if path in self._exact:
                yield self._exact[path]
        yield from (entry for entry, pattern in self._patterns if _fits(parts, pattern))

    def fits(self, name: str) -> bool:
        """Whether a photo's name fits any pattern."""
        return any(True for _ in self.fitting(name))


def problem(entry: str) -> str | None:
    """Why a pattern cannot be used, or None."""
    if not entry.strip("/"):
        return "an empty pattern"
    return f"{entry}: a pattern can have `**` only once" if entry.split("/").count("**") > 1 else None


def exactly(name: str) -> str:
    """The pattern of one photo, whatever its name. It never ends in `.txt`, as the names of lists do."""
    return "/" + _MAGIC.sub(r"[\g<0>]", name)


def _exact_path(entry: str) -> str | None:
    """The path that a pattern from `exactly` stands for, or None for any other pattern."""
    if not entry.startswith("/"):
        return None
    path = _ESCAPED.sub(r"\1", entry[1:])
    return path if exactly(path) == entry else None


def _parts(entry: str) -> _Pattern:
    anywhere = "/" not in entry.rstrip("/")
    parts = entry.removeprefix("/").rstrip("/").split("/")
    pattern = tuple(None if part == "**" else _compiled(part) for part in parts)
    return _ANY_DEPTH + pattern if anywhere and parts != ["**"] else pattern


@lru_cache(maxsize=1024)
def _compiled(part: str) -> re.Pattern[str]:
    return re.compile(f"{translate(part)}|{re.escape(part)}\\Z")  # `[x].png` also fits a file of this name


def _fits(parts: Sequence[str], pattern: _Pattern) -> bool:
    """Whether a path, or a folder that it lies in, fits a pattern."""
    if not pattern or not parts:
        return not pattern
    head, rest = pattern[0], pattern[1:]
    if head is None:
        return any(_fits(parts[start:], rest) for start in range(len(parts)))
    return head.match(parts[0]) is not None and _fits(parts[1:], rest)
