"""Asks a store for very many keys."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from contextlib import suppress

from darkroom.store.store import Store

VERIFIED = 20_000  # entries that are read
_FEW = 1_000  # keys for which listing a large store does not pay


class ManyKeys:
    """Whether a store has results for keys.

    For the first keys it is `Store.has`. Later it looks into listings of the store's folders, which show what is
    missing; of the entries that are listed, it reads the first and relies on the names of the others. A name says
    nothing about who wrote an entry. Takes 8 bytes of memory per entry of the store.

    Args:
        store: it need not exist.

    Attributes:
        by_name: the number of keys that were found by name only.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked = self._read = self.by_name = 0
        self._listings: dict[str, array[int]] = {}

    def has(self, key: str) -> bool:
        """Whether there is a result for a key; its blobs are not checked."""
        self._asked += 1
        if self._asked > _FEW:
            listing = self._listings.get(key[:2])
            if listing is None:
                listing = self._listings[key[:2]] = self._list(key[:2])
            if not listing or not _holds(listing, int(key[:16], 16)):
                return False
        self._read += 1
        if self._read <= VERIFIED:
            return self._store.has(key)
        self.by_name += 1
        return True

    def _list(self, first: str) -> array[int]:
        """The first 16 digits of the keys that begin with two given ones, as sorted numbers."""
        starts: list[int] = []
        with suppress(OSError), os.scandir(self._store.folder / "results" / first) as entries:
            for entry in entries:
                with suppress(ValueError):
                    starts.append(int(entry.name[:16], 16))
        return array("Q", sorted(starts))


def _holds(listing: array[int], number: int) -> bool:
    """Whether a number is in a sorted listing."""
    place = bisect_left(listing, number)
    return place < len(listing) and listing[place] == number
