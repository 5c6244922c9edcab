"""Logging during a run: to the terminal, above the progress bar, and with all details to `run.log`."""

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
    """Prints to standard output; the run goes on if the reader of a pipe goes away."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            with tqdm.external_write_mode(bare(sys.stderr)):  # which shows the bar
                print(self.format(record))
        except OSError:
            self.setLevel(logging.CRITICAL + 1)


class _ToFile(logging.StreamHandler[TextIOWrapper]):
    """Writes to a file; a full disk loses log lines but does not stop the run."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore a line that could not be written; a run that cannot write its pictures reports that itself."""

    def close(self) -> None:
        super().close()
        with suppress(OSError):
            self.stream.close()


class _OneLine(logging.Formatter):
    """Keeps a message on one line, indents tracebacks, and escapes control characters, which could steer a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        record = copy(record)
        record.exc_text = None  # another handler may have formatted it
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
