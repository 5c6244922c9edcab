"""A cache of one: the result for the last image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

_T = TypeVar("_T")


class ImageCache(Generic[_T]):
    """Keeps the result for the last image, so that several prompts on one photo encode it once.

    Args:
        compute: the expensive function of an (H, W, 3) uint8 image.
    """

    def __init__(self, compute: Callable[[np.ndarray], _T]) -> None:
        self._compute = compute
        self._last: tuple[np.ndarray, _T] | None = None

    def __call__(self, image: np.ndarray) -> _T:
        """The result for this image, computed only if its pixels differ from those of the last one."""
        if self._last is None or not np.array_equal(image, self._last[0]):
            self._last = None  # frees the old result before the new one is computed
            self._last = image.copy(), self._compute(image)
        return self._last[1]
