"""Where log lines go during a run: to the terminal, above the progress bar, and in full to `run.log`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm


class _AboveTheBar(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), end="\n")


@contextmanager
def run_log(folder: Path) -> Iterator[logging.Logger]:
    """The logger `darkroom`, writing to the terminal (INFO) and to `run.log` in the run folder (DEBUG)."""
    log = logging.getLogger("darkroom")
    screen = _AboveTheBar(logging.INFO)
    screen.setFormatter(logging.Formatter("%(message)s"))
    file = logging.FileHandler(folder / "run.log", encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.setLevel(logging.DEBUG)
    log.propagate = False
    for handler in (screen, file):
        log.addHandler(handler)
    try:
        yield log
    finally:
        for handler in (screen, file):
            log.removeHandler(handler)
            handler.close()
