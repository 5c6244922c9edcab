"""From CLIPSeg's heatmaps to one heatmap and a mask, for `text`, `clip_diff`, `snap` and `auto`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import cv2
import numpy as np
from pydantic import Field

from darkroom.stages.fields import Phrases, Threshold, as_tuple

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import Models

Space = Annotated[
    Literal["probability", "logit", "softmax"],
    Field(
        description="How `without` counts. `logit`: subtracts log-odds where an unwanted phrase is likely; "
        "0.5 keeps the pixels that are likely *and* likelier than every unwanted phrase; best "
        "for lookalikes. `probability`: subtracts heatmaps, which loses every pixel that both "
        "share; needs a threshold near 0.3. `softmax`: all phrases and *none of them* compete "
        "for each pixel, and several wanted phrases add up; the strictest, for many phrases.",
    ),
]

_MAX_PROBABILITY = np.float32(1 - 1e-6)  # the odds of float32 probabilities closer to 1 are too coarse


def find_heatmap(models: Models, image: np.ndarray, wanted: Phrases, unwanted: Phrases, space: Space) -> np.ndarray:
    """How much each pixel shows the wanted phrases and not the unwanted ones; see `combine_heatmaps`.

    Args:
        models: the models of the run.
        image: (H, W, 3) uint8.
        wanted: one phrase or several.
        unwanted: one phrase, several or none.
        space: see `combine_heatmaps`.

    Returns:
        (H, W) float32 in [0, 1].
    """
    wanted, unwanted = as_tuple(wanted), as_tuple(unwanted)
    heatmaps = models.clipseg.heatmaps(image, (*wanted, *unwanted))
    return combine_heatmaps(heatmaps[: len(wanted)], heatmaps[len(wanted) :], space)


def combine_heatmaps(wanted: np.ndarray, unwanted: np.ndarray, space: Space) -> np.ndarray:
    """One heatmap from several. Without unwanted ones it is their maximum, except for `softmax`.

    With the log-odds w of the wanted and u of the unwanted phrases, `logit` is sigmoid(w - max(0, u)). Plain
    sigmoid(w - u) would be high in the background, where both are unlikely. For the same reason `softmax` has a class
    "none of them" with log-odds 0.

    Args:
        wanted: (P, H, W) float32 in [0, 1].
        unwanted: (Q, H, W) float32 in [0, 1]; Q may be 0.
        space: how the unwanted ones count; see above.

    Returns:
        (H, W) float32 in [0, 1].
    """
    if space == "softmax":
        yes, no = _odds(wanted).sum(axis=0), _odds(unwanted).sum(axis=0)
        return np.asarray(yes / (1 + yes + no))
    if not len(unwanted):
        return np.asarray(wanted.max(axis=0))
    yes, no = np.asarray(wanted.max(axis=0)), np.asarray(unwanted.max(axis=0))
    if space == "probability":
        return np.asarray(np.maximum(yes - no, 0))
    return np.asarray(_odds(yes) / (_odds(yes) + np.maximum(1, _odds(no))))


def _odds(probability: np.ndarray) -> np.ndarray:
    probability = np.minimum(probability, _MAX_PROBABILITY)
    return np.asarray(probability / (1 - probability))


def apply_threshold(heatmap: np.ndarray, threshold: Threshold) -> np.ndarray:
    """The pixels of a heatmap, (H, W) float32 in [0, 1], that reach a threshold: (H, W) bool.

    A value of 0 never does, so a threshold of 0 means "above 0".
    """
    if threshold == "otsu":
        return _brighter_group(np.rint(heatmap * 255).astype(np.uint8))
    level = np.percentile(heatmap, float(threshold[1:])) if isinstance(threshold, str) else threshold
    return np.asarray((heatmap >= level) & (heatmap > 0))


def _brighter_group(levels: np.ndarray) -> np.ndarray:
    """The brighter of the two groups of pixels that Otsu's method finds; none if all pixels are equal."""
    level, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return np.asarray((levels > level) & bool(np.ptp(levels)))


def soft_iou(mask: np.ndarray, heatmap: np.ndarray) -> float:
    """Soft intersection over union of an (H, W) bool mask and an (H, W) heatmap in [0, 1]; 1 if they are equal."""
    inside = float(heatmap[mask].sum())
    return inside / max(float(mask.sum()) + float(heatmap.sum()) - inside, 1e-9)


def mean_under(mask: np.ndarray, heatmap: np.ndarray) -> float | None:
    """Mean of an (H, W) heatmap in [0, 1] under an (H, W) mask, bool or in [0, 1]; None if the mask is empty."""
    area = float(mask.sum(dtype=np.float64))
    return float((mask * heatmap).sum(dtype=np.float64)) / area if area else None


def mask_from_heatmap(edit: Edit, heatmap: np.ndarray, threshold: Threshold | None) -> Edit:
    """The edit with a mask from a heatmap, and the heatmap as the artifact `heat`.

    The confidence is the mean of the heatmap under the mask.

    Args:
        edit: to be masked.
        heatmap: (H, W) float32 in [0, 1].
        threshold: None makes the heatmap itself a soft mask.
    """
    mask = heatmap if threshold is None else apply_threshold(heatmap, threshold)
    return edit.with_mask(mask, mean_under(mask, heatmap), artifacts={"heat": heatmap})
