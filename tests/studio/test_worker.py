"""One worker, what is most urgent first, and nothing that nobody wants any more."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from darkroom.studio.worker import Urgency, Worker


def finished(worker: Worker) -> None:
    """Let the worker do everything that waits."""
    worker.submit(worker.stop, Urgency.AHEAD)
    worker.run()


def test_the_most_urgent_comes_first_and_a_newer_wish_replaces_a_waiting_one() -> None:
    worker, done = Worker(), list[str]()
    worker.submit(lambda: done.append("ahead"), Urgency.AHEAD)
    old = worker.submit(lambda: done.append("old mask"), Urgency.LOOK, "mask of a tab")
    other = worker.submit(lambda: done.append("mask of another tab"), Urgency.LOOK, "mask of another tab")
    worker.submit(lambda: done.append("run"), Urgency.WORK)
    new = worker.submit(lambda: done.append("new mask"), Urgency.LOOK, "mask of a tab")
    finished(worker)
    assert done == ["mask of another tab", "new mask", "run", "ahead"]
    assert old.cancelled() and other.done() and not new.cancelled()


def test_masks_are_made_between_the_steps_of_a_run() -> None:
    worker, done = Worker(), list[str]()
    masks: list[Future[None]] = []

    def run() -> None:
        for step in range(3):
            done.append(f"step {step}")
            if step == 1:
                masks.append(worker.submit(lambda: done.append("mask"), Urgency.LOOK))
                worker.submit(lambda: done.append("another run"), Urgency.WORK)
            worker.run_urgent()

    worker.submit(run, Urgency.WORK)
    finished(worker)
    assert done == ["step 0", "step 1", "mask", "step 2", "another run"]


def test_errors_belong_to_their_task_and_the_worker_goes_on() -> None:
    worker = Worker()
    bad, good = worker.submit(lambda: 1 // 0, Urgency.LOOK), worker.submit(lambda: 2, Urgency.LOOK)
    finished(worker)
    assert good.result() == 2
    with pytest.raises(ZeroDivisionError):
        bad.result()


def test_after_the_end_nothing_begins_and_nobody_waits_for_ever() -> None:
    worker, entered, go = Worker(), threading.Event(), threading.Event()

    def slow() -> str:
        entered.set()
        go.wait(10)
        return "done"

    current = worker.submit(slow, Urgency.LOOK)
    waiting = worker.submit(lambda: None, Urgency.LOOK)
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert entered.wait(10)
    worker.stop()
    go.set()
    thread.join(10)
    assert not thread.is_alive() and current.result() == "done"
    assert waiting.cancelled() and worker.submit(lambda: None, Urgency.LOOK).cancelled()
