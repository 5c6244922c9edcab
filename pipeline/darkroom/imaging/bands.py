"""Array work band by band, so that wider types and temporary copies of large pictures take little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

_PIXELS = 1 << 18  # per band: 2 MB of float64, which stay in the processor's cache


def bands(height: int, width: int) -> Iterator[slice]:
    """Row slices that cover a picture from top to bottom, about `_PIXELS` pixels each."""
    rows = max(1, _PIXELS // max(1, width))
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def by_bands(work: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """`work(*arrays)`, computed band by band.

    Args:
        work: takes the same rows of every array and returns as many rows; a row of its result must depend on that
            row of the arrays only.
        arrays: (H, W, ...), all of one height.
    """
    result = None
    for rows in bands(*arrays[0].shape[:2]):
        band = work(*(array[rows] for array in arrays))
        if result is None:
            result = np.empty((len(arrays[0]), *band.shape[1:]), band.dtype)
        result[rows] = band
    return work(*arrays) if result is None else result
