"""A cache of a few: the results for the last images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, Generic, TypeVar

import numpy as np

_T = TypeVar("_T")
_CORNER = 64  # px


@dataclass
class _Entry:
    image: np.ndarray
    result: Any = None
    computed: bool = False
    lock: Any = field(default_factory=RLock)


class ImageCache(Generic[_T]):
    """Keeps the results for the last images, so that several prompts on one photo encode it once.

    Several threads may use it: those that ask for the same image wait for one result.

    Args:
        compute: the expensive function of an (H, W, 3) uint8 image.
        size: how many results to keep, at least 1.
    """

    def __init__(self, compute: Callable[[np.ndarray], _T], size: int = 4) -> None:
        self._compute = compute
        self._size = size
        self._last: list[_Entry] = []  # the latest at the end
        self._lock = RLock()

    def __call__(self, image: np.ndarray) -> _T:
        """The result for this image, computed only if its pixels differ from those of the last ones."""
        entry = self._entry(image)
        with entry.lock:
            if not entry.computed:
                entry.result, entry.computed = self._compute(entry.image), True
            result: _T = entry.result
        return result

    def add(self, image: np.ndarray, result: _T) -> None:
        """Keep a result that was computed otherwise."""
        entry = self._entry(image)
        with entry.lock:
            if not entry.computed:
                entry.result, entry.computed = result, True

    def _entry(self, image: np.ndarray) -> _Entry:
        """The entry of an image, which becomes the latest; a new one if the image is not there."""
        with self._lock:
            same = (index for index, entry in enumerate(self._last) if _equal(image, entry.image))
            if (index := next(same, None)) is not None:
                entry = self._last.pop(index)
            else:
                del self._last[: len(self._last) + 1 - self._size]  # frees an old result before the new one is computed
                entry = _Entry(image.copy())
            self._last.append(entry)
            return entry


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two images are equal; different photos mostly differ in their upper left corners already."""
    return np.array_equal(one[:_CORNER, :_CORNER], other[:_CORNER, :_CORNER]) and np.array_equal(one, other)
