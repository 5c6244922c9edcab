"""Works on large pictures band by band, so that wider types and copies take little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

_PIXELS = 1 << 21  # of a band: 16 MB of float64


def bands(height: int, width: int) -> Iterator[slice]:
    """The rows of a picture from top to bottom, as many at a time as make a band."""
    rows = max(1, _PIXELS // max(1, width))
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def by_bands(work: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """Apply work band by band; each row of the result depends on the same row of the arrays only.

    Args:
        work: takes a band of each array, and returns one of as many rows.
        arrays: (H, W, ...) each.
    """
    result = None
    for rows in bands(*arrays[0].shape[:2]):
        part = work(*(each[rows] for each in arrays))
        if result is None:
            result = np.empty((len(arrays[0]), *part.shape[1:]), part.dtype)
        result[rows] = part
    return work(*arrays) if result is None else result
