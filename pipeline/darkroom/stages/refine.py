"""`refine`: smooth a mask, drop small regions, grow or shrink it, soften its edge."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import cv2
import numpy as np
from pydantic import Field, model_validator

from darkroom.imaging.bands import by_bands
from darkroom.imaging.masks import depth_up_to, to_float, to_uint8
from darkroom.stages.base import Stage, stage
from darkroom.stages.fields import Flag, Share
from darkroom.stages.markers import Length

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import Models

Distance = Annotated[float, Field(ge=0, le=1000), Length()]


@stage
class Refine(Stage):
    """In this order: blur, threshold, close, open, fill_holes, min_area, keep_largest, box, grow, feather.

    Distances are Euclidean, between pixel centres. The photo's border is not an edge of the mask: a mask that touches
    it does not shrink away from it.
    """

    version: ClassVar[int] = 2
    needs_mask: ClassVar[bool] = True

    blur: Annotated[float, Field(ge=0, le=500), Length()] = Field(0, description="Sigma in px of a Gaussian blur.")
    threshold: Share | None = Field(
        0.5,
        description="Minimum value for a white pixel; `null` keeps the mask soft and allows only `blur`.",
    )
    close: Distance = Field(0, description="Close gaps up to twice this many px wide.")
    open: Distance = Field(0, description="Remove specks and thin lines up to twice this many px wide.")
    fill_holes: Flag = Field(False, description="Fill holes that are entirely surrounded by white.")
    min_area: Annotated[int, Length(power=2)] = Field(0, ge=0, description="Drop regions of fewer px than this.")
    keep_largest: int | None = Field(
        None, ge=1, description="Keep only this many regions, the largest ones; `null` keeps all."
    )
    box: Flag = Field(
        False, description="Replace each region by its bounding box, which leaves room for an object of another shape."
    )
    grow: Annotated[float, Length()] = Field(
        0, ge=-1000, le=1000, description="Grow the white by this many px; negative values shrink it."
    )
    feather: Distance = Field(
        0, description="Width in px of a soft edge outside the white; the white itself stays white."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        needs_edge = ("close", "open", "fill_holes", "min_area", "keep_largest", "box", "grow", "feather")
        given = [name for name in needs_edge if getattr(self, name)]
        if self.threshold is None and given:
            raise ValueError(f"`threshold: null` keeps the mask soft, but {', '.join(given)} need a hard edge")
        return self

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`."""
        mask = edit.need_mask()
        if self.blur:
            mask = cv2.GaussianBlur(to_float(mask), (0, 0), self.blur, borderType=cv2.BORDER_REPLICATE)
        if self.threshold is None:
            return edit.with_mask(mask, edit.confidence)
        white = self._white(mask)
        near, result = _around(white, self._reach()), np.zeros(white.shape, np.uint8)
        if white[near].size:
            result[near] = to_uint8(feathered(grown(self._clean(white[near]), self.grow), self.feather))
        return edit.with_mask(result, edit.confidence)

    def _white(self, mask: np.ndarray) -> np.ndarray:
        """Where a mask, (H, W) uint8 or float32 in [0, 1], reaches the threshold, (H, W) bool."""
        assert self.threshold is not None
        if mask.dtype != np.uint8:
            return (mask >= self.threshold) & (mask > 0)
        levels = to_float(np.arange(256, dtype=np.uint8))
        lowest = max(1, np.count_nonzero(levels < self.threshold))
        return mask >= lowest

    def _reach(self) -> int:
        """Farther than this from the white, in px, nothing happens; the part around it has an edge of black."""
        return math.ceil(self.close) + math.ceil(max(self.grow, 0)) + math.ceil(self.feather) + 2

    def _clean(self, mask: np.ndarray) -> np.ndarray:
        mask = grown(grown(mask, self.close), -self.close)
        mask = grown(grown(mask, -self.open), self.open)
        if self.fill_holes:
            mask = _filled(mask)
        if self.min_area or self.keep_largest:
            mask = largest_regions(mask, self.min_area, self.keep_largest)
        return _boxes(mask) if self.box else mask


def grown(mask: np.ndarray, distance: float) -> np.ndarray:
    """An (H, W) bool mask grown by `distance` px; shrunk if `distance` is negative."""
    if distance < 0:
        return ~grown(~mask, -distance)
    if not distance:
        return mask
    near, result = _around(mask, distance), np.zeros_like(mask)
    if result[near].size:
        result[near] = depth_up_to(~mask[near], distance) <= distance
    return result


def feathered(mask: np.ndarray, width: float) -> np.ndarray:
    """An (H, W) bool mask with a linear ramp around it, (H, W) float32.

    The ramp lies outside the mask, which stays 1, and reaches 0 at `width` + 1 px.
    """
    if not width:
        return mask
    near, result = _around(mask, width + 1), np.zeros(mask.shape, np.float32)
    if result[near].size:
        outside = depth_up_to(~mask[near], width + 1)
        result[near] = by_bands(lambda band: np.clip(1 - band / np.float32(width + 1), 0, 1), outside)
    return result


def _around(mask: np.ndarray, reach: float) -> tuple[slice, slice]:
    """The part of the picture within `reach` px of a mask: a photo of 24 megapixels is large, its subject less so."""
    spans = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    if not spans[0].size:
        return slice(0), slice(0)
    reach = math.ceil(reach)
    rows, columns = (slice(max(0, int(span[0]) - reach), int(span[-1]) + reach + 1) for span in spans)
    return rows, columns


def _filled(mask: np.ndarray) -> np.ndarray:
    """The mask with its holes filled: black regions, connected by sides only, that do not touch the border."""
    count, labels = cv2.connectedComponents((~mask).astype(np.uint8), connectivity=4)
    outside = np.zeros(count, bool)
    outside[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True
    filled: np.ndarray = mask | ~outside[labels]
    return filled


def largest_regions(mask: np.ndarray, min_area: int, keep_largest: int | None) -> np.ndarray:
    """The mask's largest regions (corners connect) of at least `min_area` px; of equal ones the upper."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]  # 0 is the background
    order = np.lexsort((stats[1:, cv2.CC_STAT_LEFT], stats[1:, cv2.CC_STAT_TOP], -areas))[:keep_largest]
    kept = np.zeros(count, bool)
    kept[order[areas[order] >= min_area] + 1] = True
    pieces: np.ndarray = kept[labels]
    return pieces


def _boxes(mask: np.ndarray) -> np.ndarray:
    """The bounding boxes of the mask's regions; corners connect."""
    boxes = np.zeros_like(mask)
    for x, y, width, height, _ in cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)[2][1:]:
        boxes[y : y + height, x : x + width] = True
    return boxes
