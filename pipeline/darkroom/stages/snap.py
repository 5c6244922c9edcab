"""`snap`: find a thing by its name with CLIPSeg, cut it out with Segment Anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np
from pydantic import Field

from darkroom.stages.base import Problem, Stage, stage
from darkroom.stages.fields import OptionalTexts, Texts, Threshold, literal
from darkroom.stages.heatmap import Space, heat_of, overlap, warmth, white

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models

CRUMB = 0.1  # a judgement: a piece with less than this share of the first one's heat is no thing of its own


@stage
class Snap(Stage):
    """SAM's masks of what CLIPSeg finds: text says which thing, SAM where it ends. Keeps the artifact `heat`.

    Where the heat reaches `threshold` it falls into pieces. Each is shown to SAM twice, as a click where it is hot
    and deep and as a box around it, and of the six candidates that one is taken which overlaps the heat best. The
    confidence is the mean heat under the mask.
    Sources: `text` and `sam`; text to box to SAM is what Grounded-SAM does with a detector (arXiv 2401.14159).
    """

    version: ClassVar[int] = 2  # says how sure it is
    uses: ClassVar[tuple[ModelKind, ...]] = ("clipseg", "sam")
    reports_confidence: ClassVar[bool] = True

    phrase: Texts = Field(description="What to find, such as `the car`; of several phrases, the strongest counts.")
    without: OptionalTexts = Field(
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
        """See `Stage.warnings`: signs that are read as words."""
        for key in ("phrase", "without"):
            yield from literal(key, getattr(self, key))

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`."""
        shown = edit.flattened
        heat = heat_of(models, shown, self.phrase, self.without, self.combine)
        found = white(heat, self.threshold)
        union = np.zeros(heat.shape, bool)
        for piece in _pieces(found, heat, self.objects):
            # The heat of the other pieces does not speak for this one.
            union |= _snapped(models, shown, piece, np.where(piece | ~found, heat, 0))
        return edit.with_mask(union, warmth(union, heat), heat=heat)


def _pieces(found: np.ndarray, heat: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """The connected pieces with the most heat, each (H, W) bool, the warmest first; of equal ones the upper."""
    number, labels = cv2.connectedComponents(found.astype(np.uint8), connectivity=8)
    warmth = np.bincount(labels.ravel(), weights=heat.ravel(), minlength=number)
    warmth[0] = 0  # what was not found
    for label in np.argsort(-warmth, kind="stable")[: min(count, number - 1)]:
        if warmth[label] >= CRUMB * warmth.max():
            yield labels == label


def _snapped(models: Models, image: np.ndarray, piece: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """SAM's mask of a piece, (H, W) bool: of the candidates for a click and for a box the one most like the heat."""
    click, box = _click(piece, heat), _box(piece)
    by_click, _ = models.sam.masks(image, click[None], np.ones(1, int), None)
    by_box, _ = models.sam.masks(image, np.empty((0, 2)), np.empty(0, int), box)
    return max((*by_click, *by_box), key=lambda mask: overlap(mask, heat))


def _click(piece: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Where a piece is hot and deep, x and y in px: the peak itself may lie on its edge. The border is an edge."""
    depth = cv2.distanceTransform(np.pad(piece, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    depth = np.sqrt(np.rint(depth * depth))  # the last bits of OpenCV's roots depend on the array's address in memory
    row, column = np.unravel_index(np.argmax(depth * heat), heat.shape)
    return np.array([column, row], float)


def _box(piece: np.ndarray) -> np.ndarray:
    x, y, width, height = cv2.boundingRect(piece.astype(np.uint8))
    return np.array([x, y, x + width, y + height], float)
