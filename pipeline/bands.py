"""Large pictures some rows at a time, so that what is worked out in wider types, or copied, takes little memory."""

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
    """The result of work that makes each row of what stands in that row, done band by band.

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
