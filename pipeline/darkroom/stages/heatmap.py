"""CLIPSeg's heats of phrases -> one heat -> a mask. What `text`, `clip_diff`, `snap` and `auto` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import cv2
import numpy as np
from pydantic import Field

from darkroom.stages.fields import Texts, Threshold, as_tuple

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

_SURE = np.float32(1 - 1e-6)  # a float32 probability nearer to 1 has no odds worth the name


def heat_of(models: Models, image: np.ndarray, wanted: Texts, unwanted: Texts, space: Space) -> np.ndarray:
    """How much each pixel shows of what is wanted and not of what is not; see `combined`.

    Args:
        image: (H, W, 3) uint8.

    Returns:
        (H, W) float32 in [0, 1].
    """
    wanted, unwanted = as_tuple(wanted), as_tuple(unwanted)
    heats = models.clipseg.heatmaps(image, (*wanted, *unwanted))
    return combined(heats[: len(wanted)], heats[len(wanted) :], space)


def combined(wanted: np.ndarray, unwanted: np.ndarray, space: Space) -> np.ndarray:
    """One heat of several. Without unwanted ones it is, but for `softmax`, the hottest wanted one.

    With log-odds w of the wanted and u of the unwanted, `logit` is sigmoid(w - max(0, u)): what is more likely than
    the unwanted, unless it is unlikely itself; plainly subtracted, the background, where both are cold, would glow.
    For the same reason `softmax` has a class for "none of them", of log-odds 0.

    Args:
        wanted: (P, H, W) float32 in [0, 1].
        unwanted: (Q, H, W); Q may be 0.

    Returns:
        (H, W) float32 in [0, 1].
    """
    if space == "softmax":
        yes, no = _odds(wanted).sum(axis=0), _odds(unwanted).sum(axis=0)
        return yes / (1 + yes + no)
    if not len(unwanted):
        return wanted.max(axis=0)
    yes, no = wanted.max(axis=0), unwanted.max(axis=0)
    if space == "probability":
        return np.maximum(yes - no, 0)
    return _odds(yes) / (_odds(yes) + np.maximum(1, _odds(no)))


def _odds(heat: np.ndarray) -> np.ndarray:
    heat = np.minimum(heat, _SURE)
    return heat / (1 - heat)


def white(heat: np.ndarray, cut: Threshold) -> np.ndarray:
    """Where a heat, (H, W) float32 in [0, 1], counts as found, (H, W) bool.

    A heat of 0 never does: a threshold of 0 means "any trace of it".
    """
    if cut == "otsu":
        return _split(np.rint(heat * 255).astype(np.uint8))
    level = np.percentile(heat, float(cut[1:])) if isinstance(cut, str) else cut
    return (heat >= level) & (heat > 0)


def _split(levels: np.ndarray) -> np.ndarray:
    """The brighter of the two groups into which Otsu's method parts the pixels; none where all are equal."""
    level, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return (levels > level) & bool(np.ptp(levels))


def overlap(mask: np.ndarray, heat: np.ndarray) -> float:
    """Soft intersection over union of an (H, W) bool mask and an (H, W) heat in [0, 1]; 1 where they agree."""
    inside = float(heat[mask].sum())
    return inside / max(float(mask.sum()) + float(heat.sum()) - inside, 1e-9)


def warmth(mask: np.ndarray, heat: np.ndarray) -> float | None:
    """Mean of an (H, W) heat in [0, 1] under an (H, W) mask, bool or in [0, 1]; None under an empty one."""
    area = float(mask.sum(dtype=np.float64))
    return float((mask * heat).sum(dtype=np.float64)) / area if area else None


def from_heat(edit: Edit, heat: np.ndarray, cut: Threshold | None) -> Edit:
    """The edit masked where the heat is white, or by the heat itself; with the heat as an artifact.

    The confidence is the mean heat under the mask.
    """
    mask = heat if cut is None else white(heat, cut)
    return edit.with_mask(mask, warmth(mask, heat), heat=heat)
