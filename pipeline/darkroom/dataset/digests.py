"""Digests of photos' files, and the memory that saves reading a file again which has not changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from darkroom.imaging import codec


class Memory(Protocol):
    """Remembers the SHA-256 of files by their status: device, inode, size and dates."""

    def find(self, status: os.stat_result) -> str | None:
        """The SHA-256 of the file with this status, 64 hexadecimal digits; None if it is not remembered."""

    def add(self, status: os.stat_result, digest: str) -> None:
        """Remember the SHA-256 of a file that has just been read and had this status before and after."""


_memory: Memory | None = None


@contextmanager
def remembered_by(memory: Memory) -> Iterator[None]:
    """Let `photo_digest` use a memory."""
    global _memory  # photos are read deep inside a run
    before, _memory = _memory, memory
    try:
        yield
    finally:
        _memory = before


def photo_digest(path: str | Path) -> str:
    """SHA-256 of a photo's file, 64 hexadecimal digits; not read again if its status says that it has not changed.

    Raises:
        PhotoError: it cannot be read.
    """
    memory = _memory
    if memory is None:
        return codec.photo_digest(Path(path))
    try:
        status = os.stat(path)  # noqa: PTH116  # a million times
    except (OSError, ValueError):
        return codec.photo_digest(Path(path))  # which gives the reason
    if (found := memory.find(status)) is not None:
        return found
    digest = codec.photo_digest(Path(path))
    with suppress(OSError):
        if _identity(os.stat(path)) == _identity(status):  # noqa: PTH116
            memory.add(status, digest)
    return digest


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
