"""The errors a user can cause, each one clear line; anything else that escapes is a bug of ours.

* `RecipeError` — the recipe or the command line is wrong; nothing has started (exit code 2).
* `RecordError` — a run folder, a sweep or a store is not what it should be, or holds too little (exit code 2).
* `SetupError` — this machine lacks what the recipe needs, such as weights (exit code 2).
* `PhotoError` — one photo cannot be edited; it is recorded, the others go on (exit code 3 at the end).
* `EmptyMask` — the photo's mask came out empty; the recipe's `on_empty` decides what happens.
* `Stopped` — a gate lets the photo go no further; the gate's policy decides what happens.
* `OutputError` — results cannot be written any more (disk full, no permission); the run stops (exit code 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any
from unicodedata import category

_LINES, _LENGTH = 200, 2000  # of an error: lines, and letters of each
_LONGEST = 100  # letters of a word that somebody can have meant as a name; more would take long to compare


class DarkroomError(Exception):
    """An expected failure; `str(error)` is what the user reads, a line for each problem.

    Args:
        problems: one line each, naming file and key and saying what would be right. Line breaks and control
            characters, which strangers' recipes and names may hold, are shown as escapes; what has no end is cut.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        several = (problems,) if isinstance(problems, str) else problems
        more = [f"... and {len(several) - _LINES} more"] if len(several) > _LINES else []
        shown = (each if len(each) <= _LENGTH else f"{each[:_LENGTH]}..." for each in (*several[:_LINES], *more))
        self.problems = tuple(map(printable, shown))
        super().__init__("\n".join(self.problems))


class RecipeError(DarkroomError):
    """All that is wrong with a recipe, at once."""


class RecordError(DarkroomError):
    """A record that was read, such as a run folder's, is damaged or missing; it may be a stranger's."""


class SetupError(DarkroomError):
    """The machine lacks something that the recipe needs: weights, a device, a package."""


class PhotoError(DarkroomError):
    """One photo cannot be edited."""


class EmptyMask(PhotoError):
    """A stage left nothing to repaint."""


class Stopped(PhotoError):
    """A gate lets a photo go no further.

    Args:
        reason: which bound the mask broke, and by what.
        policy: what becomes of the photo: `fail`, `skip` it, or `keep` it as it is so far.
    """

    def __init__(self, reason: str, policy: str) -> None:
        super().__init__(reason)
        self.policy = policy


class OutputError(DarkroomError):
    """Results cannot be written."""


def together(*checks: Callable[[], Any]) -> tuple[Any, ...]:
    """Make several checks and return what each returned.

    Raises:
        RecipeError: with the problems of all that failed.
    """
    results, problems = [], []
    for check in checks:
        try:
            results.append(check())
        except RecipeError as error:
            problems += error.problems
    if problems:
        raise RecipeError(problems)
    return tuple(results)


def nearest(word: str, valid: Sequence[str]) -> str:
    """The end of an error line about an unknown name: the nearest valid one, or all of them.

    >>> nearest("promt", ["prompt", "seed"])
    "did you mean 'prompt'?"
    >>> nearest("x", ["prompt", "seed"])
    'valid: prompt, seed'
    >>> nearest("x", [])
    'it takes none'
    """
    if not valid:
        return "it takes none"
    close = get_close_matches(word[:_LONGEST], list(valid), n=1)
    return f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(valid)}"


def printable(text: str) -> str:
    """A text on one line that cannot steer a terminal: what does not print is shown as escapes."""
    if text.isprintable():
        return text
    return "".join(each if _is_harmless(each) else each.encode("unicode_escape").decode() for each in text)


def _is_harmless(sign: str) -> bool:
    """Whether it prints; spaces of any width do, and so do the joiners of emoji and of some scripts."""
    return sign.isprintable() or sign in "\u200c\u200d" or category(sign) == "Zs"
