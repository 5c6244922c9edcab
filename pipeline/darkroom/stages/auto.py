"""`auto`: choose among SAM's automatic masks by position, size or text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import cv2
import numpy as np
from pydantic import Field, model_validator

from darkroom.imaging.masks import to_uint8
from darkroom.stages.base import Problem, Stage, stage
from darkroom.stages.fields import OptionalPhrases, Point, Share, Units, foreign_syntax_warnings
from darkroom.stages.geometry import check_fractions, points_in_pixels
from darkroom.stages.heatmap import Space, find_heatmap, mean_under, soft_iou

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models
    from darkroom.models.interfaces import Segments

Score = Annotated[float, Field(ge=0, le=2)]  # SAM's estimate of an IoU, which may slightly exceed 1


@stage
class Auto(Stage):
    """SAM finds objects at a grid of clicks, and some of them become the mask. The artifact `segments` shows all.

    Like the automatic masks of the SAM paper (arXiv 2304.02643, section 5): a grid of clicks, filtered by score and
    stability, and of similar masks the one with the best score. The confidence is the lowest score of the chosen
    masks; with `text` it is the mean of the heatmap under the mask.
    """

    version: ClassVar[int] = 3
    uses: ClassVar[tuple[ModelKind, ...]] = ("sam", "clipseg")
    reports_confidence: ClassVar[bool] = True

    choose: Literal["nearest", "largest", "smallest", "text"] = Field(
        "nearest",
        description="Which objects to take: the `nearest` to `point`, the `largest`, the `smallest`, or with "
        "`text` those that overlap the heatmap of `phrase` best.",
    )
    objects: int = Field(1, ge=1, le=100, description="Maximum number of objects in the mask.")
    point: Point | None = Field(
        None, description="With `nearest`: the point to measure from, [x, y]; `null` is the centre of the photo."
    )
    units: Units = "pixels"
    phrase: OptionalPhrases = Field(
        (), description="With `text`: what to take, such as `the car`; one phrase or several."
    )
    without: OptionalPhrases = Field(
        (), description="With `text`: similar-looking things to avoid; one phrase or several."
    )
    combine: Space = "logit"
    min_heat: Share = Field(0.2, description="With `text`: minimum mean of the heatmap over an object.")
    min_area: Share = Field(0.005, description="Smallest object, as a share of the photo.")
    max_area: Share = Field(0.5, description="Largest object, as a share of the photo; anything larger is background.")
    min_score: Score = Field(0.6, description="Minimum IoU that SAM predicts for a mask. The SAM authors use 0.88.")
    min_stability: Share = Field(
        0.6,
        description="Minimum IoU between a mask cut at a slightly higher and at a slightly lower threshold. "
        "The SAM authors use 0.95.",
    )
    same: Share = Field(0.7, description="Two masks with at least this IoU are one object, and one of them is dropped.")
    grid: int = Field(
        16,
        ge=1,
        le=64,
        description="Clicks along each side of the photo. Small objects need more; the cost grows with the square.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.choose == "text" and not self.phrase:
            raise ValueError("`choose: text` needs a `phrase`")
        if self.choose != "text" and (self.phrase or self.without):
            raise ValueError("`phrase` and `without` need `choose: text`")
        if self.choose != "nearest" and self.point:
            raise ValueError("`point` needs `choose: nearest`")
        if self.min_area > self.max_area:
            raise ValueError(f"min_area {self.min_area} is more than max_area {self.max_area}: nothing is left")
        check_fractions(self.units, [self.point] if self.point else [])
        return self

    def warnings(self, models: Models) -> Iterator[Problem]:
        """See `Stage.warnings`: phrases with the syntax of another tool."""
        for key in ("phrase", "without"):
            yield from foreign_syntax_warnings(key, getattr(self, key))

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `PhotoError` for a point outside the photo."""
        shown = edit.flattened
        found = self._filtered(models.sam.segment_everything(shown, self.grid))
        artifacts = {"segments": _drawn(found.masks, edit.size)}
        if self.choose == "text":
            artifacts["heat"] = find_heatmap(models, shown, self.phrase, self.without, self.combine)
        chosen = self._ranked(found.masks, artifacts.get("heat"), edit.size)[: self.objects]
        union, scores = np.zeros(shown.shape[:2], bool), []
        for index in chosen:
            mask, score = _at_full_size(models, shown, found.masks[index], found.clicks[index])
            union |= mask
            scores.append(score)
        confidence = mean_under(union, artifacts["heat"]) if self.choose == "text" else min(scores, default=None)
        return edit.with_mask(union, confidence, artifacts=artifacts)

    def _filtered(self, segments: Segments) -> Segments:
        """The segments with the right size, score and stability, best score first, without duplicates."""
        areas = segments.masks.mean(axis=(1, 2))
        good = (areas >= self.min_area) & (areas <= self.max_area) & (areas > 0)
        good &= (segments.scores >= self.min_score) & (segments.stability >= self.min_stability)
        order = np.argsort(-segments.scores, kind="stable")
        kept = _distinct(segments.masks, order[good[order]], self.same)
        return type(segments)(*(values[kept] for values in segments))

    def _ranked(
        self, masks: np.ndarray, heatmap: np.ndarray | None, size: tuple[int, int]
    ) -> Sequence[int] | np.ndarray:
        """The indices of the masks, the best first by `choose`.

        Args:
            masks: (N, h, w) bool.
            heatmap: (H, W) float32 in [0, 1], for `text`; masks below `min_heat` are dropped.
            size: (width, height) of the photo in pixels.
        """
        if heatmap is not None:
            return self._ranked_by_heatmap(masks, heatmap)
        if self.choose == "nearest":
            return np.argsort(self._distances(masks, size), kind="stable")
        areas = masks.sum(axis=(1, 2))
        return np.argsort(areas if self.choose == "smallest" else -areas, kind="stable")

    def _ranked_by_heatmap(self, masks: np.ndarray, heatmap: np.ndarray) -> Sequence[int]:
        small = cv2.resize(heatmap, masks.shape[:0:-1], interpolation=cv2.INTER_AREA)
        found = [index for index, mask in enumerate(masks) if small[mask].mean() >= self.min_heat]
        return sorted(found, key=lambda index: -soft_iou(masks[index], small))

    def _distances(self, masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The distance from `point` to the nearest pixel of each mask, in units of the photo's sides; (N,) float64."""
        middle = (size[0] - 1) / 2, (size[1] - 1) / 2
        at = points_in_pixels([self.point], self.units, size)[0] if self.point else np.array(middle)
        column, row = ((at + 0.5) / size * masks.shape[:0:-1]).astype(int)
        rows, columns = np.ogrid[: masks.shape[1], : masks.shape[2]]
        distance = np.hypot((rows - row) / masks.shape[1], (columns - column) / masks.shape[2])
        nearest: np.ndarray = np.where(masks, distance, np.inf).min(axis=(1, 2), initial=np.inf)
        return nearest


def _distinct(masks: np.ndarray, order: np.ndarray, same: float) -> np.ndarray:
    """The indices in `order`, without those whose mask has an IoU of at least `same` with an earlier one."""
    areas, kept = masks.sum(axis=(1, 2)), []
    while len(order):
        first, order = order[0], order[1:]
        kept.append(first)
        common = (masks[order] & masks[first]).sum(axis=(1, 2))
        order = order[common < same * (areas[order] + areas[first] - common)]
    return np.array(kept, int)


def _at_full_size(models: Models, image: np.ndarray, coarse: np.ndarray, click: np.ndarray) -> tuple[np.ndarray, float]:
    """SAM's mask of a click at the photo's size, (H, W) bool, and its score.

    Of the three candidates the one with the best IoU with the coarse mask is taken.
    """
    soft = cv2.resize(coarse.astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    masks, scores = models.sam.masks(image, click[None], np.ones(1, int), None)
    return max(zip(masks, scores, strict=True), key=lambda candidate: soft_iou(candidate[0], soft))


def _drawn(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """All masks in one picture, (H, W) uint8, each in its own grey, small ones on top."""
    picture = np.zeros(masks.shape[1:], np.float32)
    for rank, index in enumerate(np.argsort(-masks.sum(axis=(1, 2)), kind="stable"), 1):
        picture[masks[index]] = rank / len(masks)
    return cv2.resize(to_uint8(picture), size, interpolation=cv2.INTER_NEAREST)
