"""`grabcut`: cut an object out of a box by its colours, without a learned model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import cv2
import numpy as np
from pydantic import Field, model_validator

from darkroom.errors import PhotoError
from darkroom.stages.base import Stage, stage
from darkroom.stages.fields import Box, Points, Units
from darkroom.stages.geometry import box_in_pixels, check_fractions, points_in_pixels

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import Models

_SEED = 0  # of the k-means that starts GrabCut's colour models
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
        width, height = edit.size
        scale = min(1.0, self.working_size / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(edit.flattened, size, interpolation=cv2.INTER_AREA)
        inside = _cut(small, self._hints(edit.size, size), self.iterations)
        return edit.with_mask(_enlarged(inside, edit.size) if scale < 1 else inside)

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


def _cut(image: np.ndarray, hints: np.ndarray, iterations: int) -> np.ndarray:
    """GrabCut's mask of the object, (h, w) bool, in an (h, w, 3) uint8 image."""
    if _is_inside(hints).all() or not _is_inside(hints).any():
        raise PhotoError("the box must hold some of the photo and leave some outside, as grabcut compares them")
    hints, models = hints.copy(), np.zeros((2, 1, 65))
    cv2.setRNGSeed(_SEED)
    no_box = (0, 0, 0, 0)  # unused: the labels replace it
    cv2.grabCut(image, hints, no_box, models[0], models[1], iterations, cv2.GC_INIT_WITH_MASK)
    return _is_inside(hints)


def _is_inside(hints: np.ndarray) -> np.ndarray:
    return np.isin(hints, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _enlarged(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A bool mask at a larger (width, height); the blur turns the steps of its outline into a smooth line."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)
    return cv2.resize(soft, size, interpolation=cv2.INTER_CUBIC) >= 0.5
