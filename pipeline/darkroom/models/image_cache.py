"""A cache of a few: the results for the last images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

_T = TypeVar("_T")


class ImageCache(Generic[_T]):
    """Keeps the results for the last images, so that several prompts on one photo encode it once.

    Args:
        compute: the expensive function of an (H, W, 3) uint8 image.
        size: how many results to keep, at least 1.
    """

    def __init__(self, compute: Callable[[np.ndarray], _T], size: int = 1) -> None:
        self._compute = compute
        self._size = size
        self._last: list[tuple[np.ndarray, _T]] = []  # the latest at the end

    def __call__(self, image: np.ndarray) -> _T:
        """The result for this image, computed only if its pixels differ from those of the last ones."""
        if not self._found(image):
            self._make_room()  # frees an old result before the new one is computed
            self._last.append((image.copy(), self._compute(image)))
        return self._last[-1][1]

    def add(self, image: np.ndarray, result: _T) -> None:
        """Keep a result that was computed otherwise."""
        if not self._found(image):
            self._make_room()
            self._last.append((image.copy(), result))

    def _found(self, image: np.ndarray) -> bool:
        """Whether the image is there; it then becomes the latest."""
        same = (index for index, (last, _) in enumerate(self._last) if np.array_equal(image, last))
        if (index := next(same, None)) is None:
            return False
        self._last.append(self._last.pop(index))
        return True

    def _make_room(self) -> None:
        del self._last[: len(self._last) + 1 - self._size]
