"""What a person sees of a run: a bar with rate and time left, or plain lines where there is no terminal."""

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
    """Counts photos and pictures. A second, silent walk over the listings finds how many photos there will be.

    Args:
        datasets: the photos of every job.
        on_screen: show a bar where there is a terminal.
    """

    def __init__(self, datasets: Sequence[Dataset], on_screen: bool = True) -> None:
        self._datasets = datasets
        self._of: int | None = None  # photos there will be, once they are counted
        self._photos = self._planned = self._pictures = 0
        self._looked: Counter[str] = Counter()
        hidden = not (on_screen and sys.stderr.isatty())
        self._bar = tqdm(file=bare(sys.stderr), unit="picture", disable=hidden, dynamic_ncols=True)

    def __enter__(self) -> Self:
        threading.Thread(target=self._count, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def begin_photo(self, pictures: int) -> None:
        """A photo is taken up, of which so many pictures will be made."""
        self._photos += 1
        self._planned += pictures
        self._show()

    def look(self, gate: str, photo: str) -> None:
        """A photo's mask is looked at, before any picture is made.

        Args:
            gate: the name of the gate that compares them.
            photo: which photo.
        """
        self._looked[gate] += 1
        told = f"{self._looked[gate]}{self._out_of(self._of)}"
        if self._bar.disable:
            log.info("gate %s looks at photo %s: %s", gate, told, photo)
        else:
            self._bar.set_postfix_str(printable(f"gate {gate} looks at photo {told}"))

    def picture_done(self, photo: str, status: str) -> None:
        """A picture is in the journal.

        Args:
            photo: of which photo.
            status: as in the journal.
        """
        self._pictures += 1
        self._show()
        if self._bar.disable:
            log.info("picture %d%s: %s: %s", self._pictures, self._out_of(self._expected()), photo, status)

    def _show(self) -> None:
        if self._bar.disable:
            return
        self._bar.total = self._expected()
        self._bar.set_postfix_str(f"photo {self._photos}{self._out_of(self._of)}", refresh=False)
        self._bar.update(self._pictures - self._bar.n)
        self._bar.refresh()

    def _expected(self) -> int | None:
        """Pictures there will be: exact where all photos have as many as those so far."""
        return round(self._planned / self._photos * self._of) if self._of and self._photos else None

    def _out_of(self, number: int | None) -> str:
        return f" of {number}" if number else ""

    def _count(self) -> None:
        try:
            known: list[tuple[Dataset, int]] = []
            for dataset in self._datasets:
                if all(dataset != other for other, _ in known):
                    known.append((dataset, dataset.count()))
            self._of = sum(next(count for other, count in known if other == each) for each in self._datasets)
        except Exception:  # the run's own walk reports it
            log.debug("counting the photos failed", exc_info=True)
