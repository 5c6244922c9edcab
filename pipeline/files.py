"""Files that are there whole or not at all, and locks that die with their process."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import OutputError

_TEMPORARY = ".*.tmp"  # files that are being written, see `_beside`


def write_atomically(target: Path, data: bytes, mode: int | None = None) -> None:
    """Replace a file by its new content at once; a crash leaves the old one or the new one.

    Args:
        target: in a folder that exists.
        data: its content; on the disk when this returns.
        mode: permissions; None for the user's usual ones.
    """
    temporary = _beside(target)
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, a hard link; where the file system has none or no more of them, a copy.

    What is there under that name is replaced, at once.
    """
    temporary = _beside(target)
    try:
        try:
            temporary.hardlink_to(source)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copy(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)  # renaming one name of a file to another of its names leaves both


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes have left half-written, also in the folders below. Nobody may be writing there.

    Raises:
        OutputError: it cannot be removed.
    """
    with writing(folder):
        for path in folder.rglob(_TEMPORARY):
            path.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path, *, shared: bool = False, busy: str) -> Iterator[None]:
    """Hold a folder for this process. The kernel gives it back however the process ends.

    Args:
        folder: which.
        shared: others may hold it too, as long as nobody wants it alone.
        busy: the line that tells that somebody else holds it.

    Raises:
        OutputError: somebody holds it, or it cannot be opened.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise OutputError(busy) from None
    except OSError:
        pass  # a file system without locks, as some network ones are
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the operating system says while writing into the one line that a user can act on."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from None


def _beside(target: Path) -> Path:
    """A name in the same folder that nobody else uses. Long names are cut: 255 bytes is what file systems take."""
    return target.with_name(f".{target.name[:80]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
