"""Where log lines go during a run: to the terminal, above the progress bar, and in full to `run.log`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from tqdm import tqdm

from darkroom.errors import printable
from darkroom.system.console import bare
from darkroom.system.files import Folder, writing


class _AboveTheBar(logging.Handler):
    """Prints to standard output, as long as somebody reads it; a run does not end with its reader."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            with tqdm.external_write_mode(bare(sys.stderr)):  # where the bar is
                print(self.format(record))
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
    """A message stays one line; a traceback keeps its lines, indented. Neither can steer a terminal that shows it."""

    def format(self, record: logging.LogRecord) -> str:
        record = copy(record)
        record.exc_text = None  # as another handler may have put it
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return "\n".join(f"    {printable(line)}" for line in super().formatException(ei).split("\n"))


@contextmanager
def run_log(folder: Path, on_screen: bool = True) -> Iterator[logging.Logger]:
    """The logger `darkroom`, writing to `run.log` in the run folder (DEBUG), and to the terminal (INFO) if `on_screen`.

    Raises:
        OutputError: `run.log` cannot be opened.
    """
    log = logging.getLogger("darkroom")
    with writing(folder / "run.log"):
        file = _ToFile(TextIOWrapper(Folder(folder).append("run.log"), "utf-8", "backslashreplace"))
    file.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s"))
    log.setLevel(logging.DEBUG)
    log.propagate = False
    handlers: list[logging.Handler] = [file]
    if on_screen:
        handlers.append(_AboveTheBar(logging.INFO))
        handlers[-1].setFormatter(_OneLine())
    for handler in handlers:
        log.addHandler(handler)
    try:
        yield log
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()
