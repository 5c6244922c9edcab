"""The one worker of the studio: tasks run one at a time, the most urgent first."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

T = TypeVar("T")


class Urgency(IntEnum):
    """What comes first."""

    LOOK = 0  # a mask that somebody waits for; also between two steps of other work
    WORK = 1  # a run
    LATER = 2  # an exact mask, which replaces a quick one
    AHEAD = 3  # photos that may be opened next


@dataclass(order=True)
class _Task:
    urgency: Urgency
    number: int
    work: Callable[[], Any] = field(compare=False)
    future: Future[Any] = field(compare=False)
    kind: str = field(compare=False)


class Worker:
    """Runs tasks in the thread that calls `run`, so that all models are used by one thread."""

    def __init__(self) -> None:
        self._tasks: list[_Task] = []
        self._changed = threading.Condition()
        self._number = 0
        self._stopping = False

    def submit(self, work: Callable[[], T], urgency: Urgency, kind: str = "") -> Future[T]:
        """Add a task.

        Args:
            work: to be done.
            urgency: see `Urgency`.
            kind: if it is given, a waiting task of the same kind is cancelled: its result is no longer wanted.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._stopping:
                future.cancel()
                return future
            self._number += 1
            for task in self._tasks:
                if kind and task.kind == kind:
                    task.future.cancel()
            heapq.heappush(self._tasks, _Task(urgency, self._number, work, future, kind))
            self._changed.notify()
        return future

    def run(self) -> None:
        """Run tasks until `stop`."""
        while task := self._next(Urgency.AHEAD, wait=True):
            _do(task)

    def run_urgent(self) -> None:
        """Run the tasks that somebody waits for. Called between two steps of long work, in the same thread."""
        while task := self._next(Urgency.LOOK, wait=False):
            _do(task)

    def stop(self) -> None:
        """Cancel all waiting tasks; `run` returns after the current one."""
        with self._changed:
            self._stopping = True
            for task in self._tasks:
                task.future.cancel()
            self._tasks.clear()
            self._changed.notify_all()

    def _next(self, least: Urgency, wait: bool) -> _Task | None:
        with self._changed:
            while True:
                if self._tasks and self._tasks[0].urgency <= least:
                    task = heapq.heappop(self._tasks)
                    if task.future.set_running_or_notify_cancel():
                        return task
                elif wait and not self._stopping:
                    self._changed.wait(1)  # with a timeout, so that Ctrl-C is noticed on every system
                else:
                    return None


def _do(task: _Task) -> None:
    try:
        result = task.work()
    except Exception as error:
        task.future.set_exception(error)
    except BaseException:
        task.future.cancel()
        raise
    else:
        task.future.set_result(result)
