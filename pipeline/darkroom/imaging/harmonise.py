"""Making a painted picture suit its surroundings: by what it should have left alone. Knows arrays only.

The model returns a whole picture, so that around the mask there are two of everything: what the photo shows, and what
the model has made of it. How these differ says how its colours are off, and is taken out of what is to be pasted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import cv2
import numpy as np

Harmoniser = Literal["none", "mean_std", "histogram", "poisson"]

# Judgements, all four. Width of the ring as a share of the working picture's longer side: narrow enough to be the same
# light, wide enough to hold more than one texture.
RING = 1 / 16
# Pixels of ring below which its statistics say nothing: the picture is left as it is.
LEAST = 64
# A ring of one colour would ask for any contrast; more than this factor, either way, is not given.
CONTRAST = 1.5
# Longest side, in cells, of the grid on which the membrane is solved; it is smooth, and its cost grows with the area.
GRID = 256


def harmonised(photo: np.ndarray, mask: np.ndarray, painted: np.ndarray, how: Harmoniser) -> np.ndarray:
    """A painted picture with its colours made to suit the photo around the mask.

    A mask that leaves no ring to learn from, or less than `LEAST` pixels of it, changes nothing.

    Args:
        photo: (h, w, 3) uint8 RGB.
        mask: (h, w) bool, True where the painted picture will be taken.
        painted: (h, w, 3) uint8 RGB, as the model gave it, also outside the mask.
        how: `mean_std` and `histogram` learn how to change colours, `poisson` how to change places.

    Returns:
        (h, w, 3) uint8 RGB; only what it shows inside the mask has a meaning.
    """
    if how == "none":
        return painted
    depth = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    ring = ~mask & (depth <= max(mask.shape) * RING)
    if np.count_nonzero(ring) < LEAST:
        return painted
    changed = _WAYS[how](photo.astype(np.float32), ring, mask, painted.astype(np.float32))
    return np.rint(np.clip(changed, 0, 255)).astype(np.uint8)


def _mean_std(photo: np.ndarray, ring: np.ndarray, _mask: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """Mean and spread of the ring in CIE Lab, where channels hardly depend on each other.

    Reinhard et al., Color Transfer between Images, 2001, do so with whole pictures, in another space of that kind.
    """
    old, new = (cv2.cvtColor(each / 255, cv2.COLOR_RGB2LAB) for each in (photo, painted))
    (mean, spread), (own_mean, own_spread) = ((each[ring].mean(axis=0), each[ring].std(axis=0)) for each in (old, new))
    gain = np.clip((spread + 1e-3) / (own_spread + 1e-3), 1 / CONTRAST, CONTRAST)
    return cv2.cvtColor((new - own_mean) * gain + mean, cv2.COLOR_LAB2RGB) * 255


def _histogram(photo: np.ndarray, ring: np.ndarray, _mask: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """The levels of each of R, G and B moved so that the ring's percentiles agree.

    Levels beyond those of the ring are moved as its last ones are: what is painted may be of colours that the ring
    has not, and keeps them.
    """
    percent = np.linspace(2, 98, 25)
    changed = np.empty_like(painted)
    for channel in range(3):
        own, target = (np.percentile(each[ring][:, channel], percent) for each in (painted, photo))
        levels, first = np.unique(own, return_inverse=True)
        moves = np.bincount(first, target - own) / np.bincount(first)
        changed[..., channel] = painted[..., channel] + np.interp(painted[..., channel], levels, moves)
    return changed


def _poisson(photo: np.ndarray, _ring: np.ndarray, mask: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """The gradients of the painted picture from the photo's colours at the edge of the mask inwards.

    Perez, Gangnet and Blake, Poisson Image Editing, 2003: what is to be added is a membrane, the smoothest surface
    through the differences along the edge. It is solved on a grid of at most `GRID` cells a side; the differences of
    a cell are averaged over what is outside the mask. The picture's border has no colours, and pulls at nothing.
    """
    height, width = mask.shape
    scale = min(1, GRID / max(height, width))
    grid = max(1, round(width * scale)), max(1, round(height * scale))  # as OpenCV has it
    known = cv2.resize((~mask).astype(np.float32), grid, interpolation=cv2.INTER_AREA)
    sums = cv2.resize(np.where(mask[..., None], 0, photo - painted), grid, interpolation=cv2.INTER_AREA)
    free = known < 1e-3
    moves = np.where(free[..., None], 0, sums / np.maximum(known, 1e-3)[..., None])
    if free.any():
        moves[free] = _membrane(free, moves)
    return painted + cv2.resize(moves.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)


def _membrane(free: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The smoothest values of the free cells: each is the mean of its neighbours, of which the border has fewer.

    Args:
        free: (h, w) bool, not True everywhere.
        values: (h, w, C), those of the other cells.

    Returns:
        (N, C) for the N free cells.
    """
    from scipy.sparse import csc_array
    from scipy.sparse.linalg import splu

    count = np.count_nonzero(free)
    number = np.full(free.shape, -1)
    number[free] = np.arange(count)
    neighbours, pull = np.zeros(count), np.zeros((count, values.shape[-1]))
    pairs = []
    for here, there in _NEIGHBOURS:
        inside = free[here]
        own, beside, value = number[here][inside], number[there][inside], values[there][inside]
        neighbours[own] += 1
        pull[own] += np.where(beside[:, None] < 0, value, 0)
        pairs.append(np.stack([own, beside])[:, beside >= 0])
    own, beside = np.concatenate(pairs, axis=1)
    cells = np.arange(count)
    entries = np.concatenate([neighbours, np.full(len(own), -1.0)])
    places = np.concatenate([cells, own]), np.concatenate([cells, beside])
    return splu(csc_array((entries, places), shape=(count, count)), permc_spec="MMD_AT_PLUS_A").solve(pull)


_UPPER, _LOWER, _LEFT, _RIGHT = np.s_[:-1, :], np.s_[1:, :], np.s_[:, :-1], np.s_[:, 1:]
_NEIGHBOURS = ((_UPPER, _LOWER), (_LOWER, _UPPER), (_LEFT, _RIGHT), (_RIGHT, _LEFT))

_WAYS: Mapping[str, Callable[..., np.ndarray]] = MappingProxyType(
    {"mean_std": _mean_std, "histogram": _histogram, "poisson": _poisson}
)
