"""Standard output and standard error of the command line.

They stay usable when their reader goes away, and nothing that any library prints can control the terminal. Only the
command line replaces the streams, by `begin`; a run that a notebook or a thread starts leaves them alone.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

from darkroom.errors import printable

_READER_GONE = (errno.EPIPE, errno.EINVAL)  # as behind `| head`; Windows says EINVAL


def begin() -> None:
    """Replace standard output and standard error by streams that stay usable and print only printable text.

    Call it once, before anything is printed.
    """
    for number in (0, 1, 2):  # if one is closed, the next file opened would get its number
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = _guarded(sys.stdout, 1), _guarded(sys.stderr, 2)


def bare(stream: TextIO) -> TextIO:
    """The same stream without the guard, for a progress bar, which moves the cursor on purpose."""
    return cast(TextIO, stream.bare) if isinstance(stream, GuardedStream) else stream


class LastingStream(io.TextIOBase):
    """A text stream whose reader may leave, and whose disk may be full: text that cannot be written is dropped.

    Nothing is buffered. Characters that the encoding lacks are escaped. There is no `buffer`, which would let bytes
    pass unseen.

    Args:
        raw: where the bytes go.
        encoding: of the text.
    """

    errors = "backslashreplace"
    _failure_reported = False

    def __init__(self, raw: io.RawIOBase, encoding: str) -> None:
        self._raw = raw
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]  # io has an attribute that cannot be set
        return self._encoding

    def write(self, text: str) -> int:
        try:
            self._send(text.encode(self._encoding, self.errors))
        except OSError as error:
            if not self._failure_reported and error.errno not in _READER_GONE:
                self._failure_reported = True
                with suppress(OSError):
                    os.write(2, f"standard output: cannot be written: {error.strerror}\n".encode())
        return len(text)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._raw.isatty()

    def fileno(self) -> int:
        return self._raw.fileno()

    def _send(self, data: bytes) -> None:
        while data:
            written = self._raw.write(data)
            if written is None:  # a full non-blocking pipe
                return
            data = data[written:]


class GuardedStream(LastingStream):
    """A lasting stream that lets only printable characters and line breaks through; others are escaped.

    Attributes:
        bare: the same stream without the guard.
    """

    def __init__(self, raw: io.RawIOBase, encoding: str) -> None:
        super().__init__(raw, encoding)
        self.bare = LastingStream(raw, encoding)

    def write(self, text: str) -> int:
        super().write("\n".join(map(printable, text.split("\n"))))
        return len(text)


def _guarded(stream: Any, number: int) -> TextIO:
    """A guarded stream in place of one of Python's own, which is None if its descriptor was closed."""
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer) or io.FileIO(number, "w", closefd=False)
    return cast(TextIO, GuardedStream(raw, getattr(stream, "encoding", "utf-8")))
