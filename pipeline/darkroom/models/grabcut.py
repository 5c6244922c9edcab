"""GrabCut: cuts an object out by its colours, without a learned model.

Source: Rother, Kolmogorov and Blake, "GrabCut", SIGGRAPH 2004; as implemented in OpenCV.
"""

from __future__ import annotations

import cv2
import numpy as np

from darkroom.errors import PhotoError

_SEED = 0  # of the k-means that starts GrabCut's colour models


def reduced_size(size: tuple[int, int], longer_side: int) -> tuple[int, int]:
    """The (width, height) of a copy for `cut_out`, whose cost grows faster than the area; never larger than `size`."""
    scale = min(1.0, longer_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def cut_out(image: np.ndarray, hints: np.ndarray, iterations: int) -> np.ndarray:
    """The object in a photo.

    Args:
        image: (H, W, 3) uint8 RGB.
        hints: (h, w) uint8, GrabCut's initial labels (`cv2.GC_BGD` and so on). The photo is reduced to this size.
        iterations: of GrabCut.

    Returns:
        (H, W) bool; the outline is smoothed when the mask is enlarged.

    Raises:
        PhotoError: all of the photo may be object, or none of it.
    """
    if _is_inside(hints).all() or not _is_inside(hints).any():
        raise PhotoError("the box must hold some of the photo and leave some outside, as grabcut compares them")
    size, small = image.shape[1::-1], hints.shape[::-1]
    hints, models = hints.copy(), np.zeros((2, 1, 65))
    cv2.setRNGSeed(_SEED)
    no_box = (0, 0, 0, 0)  # unused: the labels replace it
    reduced = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    cv2.grabCut(reduced, hints, no_box, models[0], models[1], iterations, cv2.GC_INIT_WITH_MASK)
    inside = _is_inside(hints)
    return inside if small == size else _enlarged(inside, size)


def _is_inside(hints: np.ndarray) -> np.ndarray:
    return np.isin(hints, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _enlarged(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A bool mask at a larger (width, height); the blur turns the steps of its outline into a smooth line."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)
    return cv2.resize(soft, size, interpolation=cv2.INTER_CUBIC) >= 0.5
