"""Signals and standard streams: a run survives closed output and stops cleanly at any time.

`run.py` imports this module first of all, so that its own imports are light.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

INTERRUPTED = 130
_LINE = "interrupted; what is finished is kept\n"
_IMPORTS = "<frozen importlib._bootstrap>"  # the file name of Python's own code that imports modules
_AGAIN = 0.05  # seconds until an interruption that came at a bad time is tried again

_orderly = False  # whether the work is under way, and an interruption is an exception; else it ends the process at once
_asked = False  # whether a first signal has come


class _Lasting(io.FileIO):
    """A standard stream whose reader may go away, or whose disk may be full: what cannot be written is left out."""

    _told = False

    def write(self, data: Any) -> int | None:
        try:
            written = super().write(data)
            return len(data) if written is None else written  # a pipe that is full and does not wait
        except OSError as error:
            if not self._told and error.errno != errno.EPIPE:  # nobody reads on, such as behind `| head`
                self._told = True
                with suppress(OSError):
                    os.write(2, f"standard output: cannot be written: {error.strerror}\n".encode())
            return len(data)


def begin() -> None:
    """Take over signals and standard streams; call it once, before anything that takes its time.

    Until `run`, Ctrl-C and SIGTERM end the process at once.
    """
    sys.unraisablehook = _not_lost
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as in jobs that a script starts in the background
        signal.signal(signal.SIGINT, _interrupt)
    for number in (0, 1, 2):  # else the next file that is opened gets the number, and all that is printed
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = _lasting(sys.stdout, 1), _lasting(sys.stderr, 2)


def run(work: Callable[[], int]) -> int:
    """The exit code of the work, which a first Ctrl-C or SIGTERM ends by `KeyboardInterrupt`, a second one at once."""
    global _orderly
    _orderly = True
    try:
        code = work()
    except KeyboardInterrupt:
        print(_LINE, end="", file=sys.stderr)
        code = INTERRUPTED
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)  # the work is done; Python has only to tidy up
    return code


def raise_if_interrupted() -> None:
    """Call this wherever any exception is caught: libraries turn an interruption into errors of their own.

    Raises:
        KeyboardInterrupt: one has come.
    """
    if _asked:
        raise KeyboardInterrupt


def _lasting(stream: Any, number: int) -> io.TextIOWrapper:
    """In place of one of Python's own streams, which is None if the process was started with it closed."""
    return io.TextIOWrapper(
        io.BufferedWriter(_Lasting(number, "w", closefd=False)),
        encoding=getattr(stream, "encoding", "utf-8"),
        errors="backslashreplace",  # file names and prompts may hold what a terminal cannot show
        line_buffering=getattr(stream, "line_buffering", False) or getattr(stream, "write_through", False),
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _asked
    if not _orderly or (_asked and number != signal.SIGALRM):
        with suppress(OSError):
            os.write(2, _LINE.encode())
        os._exit(INTERRUPTED)
    _asked = True
    if _is_import(frame):  # an exception can be lost there, or turned into another
        _try_again()
    else:
        raise KeyboardInterrupt


def _is_import(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTS:
            return True
        frame = frame.f_back
    return False


def _try_again() -> None:
    signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN)


def _not_lost(unraisable: Any) -> None:
    """An interruption that came where Python cannot raise it, such as in a finaliser, comes once more."""
    if unraisable.exc_type is KeyboardInterrupt:
        _try_again()
    else:
        sys.__unraisablehook__(unraisable)
