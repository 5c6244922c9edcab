"""Shows the progress of a run, with rate and time left: a bar, or log lines if there is no terminal."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Self

from tqdm import tqdm

from darkroom.dataset import Dataset
from darkroom.errors import printable
from darkroom.system.console import bare

log = logging.getLogger("darkroom")

_WINDOW = 50  # the latest pictures, whose rate is shown: those from the store come first and fast


class Progress:
    """Counts photos and pictures. A thread lists the datasets once more to find the number of photos.

    Args:
        datasets: of the jobs.
        on_screen: show a bar if there is a terminal.
        clock: the time in seconds.

    Attributes:
        at_work: returns what is being done now; empty for nothing to show.
    """

    def __init__(
        self, datasets: Sequence[Dataset], on_screen: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.at_work: Callable[[], str] = str
        self._clock = clock
        self._rate = _Rate("picture", clock)
        self._survey_rates: dict[str, _Rate] = {}
        self._datasets = datasets
        self._total: int | None = None  # number of photos, once they are counted
        self._photos = self._planned = self._pictures = 0
        self._surveyed: Counter[str] = Counter()
        hidden = not (on_screen and sys.stderr.isatty())
        self._bar = tqdm(file=bare(sys.stderr), unit="picture", disable=hidden, dynamic_ncols=True)

    def __enter__(self) -> Self:
        threading.Thread(target=self._count, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def begin_photo(self, pictures: int) -> None:
        """Count a photo, and the number of pictures that it will have."""
        self._photos += 1
        self._planned += pictures
        self._show()

    def survey_photo(self, gate: str, photo: str) -> None:
        """Show that a photo's mask is measured for a baseline, before any picture is made.

        Args:
            gate: the name of the gate that needs the baseline.
            photo: the photo's name.
        """
        self._surveyed[gate] += 1
        count, left = self._surveyed[gate], _left(self._total, self._surveyed[gate])
        speed = self._survey_rates.setdefault(gate, _Rate("photo", self._clock)).next(left)
        shown = f"gate {gate} measures photo {count}{_out_of(self._total)}"
        if self._bar.disable:
            log.info("%s: %s%s", shown, photo, speed)
        else:
            self._bar.set_postfix_str(printable(shown + speed))

    def picture_done(self, photo: str, status: str) -> None:
        """Count a picture that has been recorded.

        Args:
            photo: the photo's name.
            status: as in the journal.
        """
        self._pictures += 1
        self._show()
        expected = self._expected()
        speed = self._rate.next(_left(expected, self._pictures))
        if self._bar.disable:
            log.info("picture %d%s: %s: %s%s", self._pictures, _out_of(expected), photo, status, speed)

    def _show(self) -> None:
        if self._bar.disable:
            return
        self._bar.total = self._expected()
        shown = (f"photo {self._photos}{_out_of(self._total)}", printable(self.at_work()))
        self._bar.set_postfix_str("; ".join(filter(None, shown)), refresh=False)
        self._bar.update(self._pictures - self._bar.n)
        self._bar.refresh()

    def _expected(self) -> int | None:
        """The expected number of pictures; exact if all photos have as many as those so far."""
        return round(self._planned / self._photos * self._total) if self._total and self._photos else None

    def _count(self) -> None:
        try:
            known: list[tuple[Dataset, int]] = []
            for dataset in self._datasets:
                if all(dataset != other for other, _ in known):
                    known.append((dataset, dataset.count()))
            self._total = sum(next(count for other, count in known if other == dataset) for dataset in self._datasets)
        except Exception:  # the run meets the same error and reports it
            log.debug("counting the photos failed", exc_info=True)


class _Rate:
    """How fast things are done.

    Args:
        unit: the name of one thing.
        clock: the time in seconds.
    """

    def __init__(self, unit: str, clock: Callable[[], float]) -> None:
        self._unit = unit
        self._clock = clock
        self._times = deque([clock()], maxlen=_WINDOW + 1)

    def next(self, left: int | None) -> str:
        """Count one thing.

        Args:
            left: the number of things still to do; None if it is unknown.

        Returns:
            rate and time left, such as `; 2.5 pictures/s, about 0:01:20 left`; empty where nothing took any time.
        """
        self._times.append(self._clock())
        seconds = (self._times[-1] - self._times[0]) / (len(self._times) - 1)
        if seconds <= 0:
            return ""
        rate = f"{1 / seconds:.1f} {self._unit}s/s" if seconds < 1 else f"{seconds:.1f} s/{self._unit}"
        return f"; {rate}" + (f", about {timedelta(seconds=max(round(left * seconds), 1))} left" if left else "")


def _left(expected: int | None, done: int) -> int | None:
    return max(expected - done, 0) if expected is not None else None


def _out_of(total: int | None) -> str:
    return f" of {total}" if total else ""
