"""`sam`: cut out objects by clicks and boxes, with Segment Anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from darkroom.stages.base import Stage, stage
from darkroom.stages.fields import Boxes, Flag, Points, Units
from darkroom.stages.geometry import box_in_pixels, check_fractions, points_in_pixels

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models


class _Object(NamedTuple):
    """An object to cut out."""

    points: np.ndarray  # (N, 2) px, clicks on it
    box: np.ndarray | None  # (4,) px


@stage
class Sam(Stage):
    """The union of SAM's masks for the clicked and boxed objects.

    Each box is one object, and clicks inside it refine it. All other clicks together are one object, or one each with
    `separate`. The confidence is the lowest IoU that SAM predicts for the chosen masks.
    Source: Kirillov et al., Segment Anything, ICCV 2023 (arXiv 2304.02643).
    """

    version: ClassVar[int] = 3
    uses: ClassVar[tuple[ModelKind, ...]] = ("sam",)
    reports_confidence: ClassVar[bool] = True

    points: Points = Field((), description="Clicks on the object: [x, y], one or several.")
    negative: Points = Field(
        (), description="Clicks on what does not belong to the object; they apply to every object."
    )
    boxes: Boxes = Field((), description="Boxes around objects: [x0, y0, x1, y1], one or several.")
    units: Units = "pixels"
    choose: Literal["score", "smallest", "middle", "largest"] = Field(
        "score",
        description="Which of SAM's three candidates to take: the one with the best `score`, or by area the `smallest` "
        "(usually a part of the object), the `middle` or the `largest` (usually all of it).",
    )
    separate: Flag = Field(False, description="Treat each click as an object of its own.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.points or self.boxes):
            raise ValueError("sam needs `points` or `boxes` to know what to cut out")
        check_fractions(self.units, self.points, self.negative, self.boxes)
        return self

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `PhotoError` for a click or a box outside the photo."""
        negative = points_in_pixels(self.negative, self.units, edit.size)
        shown = edit.flattened
        union, confidence = np.zeros(shown.shape[:2], bool), 1.0
        for wanted in self._objects(edit.size):
            points = np.concatenate([wanted.points, negative])
            labels = np.repeat([1, 0], [len(wanted.points), len(negative)])
            masks, scores = models.sam.masks(shown, points, labels, wanted.box)
            chosen = self._choice(masks, scores)
            union |= masks[chosen]
            confidence = min(confidence, scores[chosen])
        return edit.with_mask(union, confidence)

    def _objects(self, size: tuple[int, int]) -> Iterator[_Object]:
        points = points_in_pixels(self.points, self.units, size)
        boxes = [box_in_pixels(box, self.units, size) for box in self.boxes]
        free = np.ones(len(points), bool)
        for box in boxes:
            inside = ((points >= box[:2]) & (points <= box[2:])).all(axis=1)
            free &= ~inside
            yield _Object(points[inside], box)
        others = points[free]
        for group in others[:, None] if self.separate else [others] * bool(len(others)):
            yield _Object(group, None)

    def _choice(self, masks: Sequence[np.ndarray], scores: np.ndarray) -> int:
        if self.choose == "score":
            return int(np.argmax(scores))
        areas = np.array([np.count_nonzero(mask) for mask in masks])
        order = [index for index in np.argsort(areas, kind="stable").tolist() if areas[index]]  # no empty candidate
        place = {"smallest": 0, "middle": len(order) // 2, "largest": -1}[self.choose]
        return int(order[place]) if order else 0
