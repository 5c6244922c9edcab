"""Seconds and peak memory of this process."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_seconds: dict[str, float] = {}


@contextmanager
def measured(name: str) -> Iterator[None]:
    """Keep how long the block takes."""
    started = time.perf_counter()
    yield
    _seconds[name] = round(time.perf_counter() - started, 1)


def told() -> dict[str, Any]:
    """The seconds of each block, and the peak of the memory in GiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": dict(_seconds), "peak_gib": round(peak, 1)}
