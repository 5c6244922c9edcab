"""Measures how much two pictures differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from darkroom.errors import DarkroomError

# Wang, Bovik, Sheikh and Simoncelli: Image quality assessment: from error visibility to structural similarity,
# IEEE Transactions on Image Processing 13(4), 2004, section III: a Gaussian window of 11 x 11 pixels, K1, K2.
_SIGMA = 1.5
_RADIUS = 5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

_ROWS = 256  # per step, so that large photos need little memory


class SizesDiffer(DarkroomError):
    """Two pictures have different sizes and cannot be compared."""


@dataclass(frozen=True)
class Difference:
    """The difference of two pictures; as a text, `identical` or the three figures.

    Attributes:
        max: the largest difference over all pixels and channels, 0 to 255.
        mean: the mean difference over all pixels and channels, 0 to 255.
        ssim: mean structural similarity of the three channels, -1 to 1; 1 for identical pictures.
    """

    max: int
    mean: float
    ssim: float

    def __str__(self) -> str:
        return f"max {self.max} of 255, mean {self.mean:.4f}, SSIM {self.ssim:.5f}" if self.max else "identical"


def compare(one: np.ndarray, other: np.ndarray) -> Difference:
    """The difference of two pictures, whichever comes first.

    Args:
        one: (H, W, 3) uint8, at least 1 x 1.
        other: (H, W, 3) uint8.

    Raises:
        SizesDiffer: the pictures have different sizes.
    """
    if one.shape != other.shape:
        first, second = (f"{picture.shape[1]} x {picture.shape[0]} px" for picture in (one, other))
        raise SizesDiffer(f"{first} and {second}: only pictures of the same size can be compared")
    if np.array_equal(one, other):
        return Difference(0, 0.0, 1.0)
    distance = np.maximum(one, other) - np.minimum(one, other)
    return Difference(int(distance.max()), float(distance.mean()), _ssim(one, other))


def _ssim(one: np.ndarray, other: np.ndarray) -> float:
    """The mean over all pixels and channels. The window sees the pictures mirrored beyond their edges."""
    padding = ((_RADIUS, _RADIUS), (0, 0), (0, 0))
    one, other = (np.pad(picture, padding, mode="symmetric") for picture in (one, other))
    total = 0.0
    for start in range(0, len(one) - 2 * _RADIUS, _ROWS):
        rows = slice(start, start + _ROWS + 2 * _RADIUS)
        total += float(_similarity(one[rows].astype(float), other[rows].astype(float))[_RADIUS:-_RADIUS].sum())
    return min(1.0, total / one[2 * _RADIUS :].size)  # rounding can exceed 1 for nearly equal pictures


def _similarity(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The SSIM index of every pixel and channel, (H, W, 3) float64."""

    def mean(values: np.ndarray) -> np.ndarray:
        filtered: np.ndarray = gaussian_filter(values, _SIGMA, radius=_RADIUS, axes=(0, 1))
        return filtered

    mean_one, mean_other = mean(one), mean(other)
    means, squares = mean_one * mean_other, mean_one**2 + mean_other**2
    covariance = mean(one * other) - means
    variances = mean(one**2 + other**2) - squares
    similarity: np.ndarray = (2 * means + _C1) * (2 * covariance + _C2) / ((squares + _C1) * (variances + _C2))
    return similarity
