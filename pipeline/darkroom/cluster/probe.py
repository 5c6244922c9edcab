"""Finds out whether a worker works with the same store: the same files, under the same key; and whether the file system
keeps what the store relies on: locks, and files that are replaced at once.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from darkroom.errors import OutputError
from darkroom.store import Result, Store
from darkroom.system.files import Folder
from darkroom.system.locks import locked

_REPLACED = 20  # times that a file is replaced while it is read
_BYTES = 100_000  # of this file


@contextmanager
def probe(store: Store) -> Iterator[str]:
    """A result in the store whose key the workers are told; it is removed at the end."""
    key = hashlib.sha256(secrets.token_bytes(32)).hexdigest()
    store.put(key, Result())
    try:
        yield key
    finally:
        store.remove(key)


def is_shared(store: Store, key: str) -> bool:
    """Whether a store, as this process sees it, is the one with a probe, and has the same key of the user."""
    return store.has(key)


def locks_hold(store: Store) -> bool:
    """Whether this process is kept from locking a store that another machine has locked."""
    with suppress(OutputError), locked(store.folder, busy=""):
        return False
    return True


def renames_hold(files: Folder) -> bool:
    """Whether a file in a store that is replaced again and again is always there, and whole, for whoever reads it."""
    name, contents = f"probe-{secrets.token_hex(8)}", {bytes([number]) * _BYTES for number in range(2)}
    try:
        files.write(name, min(contents))
        return _always_whole(files, name, contents)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            files.remove(name)


def _always_whole(files: Folder, name: str, contents: set[bytes]) -> bool:
    """Whether a reader finds one of the contents each time. Raises `OSError` if the file was missing for a moment."""
    failed: list[OSError] = []

    def replace() -> None:
        try:
            for number in range(_REPLACED):
                files.write(name, sorted(contents)[number % 2])
        except OSError as error:
            failed.append(error)

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        whole = True
        while whole and writer.is_alive():
            whole = files.read(name) in contents
    finally:
        writer.join()
    return whole and not failed
