"""The memory of this process."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil


def peak_memory() -> int:
    """The largest resident memory of this process so far, in bytes."""
    try:
        import resource  # psutil knows the peak on Windows only
    except ImportError:
        return int(psutil.Process().memory_info().peak_wset)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextmanager
def few_collections() -> Iterator[None]:
    """For a loop that makes millions of objects without cycles: the interpreter looks for cycles rarely, and not among
    the objects that are there already.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
