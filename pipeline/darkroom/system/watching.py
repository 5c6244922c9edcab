"""Lets whoever starts some work follow it and stop it, however deep in other code the work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Watcher = Callable[[int, int], None]
"""Called after each small piece of work: with the denoising steps done and the steps in all, or with 0 and 0 between
other pieces. It stops the work by raising `Cancelled`.
"""

_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Call the watcher during the work of this block, in this thread."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def piece_done(step: int = 0, steps: int = 0) -> None:
    """Tell the watcher, if there is one, that a piece of work is done. Raises whatever it raises.

    Args:
        step: denoising steps done.
        steps: denoising steps in all; 0 for other work.
    """
    if watcher := _watcher.get():
        watcher(step, steps)
