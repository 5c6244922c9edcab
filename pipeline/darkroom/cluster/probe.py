"""Finds out whether a worker works with the same store: the same files, under the same key, with locks that hold."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from darkroom.errors import OutputError
from darkroom.store import Result, Store
from darkroom.system.locks import locked


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
