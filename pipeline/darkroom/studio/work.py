"""A run that the studio has started: an ordinary run of the session, followed and stopped from the page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from darkroom.config.jobs import Job
from darkroom.errors import Cancelled, DarkroomError
from darkroom.planning.plan import StepPlanner, paths
from darkroom.record import JOURNAL
from darkroom.session.session import run as run_jobs
from darkroom.system.interrupts import raise_if_interrupted
from darkroom.system.watching import watched

_EVERY = 0.1  # seconds between two messages to the page

Status = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        kind: `paint` for one photo, `run` for all.
        photo: the index of the photo that is painted; None for all.
        status: of the run.
        done: pictures finished.
        total: pictures in all.
        share: of the work that is done, 0 to 1.
        seconds_left: estimated; None before there is anything to estimate from.
        message: why it failed.
        run: the name of the run folder.
    """

    kind: Literal["paint", "run"]
    photo: int | None
    status: Status = "waiting"
    done: int = 0
    total: int = 0
    share: float = 0.0
    seconds_left: float | None = None
    message: str = ""
    run: str | None = None


class Work:
    """Runs a job, in the worker's thread.

    Args:
        job: to run.
        progress: at its beginning.
        between: called after each denoising step, so that others can be served.
        tell: gets the progress when it changes.
    """

    def __init__(
        self, job: Job, progress: Progress, between: Callable[[], None], tell: Callable[[Progress], None]
    ) -> None:
        self.job = job
        self.progress = replace(progress, run=job.folder.name)
        self._between, self._tell = between, tell
        self._cancelled = threading.Event()
        self._started = self._told = 0.0
        self._pictures_per_call = 1

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.progress.status not in ("waiting", "running")

    def cancel(self) -> None:
        """Stop after the current denoising step. Finished pictures stay in the run folder."""
        self._cancelled.set()

    def run(self) -> None:
        """Do the work. Errors become part of the progress."""
        self._started = time.monotonic()
        self._pictures_per_call = self.job.settings.models().batch_size
        self._show(status="running", total=_pictures_of(self.job))
        try:
            self._stop_if_cancelled()
            with watched(self._watch):
                complete = run_jobs([self.job], on_screen=False)
        except Cancelled:
            self._end("cancelled")
        except DarkroomError as error:
            self._end("failed", str(error))
        except Exception as error:
            raise_if_interrupted()
            self._end("failed", f"unexpected {type(error).__name__}: {error}")
        else:
            self._end("done" if complete else "failed", "" if complete else _failures(self.job.folder))

    def _watch(self, step: int, steps: int) -> None:
        """See `watching.Watcher`."""
        self._stop_if_cancelled()
        if time.monotonic() - self._told > _EVERY:
            done = _finished(self.job.folder)
            ahead = self._pictures_per_call * step / steps if steps else 0
            share = min(1.0, (done + ahead) / max(1, self.progress.total))
            self._show(done=done, share=max(share, self.progress.share))
        self._between()

    def _stop_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled("stopped by the user")

    def _end(self, status: Status, message: str = "") -> None:
        done = _finished(self.job.folder)
        share = 1.0 if status == "done" else self.progress.share
        self._show(status=status, message=message, done=done, share=share, seconds_left=None)

    def _show(self, **changes: Any) -> None:
        self._told = time.monotonic()
        self.progress = replace(self.progress, **changes)
        passed, share = self._told - self._started, self.progress.share
        if share > 0 and not self.is_over:
            self.progress = replace(self.progress, seconds_left=round(passed * (1 - share) / share, 1))
        self._tell(self.progress)


def _pictures_of(job: Job) -> int:
    """The number of pictures that a job will have, if every photo can be planned."""
    planner, total = StepPlanner(job.recipe), 0
    for photo in job.recipe.dataset.photos():
        try:
            tree = planner.plan(photo)
        except DarkroomError:
            total += 1  # a photo that cannot be planned has one picture, which fails
            continue
        total += sum(1 for _ in paths(tree))
    return total


def _finished(folder: Path) -> int:
    """The number of lines in a run's journal."""
    try:
        return (folder / JOURNAL).read_bytes().count(b"\n")
    except OSError:
        return 0


def _failures(folder: Path) -> str:
    return f"some pictures failed: see {folder.name} under Review"
