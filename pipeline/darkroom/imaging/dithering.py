"""Fractions of colour levels as a fine pattern, so that slow gradients show no steps. Arrays only."""

from __future__ import annotations

import numpy as np


def dithered(values: np.ndarray, start: int = 0) -> np.ndarray:
    """Values from 0 to 255 as uint8; fractions become a fine pattern, so that slow gradients show no steps.

    Ordered dithering (Bayer, ICC 1973). Whole numbers stay exact.

    Args:
        values: (h, W) or (h, W, 3) float, rows of a picture.
        start: number of the first row.
    """
    height, width = values.shape[:2]
    rows, columns = np.arange(start, start + height) % 8, np.arange(width) % 8
    pattern = _BAYER[rows[:, None], columns]
    pattern = pattern if values.ndim == 2 else pattern[..., None]
    result: np.ndarray = np.clip(np.floor(values + pattern), 0, 255).astype(np.uint8)
    return result


def _bayer() -> np.ndarray:
    """The 8 x 8 matrix of thresholds, above 0 and below 1."""
    matrix = np.zeros((1, 1))
    for _ in range(3):
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    return ((matrix + 0.5) / 64).astype(np.float32)


_BAYER = _bayer()
