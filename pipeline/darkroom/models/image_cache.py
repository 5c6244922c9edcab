"""Remembering what the last image cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

_T = TypeVar("_T")


class ImageCache(Generic[_T]):
    """Keeps what was computed from the last image: several prompts on one photo encode it once.

    Args:
        compute: what to do with an (H, W, 3) uint8 image.
    """

    def __init__(self, compute: Callable[[np.ndarray], _T]) -> None:
        self._compute = compute
        self._kept: tuple[np.ndarray, _T] | None = None

    def __call__(self, image: np.ndarray) -> _T:
        """The result for this image, computed only if its pixels differ from the last one's."""
        if self._kept is None or not np.array_equal(image, self._kept[0]):
            self._kept = None  # frees the old result before the new one is made
            self._kept = image.copy(), self._compute(image)
        return self._kept[1]
