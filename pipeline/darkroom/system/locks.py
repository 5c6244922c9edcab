"""Locks on folders. The system releases them however their process ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import portalocker

from darkroom.errors import OutputError

LOCK_FILE = ".darkroom.lock"  # in a folder that is or was locked, where a folder itself cannot be: on Windows


@contextmanager
def locked(folder: Path, *, shared: bool = False, busy: str) -> Iterator[None]:
    """Lock a folder for this process. On a file system without locks, such as some network ones, this does nothing.

    Args:
        folder: an existing folder.
        shared: other processes may hold it too, as long as all of them share it.
        busy: the error line for a folder that somebody else holds.

    Raises:
        OutputError: somebody else holds the folder, or it cannot be opened.
    """
    try:
        descriptor = _open(folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be opened: {error.strerror}") from None
    kind = portalocker.LockFlags.SHARED if shared else portalocker.LockFlags.EXCLUSIVE
    try:
        with suppress(portalocker.LockException):
            _lock(descriptor, kind, busy)
        yield
    finally:
        with suppress(portalocker.LockException):
            portalocker.unlock(descriptor)  # Windows releases the lock late if the file is only closed
        os.close(descriptor)


def _open(folder: Path) -> int:
    if hasattr(os, "O_DIRECTORY"):
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    return os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT)


def _lock(descriptor: int, kind: portalocker.LockFlags, busy: str) -> None:
    try:
        portalocker.lock(descriptor, kind | portalocker.LockFlags.NON_BLOCKING)
    except portalocker.AlreadyLocked:
        raise OutputError(busy) from None
