"""Objects that a phrase names, from CLIPSeg's heatmap and SAM's automatic masks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from darkroom.models.interfaces import Instances
from darkroom.stages.heatmap import find_heatmap, soft_iou

if TYPE_CHECKING:
    from darkroom.models import Models
    from darkroom.models.interfaces import Segments

# Chosen on drawn scenes with two objects of one kind (`make eval-masks`).
_GRID = 16  # clicks along each side
_MIN_HEAT = 0.15  # mean heat of a mask that shows the object
_USUAL = 0.2  # score of an object
_MIN_AREA, _MAX_AREA = 0.002, 0.6  # as shares of the photo
_MIN_SCORE, _MIN_STABILITY = 0.7, 0.7  # of SAM: see `auto`
_OVERLAP = 0.4  # share of the smaller mask above which two masks show one object


def find_by_heat(models: Models, image: np.ndarray, phrases: Sequence[str]) -> Instances:
    """The objects that phrases name: those of SAM's masks that hold most heat, without those that overlap them.

    Args:
        models: the models of the run.
        image: (H, W, 3) uint8.
        phrases: what to find; of several, the strongest counts.

    Returns:
        the objects; the score of one is the mean heat in its mask.
    """
    heatmap = find_heatmap(models, image, tuple(phrases), (), "logit")
    segments = models.sam.segment_everything(image, _GRID)
    small = cv2.resize(heatmap, segments.masks.shape[:0:-1], interpolation=cv2.INTER_AREA)
    kept = _objects(segments, small)
    scores = np.array([small[segments.masks[index]].mean() for index in kept], np.float32)
    order = np.argsort(-scores, kind="stable")
    kept, scores = [kept[place] for place in order], scores[order]
    areas = np.array([segments.masks[index].mean() for index in kept], np.float32)
    return Instances(scores, areas, _USUAL, partial(_full_mask, models, image, segments, kept))


def _objects(segments: Segments, heat: np.ndarray) -> list[int]:
    """The indices of masks that show an object each, those with most heat inside and least coolness first."""
    areas = segments.masks.mean(axis=(1, 2))
    good = (areas >= _MIN_AREA) & (areas <= _MAX_AREA)
    good &= (segments.scores >= _MIN_SCORE) & (segments.stability >= _MIN_STABILITY)
    gains = {index: float((heat[segments.masks[index]] - _MIN_HEAT).sum()) for index in np.flatnonzero(good).tolist()}
    kept: list[int] = []
    for index in sorted((index for index in gains if gains[index] > 0), key=lambda index: -gains[index]):
        mask = segments.masks[index]
        common = ((mask & segments.masks[other]).sum() / min(mask.sum(), segments.masks[other].sum()) for other in kept)
        if all(share <= _OVERLAP for share in common):
            kept.append(index)
    return kept


def _full_mask(models: Models, image: np.ndarray, segments: Segments, kept: Sequence[int], number: int) -> np.ndarray:
    """SAM's mask of an object at the photo's size, (H, W) bool: of its three, the one most like the small mask."""
    coarse, click = segments.masks[kept[number]], segments.clicks[kept[number]]
    soft = cv2.resize(coarse.astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    masks, _ = models.sam.masks(image, click[None], np.ones(1, int), None)
    return max(masks, key=lambda mask: soft_iou(mask, soft))
