"""`snap`: find an object by its name with CLIPSeg, and cut it out with Segment Anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np
from pydantic import Field

from darkroom.imaging.masks import depth
from darkroom.stages.base import Problem, Stage, stage
from darkroom.stages.fields import OptionalPhrases, Phrases, Threshold, foreign_syntax_warnings
from darkroom.stages.heatmap import Space, apply_threshold, find_heatmap, mean_under, soft_iou

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models

_MIN_HEAT = 0.1  # our choice: regions with less than this share of the strongest one's heat are left out


@stage
class Snap(Stage):
    """SAM's masks of the objects that CLIPSeg finds. Keeps the heatmap as the artifact `heat`.

    Each connected region where the heatmap reaches `threshold` is given to SAM twice: as a click near its middle, and
    as a box around it. Of the six candidate masks the one with the best IoU with the heatmap is taken. The confidence
    is the mean of the heatmap under the mask.
    Sources: `text` and `sam`; Grounded-SAM goes from text to SAM through the boxes of a detector (arXiv 2401.14159).
    """

    version: ClassVar[int] = 3
    uses: ClassVar[tuple[ModelKind, ...]] = ("clipseg", "sam")
    reports_confidence: ClassVar[bool] = True

    phrase: Phrases = Field(description="What to find, such as `the car`; of several phrases, the strongest counts.")
    without: OptionalPhrases = Field(
        (), description="Similar-looking things to avoid, such as `the truck`; one phrase or several."
    )
    combine: Space = "logit"
    threshold: Threshold = Field(
        0.5,
        description="Minimum heatmap value of an object. `otsu` and `p90` work as in `text` and always find something.",
    )
    objects: int = Field(
        1,
        ge=1,
        le=100,
        description="Maximum number of objects; those with less than a tenth of the strongest one's heat are left out.",
    )

    def warnings(self, models: Models) -> Iterator[Problem]:
        """See `Stage.warnings`: phrases with the syntax of another tool."""
        for key in ("phrase", "without"):
            yield from foreign_syntax_warnings(key, getattr(self, key))

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`."""
        shown = edit.flattened
        heatmap = find_heatmap(models, shown, self.phrase, self.without, self.combine)
        found = apply_threshold(heatmap, self.threshold)
        union = np.zeros(heatmap.shape, bool)
        for region in _regions(found, heatmap, self.objects):
            own = np.where(region | ~found, heatmap, 0)  # without the other regions
            union |= _segment(models, shown, region, own)
        return edit.with_mask(union, mean_under(union, heatmap), artifacts={"heat": heatmap})


def _regions(found: np.ndarray, heatmap: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """The connected regions with the most heat, each (H, W) bool, the strongest first; of equal ones the upper."""
    number, labels = cv2.connectedComponents(found.astype(np.uint8), connectivity=8)
    heat = np.bincount(labels.ravel(), weights=heatmap.ravel(), minlength=number)
    heat[0] = 0  # the background
    for label in np.argsort(-heat, kind="stable")[: min(count, number - 1)]:
        if heat[label] >= _MIN_HEAT * heat.max():
            yield labels == label


def _segment(models: Models, image: np.ndarray, region: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """SAM's mask of a region, (H, W) bool: of all candidates the one with the best IoU with the heatmap."""
    click, box = _click(region, heatmap), _box(region)
    by_click, _ = models.sam.masks(image, click[None], np.ones(1, int), None)
    by_box, _ = models.sam.masks(image, np.empty((0, 2)), np.empty(0, int), box)
    return max((*by_click, *by_box), key=lambda mask: soft_iou(mask, heatmap))


def _click(region: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """The pixel where heat times distance to the region's edge is largest, x and y in px.

    The peak of the heatmap alone may lie on the edge. The photo's border counts as an edge.
    """
    inner = depth(np.pad(region, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(np.argmax(inner * heatmap), heatmap.shape)
    return np.array([column, row], float)


def _box(region: np.ndarray) -> np.ndarray:
    x, y, width, height = cv2.boundingRect(region.astype(np.uint8))
    return np.array([x, y, x + width, y + height], float)
