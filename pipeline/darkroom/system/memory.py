"""How much memory this process has needed."""

from __future__ import annotations

import sys

import psutil


def peak_memory() -> int:
    """The largest resident memory of this process so far, in bytes."""
    try:
        import resource  # psutil knows the peak on Windows only
    except ImportError:
        return int(psutil.Process().memory_info().peak_wset)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
