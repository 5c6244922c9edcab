"""`subject`: find the thing that a photo shows, without a click and without a prompt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from darkroom.stages.base import Problem, Stage, stage

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models


@stage
class Subject(Stage):
    """What stands out in a photo (salient object detection), as a soft mask.

    The network sees a copy of 320 x 320 or 1024 x 1024 px, so edges are soft. `models/subject.py` has the networks and
    defines their confidence; GrabCut, the stand-in for a network, reports none.
    """

    uses: ClassVar[tuple[ModelKind, ...]] = ("subject",)
    reports_confidence: ClassVar[bool] = True

    def warnings(self, models: Models) -> Iterator[Problem]:
        """See `Stage.warnings`: GrabCut has to stand in for a network."""
        if reason := models.rough_subject:
            yield "", reason

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `PhotoError` if the network or GrabCut cannot work on this photo."""
        mask, confidence = models.subject.find(edit.flattened)
        return edit.with_mask(mask, confidence)
