"""How much the edge of a repaint shows. Knows arrays only."""

from __future__ import annotations

import cv2
import numpy as np


def seam(image: np.ndarray, touched: np.ndarray) -> float | None:
    """The mean step across the edge of a mask: between neighbours of which one was touched and the other was not.

    Args:
        image: (H, W, 3) uint8 RGB.
        touched: (H, W) bool.

    Returns:
        In CIE Lab, Delta E of 1976, where about 2.3 is just noticeable (Mahy, Van Eycken and Oosterlinck, 1994); None
        where the mask has no edge.
    """
    down = touched[1:] != touched[:-1]
    right = touched[:, 1:] != touched[:, :-1]
    one = np.concatenate([image[1:][down], image[:, 1:][right]])
    other = np.concatenate([image[:-1][down], image[:, :-1][right]])
    if not len(one):
        return None
    return float(np.linalg.norm(_lab(one) - _lab(other), axis=1).mean())


def seam_figures(before: np.ndarray, after: np.ndarray, alpha: np.ndarray) -> dict[str, float]:
    """What a repaint records of its seam: the step across its edge, and the same in the picture before it.

    Args:
        before: (H, W, 3) uint8 RGB.
        after: likewise.
        alpha: (H, W) uint8, the share of new picture.
    """
    figures = {"seam": seam(after, alpha > 0), "seam_before": seam(before, alpha > 0)}
    return {label: round(value, 3) for label, value in figures.items() if value is not None}


def _lab(pixels: np.ndarray) -> np.ndarray:
    """(N, 3) uint8 sRGB as CIE Lab."""
    return cv2.cvtColor(pixels[:, None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[:, 0]
