"""`grabcut`: cut an object out of a box by its colours, without a learned model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import cv2
import numpy as np
from pydantic import Field, model_validator

from darkroom.models.grabcut import cut_out, reduced_size
from darkroom.stages.base import Stage, stage
from darkroom.stages.fields import Box, Points, Units
from darkroom.stages.geometry import box_in_pixels, check_fractions, points_in_pixels

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import Models

_CLICK = 0.01  # radius of the disc that a click marks, as a share of the reduced copy's longer side


@stage
class GrabCut(Stage):
    """OpenCV's GrabCut: colour models of object and background, and a cut where neighbouring pixels differ most.

    It runs on a reduced copy, since its cost grows faster than the area: 0.6 s at 512 px, 3 s at 1024 px for a
    photo of 1800 x 1200 px. The outline is smoothed when the mask is enlarged. Source: Rother, Kolmogorov and
    Blake, "GrabCut", SIGGRAPH 2004.
    """

    box: Box = Field(description="Box around the whole object, [x0, y0, x1, y1]; everything outside is background.")
    points: Points = Field(
        (), description="Clicks on parts that certainly belong to the object: [x, y], one or several."
    )
    negative: Points = Field((), description="Clicks on parts that certainly do not, such as its shadow.")
    units: Units = "pixels"
    iterations: int = Field(5, ge=1, le=50, description="Iterations of GrabCut.")
    working_size: int = Field(
        512,
        ge=64,
        le=4096,
        description="Longer side in px of the reduced copy that is segmented; larger is finer and slower.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_fractions(self.units, [self.box], self.points, self.negative)
        return self

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `PhotoError` for a box that is empty, covers the photo or reaches outside it."""
        hints = self._hints(edit.size, reduced_size(edit.size, self.working_size))
        return edit.with_mask(cut_out(edit.flattened, hints, self.iterations))

    def _hints(self, size: tuple[int, int], small: tuple[int, int]) -> np.ndarray:
        """GrabCut's initial labels, (h, w) uint8: background outside the box, probable foreground inside; clicks."""
        scale = np.array(small) / size
        x0, y0, x1, y1 = np.rint(box_in_pixels(self.box, self.units, size) * np.tile(scale, 2)).astype(int)
        hints = np.full(small[::-1], cv2.GC_BGD, np.uint8)
        hints[y0:y1, x0:x1] = cv2.GC_PR_FGD
        radius = round(max(small) * _CLICK)
        for points, label in ((self.points, cv2.GC_FGD), (self.negative, cv2.GC_BGD)):
            for x, y in np.floor(points_in_pixels(points, self.units, size) * scale).astype(int).tolist():
                cv2.circle(hints, (x, y), radius, label, thickness=-1)
        return hints
