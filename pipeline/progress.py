"""What a person sees of a run: a bar with rate and time left, or plain lines where there is no terminal."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
from typing import Self

from tqdm import tqdm

from pipeline.dataset import Dataset

log = logging.getLogger("darkroom")


class Progress:
    """Counts photos and pictures. A second, silent walk over the listing finds how many photos there will be."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._photos: int | None = None
        self._bar = tqdm(unit="picture", disable=not sys.stderr.isatty(), dynamic_ncols=True)

    def __enter__(self) -> Self:
        threading.Thread(target=self._count, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def photo_done(self, name: str, totals: Mapping[str, int]) -> None:
        """Show that a photo and its pictures are through.

        Args:
            name: the photo.
            totals: counts of `photos`, and of pictures `done`, `failed` and `skipped`, so far.
        """
        pictures = totals["done"] + totals["failed"] + totals["skipped"]
        of = f" of {self._photos}" if self._photos else ""
        if self._photos:
            self._bar.total = round(pictures / totals["photos"] * self._photos)  # exact where photos are alike
        self._bar.set_postfix_str(f"photo {totals['photos']}{of}, {totals['failed']} failed", refresh=False)
        self._bar.update(pictures - self._bar.n)
        if self._bar.disable:
            log.info("photo %d%s: %s (%d pictures so far)", totals["photos"], of, name, pictures)

    def _count(self) -> None:
        try:
            self._photos = self._dataset.count()
        except Exception:  # the run's own walk reports it
            log.debug("counting the photos failed", exc_info=True)
