"""Ctrl-C and SIGTERM: a run stops cleanly at any time, also inside libraries that catch every exception.

Only the command line takes over signals, by `begin` and `run`. A run that a notebook or a thread starts leaves them
alone; `raise_if_interrupted` then does nothing.

The entry point imports this module before anything else, so it imports little itself.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

INTERRUPTED = 130  # exit code

_MESSAGE = "interrupted; finished pictures are kept\n"
_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"  # co_filename of the code that runs every import
_RETRY_AFTER = 0.05  # seconds

_work_started = False  # until then an interruption ends the process at once
_interrupted = False
_retrying = False  # the next signal repeats an interruption that could not be raised


def begin() -> None:
    """Take over Ctrl-C and SIGTERM. Until `run`, both end the process at once, with one line.

    Call it once, from the main thread, before any slow import.
    """
    sys.unraisablehook = _retry_lost_interrupt
    signal.signal(signal.SIGTERM, _on_signal)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # a shell ignores it in background jobs
        signal.signal(signal.SIGINT, _on_signal)


def run(work: Callable[[], int]) -> int:
    """Do the work of a command line and return its exit code.

    A first Ctrl-C or SIGTERM raises KeyboardInterrupt in the work, a second one ends the process at once.
    """
    global _work_started
    _work_started = True
    try:
        code = work()
        _ignore_signals()  # only Python's own clean-up is left
    except KeyboardInterrupt:
        _ignore_signals()
        print(_MESSAGE, end="", file=sys.stderr)
        code = INTERRUPTED
    return code


def _ignore_signals() -> None:
    if threading.current_thread() is threading.main_thread():  # no other may set handlers
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def raise_if_interrupted() -> None:
    """Call this wherever all exceptions are caught: libraries turn an interruption into errors of their own.

    Raises:
        KeyboardInterrupt: the process was interrupted.
    """
    if _interrupted:
        raise KeyboardInterrupt


def interrupt(thread: threading.Thread) -> None:
    """Raise KeyboardInterrupt in another thread as soon as it runs Python code; signals reach the main thread only.

    Nothing happens while the thread imports: it would never release the locks of its modules, and other threads that
    import them would wait for ever. Call it again until the thread ends.
    """
    import ctypes

    if _is_importing(sys._current_frames().get(thread.ident or 0)):
        return
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt))


def _on_signal(_: int, frame: FrameType | None) -> None:
    global _interrupted, _retrying
    is_retry, _retrying = _retrying, False
    if not _work_started or (_interrupted and not is_retry):
        with suppress(OSError):
            os.write(2, _MESSAGE.encode())
        os._exit(INTERRUPTED)
    _interrupted = True
    if _is_importing(frame):  # imports lose exceptions, or turn them into others
        _retry_soon()
    else:
        raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT_SYSTEM:
            return True
        frame = frame.f_back
    return False


def _retry_soon() -> None:
    # Not threading.Timer: it takes a lock that the interrupted code may hold.
    _thread.start_new_thread(_retry, ())


def _retry() -> None:
    global _retrying
    time.sleep(_RETRY_AFTER)
    _retrying = True
    _thread.interrupt_main(signal.SIGTERM)  # runs its handler in the main thread, on every system


def _retry_lost_interrupt(unraisable: Any) -> None:
    """Repeat an interruption that Python could not raise, as in a finalizer."""
    if unraisable.exc_type is KeyboardInterrupt:
        _retry_soon()
    else:
        sys.__unraisablehook__(unraisable)
