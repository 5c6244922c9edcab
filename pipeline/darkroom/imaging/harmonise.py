"""Colour correction of a repaint, learned from a ring around the mask. Arrays only.

The model returns a whole picture, so every pixel around the mask exists twice: in the photo, and as the model repainted
it. Their difference is the colour error of the model, and is removed from what will be pasted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import cv2
import numpy as np

from darkroom.imaging.masks import depth

Harmoniser = Literal["none", "mean_std", "histogram", "poisson"]

# All four are heuristics. Width of the ring, as a share of the working picture's longer side: narrow enough for one
# light, wide enough for several textures.
RING = 1 / 16
# With fewer ring pixels the statistics mean nothing, and the picture stays as it is.
LEAST = 64
# Largest change of contrast, as a factor either way: a ring of a single colour would allow any.
CONTRAST = 1.5
# Longest side, in cells, of the grid on which the membrane is solved; it is smooth, and its cost grows with the area.
GRID = 256


def harmonised(photo: np.ndarray, mask: np.ndarray, painted: np.ndarray, how: Harmoniser) -> np.ndarray:
    """A painted picture with its colours corrected to match the photo around the mask.

    If the ring around the mask has fewer than `LEAST` pixels, the picture stays as it is.

    Args:
        photo: (h, w, 3) uint8 RGB.
        mask: (h, w) bool, True where the painted picture will be pasted.
        painted: (h, w, 3) uint8 RGB, the model's whole picture.
        how: `mean_std` and `histogram` correct by colour, `poisson` by position.

    Returns:
        (h, w, 3) uint8 RGB; meaningful inside the mask only.
    """
    if how == "none":
        return painted
    ring = ~mask & (depth(~mask) <= max(mask.shape) * RING)
    if np.count_nonzero(ring) < LEAST:
        return painted
    corrected = _METHODS[how](photo.astype(np.float32), ring, mask, painted.astype(np.float32))
    result: np.ndarray = np.rint(np.clip(corrected, 0, 255)).astype(np.uint8)
    return result


def _mean_std(photo: np.ndarray, ring: np.ndarray, _mask: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """Match the ring's mean and standard deviation in CIE Lab, whose channels are nearly independent.

    After Reinhard et al., Color Transfer between Images, 2001, who match whole pictures in a similar colour space.
    """
    old, new = (cv2.cvtColor(picture / 255, cv2.COLOR_RGB2LAB) for picture in (photo, painted))
    gain = np.clip((old[ring].std(axis=0) + 1e-3) / (new[ring].std(axis=0) + 1e-3), 1 / CONTRAST, CONTRAST)
    matched = (new - new[ring].mean(axis=0)) * gain + old[ring].mean(axis=0)
    rgb: np.ndarray = cv2.cvtColor(matched, cv2.COLOR_LAB2RGB) * 255
    return rgb


def _histogram(photo: np.ndarray, ring: np.ndarray, _mask: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """Shift the levels of R, G and B so that the ring's percentiles agree.

    Levels outside the ring's range shift like its nearest one, so that colours that do not occur in the ring survive.
    """
    percent = np.linspace(2, 98, 25)
    corrected = np.empty_like(painted)
    for channel in range(3):
        current, target = (np.percentile(picture[ring][:, channel], percent) for picture in (painted, photo))
        levels, index = np.unique(current, return_inverse=True)
        shifts = np.bincount(index, target - current) / np.bincount(index)
        corrected[..., channel] = painted[..., channel] + np.interp(painted[..., channel], levels, shifts)
    return corrected


def _poisson(photo: np.ndarray, _ring: np.ndarray, mask: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """Keep the gradients of the painted picture, and the photo's colours at the edge of the mask.

    Perez, Gangnet and Blake, Poisson Image Editing, 2003: the correction is a membrane, the smoothest surface through
    the differences along the edge. It is solved on a grid of at most `GRID` cells a side; the difference of a cell is
    the mean over its pixels outside the mask. The picture's border has no colours, and constrains nothing.
    """
    height, width = mask.shape
    scale = min(1, GRID / max(height, width))
    grid = max(1, round(width * scale)), max(1, round(height * scale))  # width, height, as in OpenCV
    known = cv2.resize((~mask).astype(np.float32), grid, interpolation=cv2.INTER_AREA)
    sums = cv2.resize(np.where(mask[..., None], 0, photo - painted), grid, interpolation=cv2.INTER_AREA)
    free = known < 1e-3
    surface = np.where(free[..., None], 0, sums / np.maximum(known, 1e-3)[..., None])
    if free.any():
        surface[free] = _membrane(free, surface)
    correction = cv2.resize(surface.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    corrected: np.ndarray = painted + correction
    return corrected


def _membrane(free: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The smoothest values of the free cells: each is the mean of its neighbours.

    Args:
        free: (h, w) bool, not True everywhere.
        values: (h, w, C), the values of the other cells.

    Returns:
        (N, C) for the N free cells.
    """
    from scipy.sparse import csc_array
    from scipy.sparse.linalg import splu

    count = np.count_nonzero(free)
    number = np.full(free.shape, -1)
    number[free] = np.arange(count)
    neighbours, known = np.zeros(count), np.zeros((count, values.shape[-1]))  # number of all, sum of those not free
    pairs = []
    for here, there in _NEIGHBOURS:
        inside = free[here]
        cell, beside, value = number[here][inside], number[there][inside], values[there][inside]
        neighbours[cell] += 1
        known[cell] += np.where(beside[:, None] < 0, value, 0)
        pairs.append(np.stack([cell, beside])[:, beside >= 0])
    rows, columns = np.concatenate(pairs, axis=1)
    diagonal = np.arange(count)
    entries = np.concatenate([neighbours, np.full(len(rows), -1.0)])
    places = np.concatenate([diagonal, rows]), np.concatenate([diagonal, columns])
    matrix = csc_array((entries, places), shape=(count, count))
    solution: np.ndarray = splu(matrix, permc_spec="MMD_AT_PLUS_A").solve(known)
    return solution


_ALL, _FRONT, _BACK = slice(None), slice(-1), slice(1, None)
_UPPER, _LOWER, _LEFT, _RIGHT = (_FRONT, _ALL), (_BACK, _ALL), (_ALL, _FRONT), (_ALL, _BACK)
_NEIGHBOURS = ((_UPPER, _LOWER), (_LOWER, _UPPER), (_LEFT, _RIGHT), (_RIGHT, _LEFT))

_METHODS: Mapping[str, Callable[..., np.ndarray]] = MappingProxyType(
    {"mean_std": _mean_std, "histogram": _histogram, "poisson": _poisson}
)
