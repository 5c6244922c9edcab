"""The digests of photos that earlier runs have read, in one file of the store.

A file counts as unchanged if its device, inode, size and both its dates, of content and of status, are those of the
time when it was read. On Linux and macOS no program can set the date of status, so that a changed file is noticed even
if its size and its date of content are the old ones; on Windows this date is that of creation. A file that was changed
less than two seconds before it was read is not remembered: it could change again without a change of its dates.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np

from darkroom.dataset.digests import remembered_by
from darkroom.errors import OutputError
from darkroom.store.seal import is_sealed, seal
from darkroom.store.store import Store
from darkroom.system.files import writing

FILE = "digests"

_RECORD = np.dtype([("status", "<u8"), ("check", "<u8"), ("digest", "V32")])  # a hash of the status, in two parts
_HASH = 16  # bytes
_STATUS = struct.Struct("<QQQqq")
_SEAL = 64  # hexadecimal digits, before the records
_MAX_RECORDS = 2_000_000  # 96 MB; further ones are forgotten
_FRESH = 2_000_000_000  # ns; the dates of some file systems are this coarse


class RememberedDigests:
    """The digests in a store (`dataset.digests.Memory`); 56 bytes of memory per photo.

    Args:
        store: it need not exist.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._new = bytearray()
        self._records: bytes | None = None
        self._order = array("Q")

    def find(self, status: os.stat_result) -> str | None:
        """See `dataset.digests.Memory`."""
        if self._records is None:
            self._records = self._read()
            self._order = array("Q", np.frombuffer(self._records, _RECORD)["status"].tobytes())
        wanted = _hash(status)
        start = _RECORD.itemsize * bisect_left(self._order, int.from_bytes(wanted[:8], "little"))
        if self._records.startswith(wanted, start):
            return self._records[start + _HASH : start + _RECORD.itemsize].hex()
        return None

    def add(self, status: os.stat_result, digest: str) -> None:
        """See `dataset.digests.Memory`; a file that has only just changed is not remembered."""
        if max(status.st_mtime_ns, status.st_ctime_ns) < time.time_ns() - _FRESH:
            self._new += _hash(status) + bytes.fromhex(digest)

    def save(self) -> None:
        """Write what is new to the store, with what other processes have written in the meantime.

        Raises:
            OutputError: it cannot be written.
        """
        if not self._new:
            return
        records = np.frombuffer(bytes(self._new) + self._read(), _RECORD)[:_MAX_RECORDS]
        _, places = np.unique(records["status"], return_index=True)
        data = records[places].tobytes()
        with writing(self._store.folder / FILE):
            self._store.files.write(FILE, seal(_sealed_text(data)).encode() + data)
        self._new.clear()
        self._records = None

    def _read(self) -> bytes:
        """The records in the file, sorted; none if there is no file, or another user has written it."""
        try:
            data = self._store.files.read(FILE, _SEAL + _MAX_RECORDS * _RECORD.itemsize)
        except OSError:
            data = b""
        records = data[_SEAL:]
        if len(records) % _RECORD.itemsize or not is_sealed(
            _sealed_text(records), data[:_SEAL].decode("ascii", "replace")
        ):
            records = b""
        return records


@contextmanager
def remembered_digests(store: Store, save: bool) -> Iterator[None]:
    """Let photos use the digests that a store remembers.

    Args:
        store: it need not exist.
        save: at the end, write the new ones; a disk that is full then does no harm.
    """
    memory = RememberedDigests(store)
    try:
        with remembered_by(memory):
            yield
    finally:
        if save:
            with suppress(OutputError):
                memory.save()


def _hash(status: os.stat_result) -> bytes:
    """`_HASH` bytes that stand for what says whether a file has changed."""
    given = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    try:
        packed = _STATUS.pack(*given)
    except struct.error:  # such as an inode of 128 bits, which Windows has
        packed = repr(given).encode()
    return hashlib.blake2b(packed, digest_size=_HASH).digest()


def _sealed_text(records: bytes) -> str:
    return f"{FILE} {hashlib.sha256(records).hexdigest()}"
