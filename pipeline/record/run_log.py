"""Where log lines go during a run: to the terminal, above the progress bar, and in full to `run.log`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path

from tqdm import tqdm

from pipeline.files import Folder, writing


class _AboveTheBar(logging.Handler):
    """Prints to standard output, as long as somebody reads it; a run does not end with its reader."""

    def emit(self, record: logging.LogRecord) -> None:
        encoding = sys.stdout.encoding or "utf-8"
        text = self.format(record).encode(encoding, "backslashreplace").decode(encoding)
        try:
            tqdm.write(text)
        except OSError:
            self.setLevel(logging.CRITICAL + 1)


class _ToFile(logging.StreamHandler):
    """Writes to a file, as long as the disk has room; a log that is full costs no picture."""

    def handleError(self, record: logging.LogRecord) -> None:
        """What could not be written is left out; a run that finds no room for its pictures tells of it itself."""

    def close(self) -> None:
        super().close()
        with suppress(OSError):
            self.stream.close()


class _OneLine(logging.Formatter):
    """A line stays a line, and no file name can steer a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


@contextmanager
def run_log(folder: Path) -> Iterator[logging.Logger]:
    """The logger `darkroom`, writing to the terminal (INFO) and to `run.log` in the run folder (DEBUG).

    Raises:
        OutputError: `run.log` cannot be opened.
    """
    log = logging.getLogger("darkroom")
    screen = _AboveTheBar(logging.INFO)
    screen.setFormatter(_OneLine())
    with writing(folder / "run.log"):
        file = _ToFile(TextIOWrapper(Folder(folder).append("run.log"), "utf-8", "backslashreplace"))
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
