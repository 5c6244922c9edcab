"""The result of a step, and the outcome of the steps of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from darkroom.errors import EmptyMask, PhotoError
from darkroom.planning.plan import Step
from darkroom.store import Result


@dataclass(frozen=True)
class StepResult:
    """A result of a photo, with the step that made it.

    Attributes:
        step: the step; None for the photo as decoded.
        key: the result's key in the store; empty where it has none.
        result: files and measurements.
        flag: the reason why a gate flagged the photo; None where it did not.
    """

    step: Step | None
    key: str
    result: Result
    flag: str | None = None


def outcome(results: Sequence[StepResult | PhotoError]) -> tuple[list[StepResult], PhotoError | None]:
    """The results of the steps of a picture, and the error that stopped it.

    A recipe without a repaint must find something: an empty mask at its end is an error too.
    """
    finished: list[StepResult] = []
    for result in results:
        if isinstance(result, PhotoError):
            return finished, result
        finished.append(result)
    if finished[-1].result.empty:
        return finished, EmptyMask("nothing found: the mask is empty")
    return finished, None
