"""Does units of work in several threads, and hands their results back to the thread that gives them out.

Nothing piles up: `has_room` says when another unit may be given out, and that is one more than there are workers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Generic, NamedTuple, Self, TypeVar

from darkroom.errors import Cancelled
from darkroom.system.interrupts import interrupt
from darkroom.system.profiling import span, spanned
from darkroom.system.watching import piece_done, watched

_PATIENCE = 0.1  # seconds between two looks at what else the giving thread has to do
_REPEAT = 1.0  # seconds until a worker that goes on after an interruption is interrupted again

U = TypeVar("U")
T = TypeVar("T")


class _Task(NamedTuple, Generic[U, T]):
    unit: U
    work: Callable[[U], T]


class _Ended(NamedTuple, Generic[U, T]):
    unit: U
    result: T | None
    error: BaseException | None = None


class SideBySide(Generic[U, T]):
    """Workers for units of work. Enter it as a context manager; leaving it stops them.

    A watcher of the thread that gives out the work (`system/watching.py`) is called in that thread only. Between two
    denoising steps, each worker looks whether it should stop.

    Args:
        workers: the number of threads. A single worker is the giving thread itself, which works while it waits.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._tasks: SimpleQueue[_Task[U, T] | None] = SimpleQueue()
        self._ended: SimpleQueue[_Ended[U, T]] = SimpleQueue()
        self._given: list[U] = []  # and not yet returned
        self._threads: list[threading.Thread] = []
        self._busy: set[threading.Thread] = set()
        self._busy_lock = threading.Lock()
        self._stopping = threading.Event()
        self._steps: dict[int, tuple[int, int]] = {}  # denoising steps of each thread: done, in all

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def given(self) -> Iterator[U]:
        """The units whose results `next` has not returned yet."""
        return iter(self._given)

    @property
    def has_room(self) -> bool:
        """Whether another unit may be given out: one waits for the first worker that is free."""
        return len(self._given) < (self._workers + 1 if self._workers > 1 else 1)

    def give(self, unit: U, work: Callable[[U], T]) -> None:
        """Give out a unit; a worker calls `work` with it."""
        self._given.append(unit)
        self._tasks.put(_Task(unit, work))
        if 1 < self._workers > len(self._threads) < len(self._given):
            thread = threading.Thread(target=self._run, name=f"darkroom-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def next(self) -> tuple[U, T]:
        """Wait for a unit, and return it with its result.

        Raises:
            BaseException: whatever the work of a unit has raised, or the watcher of this thread.
        """
        ended = self._wait() if self._threads else self._do_one()
        self._given.remove(ended.unit)
        if ended.error:
            raise ended.error
        return ended.unit, ended.result  # type: ignore[return-value]  # without an error there is a result

    def stop(self, at_once: bool = False) -> list[tuple[U, T]]:
        """Stop the workers: waiting units are dropped, running ones go on to their next denoising step.

        Args:
            at_once: interrupt them, too.

        Returns:
            the units that were finished, with their results.
        """
        self._stopping.set()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            while thread.is_alive():
                if at_once:
                    self._interrupt()
                thread.join(_REPEAT)
        return list(self._finished())

    def _interrupt(self) -> None:
        with self._busy_lock:
            for thread in self._busy:
                interrupt(thread)

    def _finished(self) -> Iterator[tuple[U, T]]:
        while not self._ended.empty():
            ended = self._ended.get()
            if ended.error is None:
                yield ended.unit, ended.result  # type: ignore[misc]

    def _wait(self) -> _Ended[U, T]:
        while True:
            try:
                with span("wait"):
                    return self._ended.get(timeout=_PATIENCE)  # Ctrl-C does not end a longer wait on every system
            except Empty:
                piece_done(*self._all_steps())

    def _all_steps(self) -> tuple[int, int]:
        """The denoising steps that are done in all threads, and the steps of the longest picture."""
        steps = list(self._steps.values())
        return sum(done for done, _ in steps), max((number for _, number in steps), default=0)

    def _do_one(self) -> _Ended[U, T]:
        task = self._tasks.get()
        assert task is not None
        return _Ended(task.unit, task.work(task.unit))

    def _run(self) -> None:
        """What a thread does."""
        me = threading.current_thread()
        try:
            with watched(self._watch):
                while (task := self._next_task()) and not self._stopping.is_set():
                    self._ended.put(self._do(task, me))
        except KeyboardInterrupt:
            pass  # `interrupt` came a moment too late to hit the work
        finally:
            self._rest(me)

    @spanned("wait")
    def _next_task(self) -> _Task[U, T] | None:
        return self._tasks.get()

    def _do(self, task: _Task[U, T], me: threading.Thread) -> _Ended[U, T]:
        with self._busy_lock:
            self._busy.add(me)
        try:
            return _Ended(task.unit, task.work(task.unit))
        except BaseException as error:
            return _Ended(task.unit, None, error)
        finally:
            self._rest(me)

    def _rest(self, me: threading.Thread) -> None:
        with self._busy_lock:  # from here on nobody interrupts this thread
            self._busy.discard(me)
        self._steps.pop(threading.get_ident(), None)

    def _watch(self, step: int, steps: int) -> None:
        """See `watching.Watcher`; in a worker's thread."""
        if self._stopping.is_set():
            raise Cancelled("stopped together with the other workers")
        if steps:
            self._steps[threading.get_ident()] = step, steps
