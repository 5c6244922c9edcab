"""Standard output and standard error: nothing that this process prints, whoever wrote it, can steer a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from darkroom.errors import printable


class _Guarded:
    """A text stream that lets nothing through but printable characters and line breaks; the rest is shown as escapes.

    Characters that the encoding lacks are escaped too. It has no `buffer`: bytes would pass unseen.

    Args:
        bare: the stream that is written to.
    """

    def __init__(self, bare: TextIO) -> None:
        self.bare = bare
        self.encoding = bare.encoding or "utf-8"
        self.errors = "backslashreplace"

    def write(self, text: str) -> int:
        lines = "\n".join(map(printable, text.split("\n")))
        self.bare.write(lines.encode(self.encoding, self.errors).decode(self.encoding))
        return len(text)

    def flush(self) -> None:
        self.bare.flush()

    def isatty(self) -> bool:
        return self.bare.isatty()

    def fileno(self) -> int:
        return self.bare.fileno()


@contextmanager
def guarded() -> Iterator[None]:
    """Guard this process's standard output and standard error: prints, tracebacks, and what libraries warn of."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_guard, before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def bare(stream: TextIO) -> TextIO:
    """The stream itself, for a progress bar, which steers the terminal on purpose."""
    return stream.bare if isinstance(stream, _Guarded) else stream


def _guard(stream: TextIO | None) -> TextIO | None:
    return stream if stream is None or isinstance(stream, _Guarded) else _Guarded(stream)
