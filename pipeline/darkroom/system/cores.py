"""The CPU cores of this process."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """The cores that this process may use: a container or a batch system may allow fewer than the machine has."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def threads_asked() -> int | None:
    """`OMP_NUM_THREADS`, if it is a number."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and 0 < int(asked) <= 1024 else None
