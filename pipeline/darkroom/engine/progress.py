"""Shows the progress of a run: a bar with rate and time left, or log lines if there is no terminal."""

from __future__ import annotations

import logging
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Self

from tqdm import tqdm

from darkroom.dataset import Dataset
from darkroom.errors import printable
from darkroom.system.console import bare

log = logging.getLogger("darkroom")


class Progress:
    """Counts photos and pictures. A thread lists the datasets once more to find the number of photos.

    Args:
        datasets: of the jobs.
        on_screen: show a bar if there is a terminal.
    """

    def __init__(self, datasets: Sequence[Dataset], on_screen: bool = True) -> None:
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
        count = f"{self._surveyed[gate]}{_out_of(self._total)}"
        if self._bar.disable:
            log.info("gate %s measures photo %s: %s", gate, count, photo)
        else:
            self._bar.set_postfix_str(printable(f"gate {gate} measures photo {count}"))

    def picture_done(self, photo: str, status: str) -> None:
        """Count a picture that has been recorded.

        Args:
            photo: the photo's name.
            status: as in the journal.
        """
        self._pictures += 1
        self._show()
        if self._bar.disable:
            log.info("picture %d%s: %s: %s", self._pictures, _out_of(self._expected()), photo, status)

    def _show(self) -> None:
        if self._bar.disable:
            return
        self._bar.total = self._expected()
        self._bar.set_postfix_str(f"photo {self._photos}{_out_of(self._total)}", refresh=False)
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


def _out_of(total: int | None) -> str:
    return f" of {total}" if total else ""
