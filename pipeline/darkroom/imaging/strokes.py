"""Masks painted with a round brush: strokes to pixels, the same on every machine. No files, no photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Stroke:
    """One movement of a round brush.

    Attributes:
        points: (x, y) each, in px of the photo from its top left corner, joined by straight lines; one alone is a dab.
        radius: px, above 0.
        erase: paints black instead of white.
    """

    points: tuple[tuple[float, float], ...]
    radius: float
    erase: bool = False


def painted(mask: np.ndarray, strokes: Sequence[Stroke]) -> np.ndarray:
    """A copy of a mask, (H, W) uint8, with strokes on it, one over the other.

    A stroke sets the pixels whose centres are no farther than its radius from its line: to 255, or if it erases to 0.
    Edges are hard; `refine` softens them.
    """
    new = mask.copy()
    for stroke in strokes:
        ends = list(pairwise(stroke.points)) or [(stroke.points[0], stroke.points[0])]
        for start, end in ends:
            _paint(new, start, end, stroke.radius, 0 if stroke.erase else 255)
    return new


def _paint(mask: np.ndarray, start: tuple[float, float], end: tuple[float, float], radius: float, value: int) -> None:
    """Set all pixels within a distance of a line to a value: in each row, they lie side by side."""
    height, width = mask.shape
    above, below = min(start[1], end[1]) - radius, max(start[1], end[1]) + radius
    rows = np.arange(max(0, int(np.floor(above))), max(0, min(height, int(np.ceil(below)))))
    low, high = _section(rows + 0.5, start, end, radius)
    first = np.clip(np.ceil(low - 0.5), 0, width).astype(int)
    stop = np.clip(np.floor(high - 0.5) + 1, 0, width).astype(int)
    for row, left, right in zip(rows.tolist(), first.tolist(), stop.tolist(), strict=True):
        if left < right:
            mask[row, left:right] = value


def _section(
    y: np.ndarray, start: tuple[float, float], end: tuple[float, float], radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where the horizontal lines at `y`, (N,), enter and leave the points within a distance of a line: x, (N,) each.

    These points are the discs at the line's ends and the rectangle between them. Lines that miss them get infinity.
    """
    sections = [_disc(y, start, radius), _disc(y, end, radius)]
    if start != end:
        sections.append(_rectangle(y, start, end, radius))
    low, high = (np.stack(values) for values in zip(*sections, strict=True))
    return low.min(axis=0), high.max(axis=0)


def _disc(y: np.ndarray, centre: tuple[float, float], radius: float) -> tuple[np.ndarray, np.ndarray]:
    square = radius * radius - (y - centre[1]) ** 2
    half = np.where(square >= 0, np.sqrt(np.maximum(square, 0)), -np.inf)
    return centre[0] - half, centre[0] + half


def _rectangle(
    y: np.ndarray, start: tuple[float, float], end: tuple[float, float], radius: float
) -> tuple[np.ndarray, np.ndarray]:
    dx, dy = end[0] - start[0], end[1] - start[1]
    length, down = float(np.hypot(dx, dy)), y - start[1]
    along = _between(dx, down * dy, 0, length * length)
    across = _between(dy, -down * dx, -radius * length, radius * length)
    low, high = np.maximum(along[0], across[0]), np.minimum(along[1], across[1])
    return np.where(low <= high, start[0] + low, np.inf), np.where(low <= high, start[0] + high, -np.inf)


def _between(slope: float, offset: np.ndarray, least: float, most: float) -> tuple[np.ndarray, np.ndarray]:
    """The x, from `low` to `high`, for which `slope * x + offset` lies between two limits."""
    if slope == 0:
        holds = (offset >= least) & (offset <= most)
        return np.where(holds, -np.inf, np.inf), np.where(holds, np.inf, -np.inf)
    ends = (least - offset) / slope, (most - offset) / slope
    return np.minimum(*ends), np.maximum(*ends)
