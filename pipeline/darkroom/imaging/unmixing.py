"""The colours on both sides of a soft edge, from a photo and its alpha. Arrays only.

Blur fusion (Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021, arXiv 2006.14970): on each side, the
means of the colours around a pixel, weighted by alpha, are a first guess; what the pixel lacks to be their mixture is
then shared out between both. Done with a large window, then with a small one.
"""

from __future__ import annotations

import cv2
import numpy as np

from darkroom.imaging.bands import bands
from darkroom.imaging.layers import Layers, is_band
from darkroom.imaging.matting import box_mean, enlarged_rows, working_size

_WINDOWS = (1 / 19, 1 / 150)  # radius of each pass, as a share of the longer side


def unmixed(image: np.ndarray, alpha: np.ndarray) -> Layers:
    """The colours inside and outside, where alpha is neither 0 nor 255; black elsewhere.

    The guesses are made on a reduced copy; the photo's own pixels get what they lack at full size.

    Args:
        image: (H, W, 3) uint8 RGB.
        alpha: (H, W) uint8.
    """
    inside, outside = _guesses(image, alpha)
    layers = Layers(np.zeros_like(image), np.zeros_like(image))
    for rows in bands(*alpha.shape):
        band = is_band(alpha[rows])
        near, far = (enlarged_rows(each, alpha.shape, rows)[band] for each in (inside, outside))
        share = alpha[rows][band][:, None] / np.float32(255)
        pair = _shared_out(image[rows][band] / np.float32(255), share, near, far)
        for whole, part in zip((layers.inside, layers.outside), pair, strict=True):
            whole[rows][band] = np.rint(255 * np.clip(part, 0, 1))
    return layers


def _guesses(image: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The colours inside and outside on a reduced copy, both (h, w, 3) float32 in [0, 1]."""
    size = working_size(alpha.shape)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) / np.float32(255)
    share = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)[..., None] / np.float32(255)
    inside = outside = small
    for window in _WINDOWS:
        radius = max(1, round(window * max(size)))
        inside, outside = _mean(inside, share, radius), _mean(outside, 1 - share, radius)
        inside, outside = (np.clip(each, 0, 1) for each in _shared_out(small, share, inside, outside))
    return inside, outside


def _mean(colours: np.ndarray, weights: np.ndarray, radius: int) -> np.ndarray:
    """The weighted mean of the colours around each pixel; its own colour where none around it counts."""
    total = box_mean(weights, radius)
    mean = box_mean(colours * weights, radius) / np.maximum(total, np.float32(1e-5))
    return np.where(total > 1e-5, mean, colours)


def _shared_out(
    image: np.ndarray, alpha: np.ndarray, inside: np.ndarray, outside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both colours, changed as little as possible so that their mixture is the image."""
    lacking = (image - alpha * inside - (1 - alpha) * outside) / (alpha**2 + (1 - alpha) ** 2)
    return inside + alpha * lacking, outside + (1 - alpha) * lacking
