"""What the runner works for: consumers, which want pictures of photos, and the sinks that receive these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from darkroom.dataset import Photo
from darkroom.engine.step_result import StepResult
from darkroom.errors import PhotoError
from darkroom.planning.plan import Step


class ResultSink(Protocol):
    """Receives the pictures of one photo, after those of all earlier photos."""

    @property
    def remaining(self) -> Sequence[Step] | PhotoError:
        """The part of the photo's tree that must still be computed, which may be empty; or why there is no tree."""

    def start(self) -> None:
        """Called once, before the first `deliver`, when all pictures of earlier photos have been delivered."""

    def prepare(self, steps: Sequence[Step], results: Sequence[StepResult | PhotoError]) -> Any:
        """Do what takes time for a picture, finished or failed. Called in a worker, in any order.

        Args:
            steps: the path to the picture, as planned.
            results: of the photo, then of each step; ends with the error that stopped the picture, if any.
        """

    def deliver(self, prepared: Any) -> None:
        """Receive what `prepare` has returned. Pictures arrive in the order of the tree."""

    def flush(self) -> None:
        """Called after `deliver` when no further picture is ready."""


class Consumer(Protocol):
    """Wants pictures of photos: a job, a survey of a baseline, a reproduction."""

    def tree(self, photo: Photo) -> Sequence[Step]:
        """The steps of a photo. Raises `PhotoError` if they cannot be planned."""

    def begin(self, photo: Photo, digest: str | PhotoError, tree: Sequence[Step] | PhotoError) -> ResultSink:
        """Begin a photo. Photos begin in order, a few of them before the pictures of earlier ones are delivered.

        Args:
            photo: the photo.
            digest: SHA-256 of its file, or why it cannot be read.
            tree: from `tree`, or why the steps cannot be planned.
        """
