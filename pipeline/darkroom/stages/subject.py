"""`subject`: find the thing that a photo shows, without a click and without a prompt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from darkroom.imaging.masks import depth
from darkroom.stages.base import Problem, Stage, stage
from darkroom.stages.refine import largest_regions

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models


@stage
class Subject(Stage):
    """What stands out in a photo (salient object detection), as a soft mask.

    The network sees a copy of 320 x 320 or 1024 x 1024 px, so edges are soft. `models/subject.py` has the networks and
    defines their confidence; GrabCut, the stand-in for a network, reports none.
    """

    version: ClassVar[int] = 2
    uses: ClassVar[tuple[ModelKind, ...]] = ("subject",)
    reports_confidence: ClassVar[bool] = True

    keep_largest: int | None = Field(
        1,
        ge=1,
        description="Keep only this many separate regions, the largest ones; `null` keeps all.",
    )

    def warnings(self, models: Models) -> Iterator[Problem]:
        """See `Stage.warnings`: GrabCut has to stand in for a network."""
        if reason := models.rough_subject:
            yield "", reason

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `PhotoError` if the network or GrabCut cannot work on this photo."""
        mask, confidence = models.subject.find(edit.flattened)
        return edit.with_mask(mask if self.keep_largest is None else _largest(mask, self.keep_largest), confidence)


def _largest(mask: np.ndarray, count: int) -> np.ndarray:
    """The largest regions of a soft mask, (H, W) uint8, with the soft pixels that are nearest to them."""
    regions = mask >= 128
    kept = largest_regions(regions, min_area=0, keep_largest=count)
    if np.array_equal(kept, regions):
        return mask
    to_kept, to_dropped = depth(~kept), depth(~(regions & ~kept))
    return np.where(to_kept <= to_dropped, mask, np.uint8(0))
