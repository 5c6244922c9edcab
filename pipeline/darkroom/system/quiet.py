"""Python's warnings, switched off for a while in all threads.

`warnings.catch_warnings` restores the filters that it found. Of two threads, the second restores what the first one has
set, and then warnings stay off or come back too early.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_users = 0
_caught: warnings.catch_warnings[None]


@contextmanager
def without_warnings() -> Iterator[None]:
    """Show no warnings during this block."""
    global _users, _caught
    with _lock:
        _users += 1
        if _users == 1:
            _caught = warnings.catch_warnings()
            _caught.__enter__()
            warnings.simplefilter("ignore")
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _caught.__exit__(None, None, None)
