"""Where the time of a run goes: named spans in each thread, as a trace and as a table (`profile=true`).

The trace is in the Trace Event Format (JSON array of complete events), which ui.perfetto.dev and chrome://tracing show.
Every event is written as soon as it ends. The format allows the closing bracket to be missing, so the trace of a killed
run can be read, too.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import wraps
from io import RawIOBase
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_OFF = nullcontext()
_active: Profile | None = None


def span(name: str) -> AbstractContextManager[None]:
    """What happens inside counts under this name, except what spans inside it count; does nothing without a profile."""
    return _OFF if _active is None else _Span(_active, name)


def spanned(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A function whose every call is a `span`."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def timed(*arguments: P.args, **named: P.kwargs) -> T:
            with span(name):
                return function(*arguments, **named)

        return timed

    return decorate


@contextmanager
def profiling(trace: RawIOBase) -> Iterator[Profile]:
    """Collect the spans of all threads while the context is open.

    Args:
        trace: an empty, unbuffered file for the trace. If it cannot be written, only the table remains.
    """
    global _active
    profile = _active = Profile(trace)
    try:
        yield profile
    finally:
        _active = None
        profile.close()


class Profile:
    """The spans so far.

    Args:
        trace: see `profiling`.
    """

    def __init__(self, trace: RawIOBase) -> None:
        self._trace: RawIOBase | None = trace
        self._lock = threading.Lock()
        self._started = time.perf_counter()
        self._ended: float | None = None
        self._threads: dict[int, str] = {}  # names, by `threading.get_ident`
        self._stack = threading.local()  # of the seconds that inner spans took, for each open span
        self._seconds: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._calls: defaultdict[str, int] = defaultdict(int)
        self._comma = "\n"
        self._write("[")

    @property
    def wall(self) -> float:
        """Seconds since the beginning, or to the end."""
        return (self._ended or time.perf_counter()) - self._started

    def seconds(self) -> dict[str, dict[str, float]]:
        """Seconds by name and thread, each without those of inner spans."""
        with self._lock:
            return {name: dict(threads) for name, threads in self._seconds.items()}

    def table(self) -> list[str]:
        """Lines: a row for each name, the longest first, a column for each thread."""
        seconds = self.seconds()
        threads = list(dict.fromkeys(self._threads.values()))
        rows = sorted(seconds, key=lambda name: -sum(seconds[name].values()))
        width = max(map(len, (*rows, "outside all spans")))
        columns = [max(9, len(thread) + 2) for thread in threads]

        def line(name: str, cells: list[str], calls: str) -> str:
            return name.ljust(width) + "".join(map(str.rjust, cells, columns)) + calls.rjust(9)

        outside = [self.wall - sum(each.get(thread, 0) for each in seconds.values()) for thread in threads]
        return [
            line("seconds", threads, "calls"),
            *(
                line(name, [f"{seconds[name].get(thread, 0):.2f}" for thread in threads], str(self._calls[name]))
                for name in rows
            ),
            line("outside all spans", [f"{max(0, each):.2f}" for each in outside], ""),
        ]

    def close(self) -> None:
        """End the trace."""
        with self._lock:
            self._ended = time.perf_counter()
            self._write("\n]\n")
            if self._trace:
                with suppress(OSError):
                    self._trace.close()
            self._trace = None

    def enter(self) -> None:
        """A span begins in this thread."""
        if not hasattr(self._stack, "inner"):
            self._stack.inner = []
        self._stack.inner.append(0.0)

    def leave(self, name: str, began: float) -> None:
        """The latest span of this thread ends."""
        took = time.perf_counter() - began
        own = took - self._stack.inner.pop()
        if self._stack.inner:
            self._stack.inner[-1] += took
        thread = threading.current_thread()
        with self._lock:
            if self._ended is not None:
                return
            label = self._label(thread)
            self._seconds[name][label] += own
            self._calls[name] += 1
            self._event(ph="X", name=name, ts=self._microseconds(began), dur=round(took * 1e6, 1), tid=thread.ident)

    def _label(self, thread: threading.Thread) -> str:
        ident = thread.ident or 0
        if ident not in self._threads:
            self._threads[ident] = "main" if thread is threading.main_thread() else thread.name
            self._event(ph="M", name="thread_name", tid=ident, args={"name": self._threads[ident]})
        return self._threads[ident]

    def _microseconds(self, moment: float) -> float:
        return round((moment - self._started) * 1e6, 1)

    def _event(self, **event: Any) -> None:
        self._write(self._comma + json.dumps({**event, "pid": 1}))
        self._comma = ",\n"

    def _write(self, text: str) -> None:
        """Write all of a text, or nothing ever after: a profile must not end a run whose disk is full."""
        data = memoryview(text.encode())
        try:
            while self._trace and data:
                data = data[self._trace.write(data) or 0 :]
        except OSError:
            self._trace = None


class _Span:
    def __init__(self, profile: Profile, name: str) -> None:
        self._profile = profile
        self._name = name

    def __enter__(self) -> None:
        self._profile.enter()
        self._began = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._profile.leave(self._name, self._began)
