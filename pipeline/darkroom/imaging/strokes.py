"""Masks painted with a round brush: strokes to pixels, the same on every machine. No files, no photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np

_MOST_LINES = 60_000  # painted together: the number of lines over a pixel is a uint16
_MOST_RUNS = 50_000  # computed together
_ONE = np.uint16(1)
_SPARSE = 64  # px of the box around all runs for each of them; runs are painted one by one where there are more


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


class _Runs(NamedTuple):
    """Pixels side by side in a row, from column `first` to before `stop`; three arrays of N whole numbers."""

    rows: np.ndarray
    first: np.ndarray
    stop: np.ndarray


def painted(mask: np.ndarray, strokes: Sequence[Stroke]) -> np.ndarray:
    """A copy of a mask, (H, W) uint8, with strokes on it, one over the other.

    A stroke sets the pixels whose centres are no farther than its radius from its line: to 255, or if it erases to 0.
    Edges are hard; `refine` softens them.
    """
    new = mask.copy()
    for erase, alike in groupby(strokes, lambda stroke: stroke.erase):
        lines = np.array([line for stroke in alike for line in _lines(stroke)])
        for begin in range(0, len(lines), _MOST_LINES):
            _paint(new, lines[begin : begin + _MOST_LINES], 0 if erase else 255)
    return new


def _lines(stroke: Stroke) -> Iterator[tuple[float, ...]]:
    """x and y of each line's start and end, and the radius."""
    ends = pairwise(stroke.points) if len(stroke.points) > 1 else [(stroke.points[0], stroke.points[0])]
    return ((*start, *end, stroke.radius) for start, end in ends)


def _paint(mask: np.ndarray, lines: np.ndarray, value: int) -> None:
    """Set all pixels within the radius of lines, (N, 5), to a value."""
    radius = lines[:, 4]
    top = np.clip(np.floor(lines[:, [1, 3]].min(axis=1) - radius), 0, mask.shape[0]).astype(int)
    end = np.clip(np.ceil(lines[:, [1, 3]].max(axis=1) + radius), 0, mask.shape[0]).astype(int)
    total = int((end - top).sum())
    low, high = lines[:, [0, 2]].min(axis=1) - radius, lines[:, [0, 2]].max(axis=1) + radius
    left, right = (int(np.clip(edge, 0, mask.shape[1])) for edge in (np.floor(low.min()), np.ceil(high.max())))
    box = mask[top.min() : end.max(), left:right]
    if box.size > _SPARSE * total:
        for runs in _runs(lines, top, end, mask.shape[1]):
            for row, first, stop in zip(*(each.tolist() for each in runs), strict=True):
                mask[row, first:stop] = value
        return
    changes = np.zeros((box.shape[0], box.shape[1] + 1), np.uint16)  # in how many lines cover a pixel; wraps around
    for runs in _runs(lines, top, end, mask.shape[1]):
        starts = (runs.rows - top.min()) * changes.shape[1] - left
        np.add.at(changes.reshape(-1), starts + runs.first, _ONE)
        np.subtract.at(changes.reshape(-1), starts + runs.stop, _ONE)
    np.cumsum(changes, axis=1, dtype=np.uint16, out=changes)
    box[changes[:, :-1] > 0] = value


def _runs(lines: np.ndarray, top: np.ndarray, end: np.ndarray, width: int) -> Iterator[_Runs]:
    """The pixels within the radius of each line, in the rows from `top` to before `end`; (N,) each."""
    counts = end - top
    ends = np.cumsum(counts)
    parts = np.flatnonzero(np.diff(ends // _MOST_RUNS)) + 1
    for some in np.split(np.arange(len(lines)), parts):
        which = np.repeat(some, counts[some])
        rows = np.arange(len(which)) + (top - ends + counts)[which] + (ends - counts)[some[0]]
        low, high = _section(rows + 0.5, lines.T[:, which])
        first = np.clip(np.ceil(low - 0.5), 0, width).astype(int)
        stop = np.clip(np.floor(high - 0.5) + 1, 0, width).astype(int)
        there = first < stop
        yield _Runs(rows[there], first[there], stop[there])


def _section(y: np.ndarray, lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the horizontal lines at `y`, (N,), enter and leave the points within a distance of a line: x, (N,) each.

    These points are the discs at the line's ends and the rectangle between them. Lines that miss them get infinity.

    Args:
        y: px.
        lines: (5, N): x and y of start and end, and the distance.
    """
    x0, y0, x1, y1, radius = lines
    sections = [_disc(y, x0, y0, radius), _disc(y, x1, y1, radius), _rectangle(y, lines)]
    low, high = (np.stack(values) for values in zip(*sections, strict=True))
    return low.min(axis=0), high.max(axis=0)


def _disc(y: np.ndarray, x: np.ndarray, centre: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    square = radius * radius - (y - centre) ** 2
    half = np.where(square >= 0, np.sqrt(np.maximum(square, 0)), -np.inf)
    return x - half, x + half


def _rectangle(y: np.ndarray, lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x0, y0, x1, y1, radius = lines
    dx, dy = x1 - x0, y1 - y0
    length, down = np.hypot(dx, dy), y - y0
    along = _between(dx, down * dy, np.zeros_like(y), length * length)
    across = _between(dy, -down * dx, -radius * length, radius * length)
    low, high = np.maximum(along[0], across[0]), np.minimum(along[1], across[1])
    there = (low <= high) & (length > 0)
    return np.where(there, x0 + low, np.inf), np.where(there, x0 + high, -np.inf)


def _between(
    slope: np.ndarray, offset: np.ndarray, least: np.ndarray, most: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The x, from `low` to `high`, for which `slope * x + offset` lies between two limits."""
    holds = (offset >= least) & (offset <= most)
    with np.errstate(divide="ignore", invalid="ignore"):  # where the slope is 0
        ends = (least - offset) / slope, (most - offset) / slope
    low = np.where(slope == 0, np.where(holds, -np.inf, np.inf), np.minimum(*ends))
    return low, np.where(slope == 0, np.where(holds, np.inf, -np.inf), np.maximum(*ends))
