"""Errors that a user can cause. Each is one clear line; anything else that escapes is a bug in Darkroom.

* `RecipeError`: the recipe or the command line is wrong; nothing has started (exit code 2).
* `RecordError`: a run folder, a sweep or a store is damaged or incomplete (exit code 2).
* `SetupError`: this machine lacks something that the recipe needs, such as weights (exit code 2).
* `PhotoError`: one photo cannot be edited; the record says why, and the other photos go on (exit code 3 at the end).
* `EmptyMask`: a photo's mask is empty; the recipe's `on_empty` decides what happens.
* `Stopped`: a gate rejects a photo; the gate's policy decides what happens.
* `OutputError`: results can no longer be written (disk full, no permission); the run stops (exit code 4).
* `Cancelled`: whoever started the work has stopped it (`system/watching.py`); finished pictures are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any
from unicodedata import category

_MAX_LINES, _MAX_LINE_LENGTH = 200, 2000  # of an error message; the length is in characters
_MAX_COMPARED = 100  # characters of a mistyped name; comparing longer ones takes long


class DarkroomError(Exception):
    """An expected failure; `str(error)` is what the user reads, one line per problem.

    Args:
        problems: lines that name the file and the key, and say what would be right. Recipes and file names may come
            from strangers: line breaks and control characters are escaped, and very long messages are cut.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        lines = (problems,) if isinstance(problems, str) else problems
        rest = [f"... and {len(lines) - _MAX_LINES} more"] if len(lines) > _MAX_LINES else []
        self.problems = tuple(printable(_shortened(line)) for line in (*lines[:_MAX_LINES], *rest))
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[Any, ...]:  # an error in another process arrives as it was
        return _as_it_was, (type(self), self.args, vars(self))


def _as_it_was(kind: type[DarkroomError], args: tuple[Any, ...], attributes: dict[str, Any]) -> DarkroomError:
    error = kind.__new__(kind, *args)
    error.__dict__ |= attributes
    return error


class RecipeError(DarkroomError):
    """Everything that is wrong with a recipe, reported at once."""


class RecordError(DarkroomError):
    """A file that Darkroom wrote earlier, perhaps on somebody else's machine, is damaged or missing."""


class SetupError(DarkroomError):
    """The machine lacks something that the recipe needs: weights, a device, a package."""


class PhotoError(DarkroomError):
    """One photo cannot be edited."""


class EmptyMask(PhotoError):
    """A photo's mask is empty, so there is nothing to repaint."""


class Stopped(PhotoError):
    """A gate rejects a photo.

    Args:
        reason: which bound the mask violates, and by how much.
        policy: what happens to the photo: `fail`, `skip`, or `keep` (the photo as edited so far).
    """

    def __init__(self, reason: str, policy: str) -> None:
        super().__init__(reason)
        self.policy = policy


class OutputError(DarkroomError):
    """Results cannot be written."""


class Cancelled(DarkroomError):
    """The user has stopped the work; what was finished is kept."""


def collect_errors(*checks: Callable[[], Any]) -> tuple[Any, ...]:
    """Run several checks and return their results.

    Raises:
        RecipeError: some checks failed; it lists the problems of all of them.
    """
    results: list[Any] = []
    problems: list[str] = []
    for check in checks:
        try:
            results.append(check())
        except RecipeError as error:
            problems += error.problems
    if problems:
        raise RecipeError(problems)
    return tuple(results)


def suggest(name: str, valid: Sequence[str]) -> str:
    """How an error line about an unknown name ends: with the closest valid name, or with all of them.

    >>> suggest("promt", ["prompt", "seed"])
    "did you mean 'prompt'?"
    >>> suggest("x", ["prompt", "seed"])
    'valid: prompt, seed'
    >>> suggest("x", [])
    'it takes none'
    """
    if not valid:
        return "it takes none"
    close = get_close_matches(name[:_MAX_COMPARED], list(valid), n=1)
    return f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(valid)}"


def printable(text: str) -> str:
    """Text as one line that cannot control a terminal: unprintable characters are escaped."""
    if text.isprintable():
        return text
    return "".join(char if _is_harmless(char) else char.encode("unicode_escape").decode() for char in text)


def _is_harmless(char: str) -> bool:
    """Whether a character prints: also spaces of any width, and the joiners of emoji and of some scripts."""
    return char.isprintable() or char in "\u200c\u200d" or category(char) == "Zs"


def _shortened(line: str) -> str:
    return line if len(line) <= _MAX_LINE_LENGTH else f"{line[:_MAX_LINE_LENGTH]}..."
