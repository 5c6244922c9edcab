"""The number format of masks and heatmaps: uint8, 0 to 255, from the stage that makes one to the file.

Blurs, ramps and models need fractions: `to_float` and `to_uint8` convert there and back.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from PIL import Image

from darkroom.imaging.bands import by_bands

_TILE = 256  # px


def to_uint8(values: np.ndarray) -> np.ndarray:
    """A mask or heatmap in the number format of `Edit`, (H, W) uint8; always a new array.

    Args:
        values: (H, W): bool, where True becomes 255; float, which is clipped to [0, 1] and rounded to steps of 1/255;
            or uint8, which is copied.
    """
    if values.dtype == np.uint8:
        return values.copy()
    if values.dtype == np.bool_:
        return values * np.uint8(255)
    return by_bands(_rounded, values)


def to_float(mask: np.ndarray) -> np.ndarray:
    """An (H, W) uint8 mask as float32 in [0, 1]."""
    return mask / np.float32(255)


def resized(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An (H, W) uint8 mask at another size, (width, height); hard edges become a pixel or so of grey.

    Pillow's bilinear filter averages over all pixels when it shrinks.
    """
    return np.array(Image.fromarray(mask).resize(size, Image.Resampling.BILINEAR))


def depth(mask: np.ndarray) -> np.ndarray:
    """The distance in px from each pixel of an (H, W) bool mask to the nearest one outside, (H, W) float32; 0 outside.

    It is huge if nothing is outside. OpenCV's exact transform (Felzenszwalb and Huttenlocher, 2012) is 16 times as fast
    as SciPy's. The last bits of its roots depend on the number of threads and on the array's address in memory, so the
    squares are rounded to the whole numbers that they are; up to 4096 px, float32 holds these exactly.
    """
    squares: np.ndarray = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    squares *= squares
    np.sqrt(np.rint(squares, out=squares), out=squares)
    return squares


def depth_up_to(mask: np.ndarray, reach: float) -> np.ndarray:
    """`depth` where it is at most `reach` px; elsewhere inside, anything above that. It computes near edges only."""
    pad = math.ceil(reach)
    side, result = max(_TILE, 4 * pad), np.zeros(mask.shape, np.float32)
    for top in range(0, mask.shape[0], side):
        for left in range(0, mask.shape[1], side):
            tile = slice(top, top + side), slice(left, left + side)
            if mask[tile].any():
                first, start = max(0, top - pad), max(0, left - pad)
                around = mask[first : top + side + pad, start : left + side + pad]
                height, width = mask[tile].shape
                inner = slice(top - first, top - first + height), slice(left - start, left - start + width)
                result[tile] = np.inf if around.all() else depth(around)[inner]
    return result


def _rounded(values: np.ndarray) -> np.ndarray:
    clipped: np.ndarray = np.clip(values.astype(np.float32), 0, 1)
    return np.rint(clipped * np.float32(255)).astype(np.uint8)
