"""SAM's embeddings of photos, in the store."""

from __future__ import annotations

from io import BytesIO

import numpy as np

from darkroom.store import Result, Store


class StoredEmbeddings:
    """Keeps embeddings in a store (`models.interfaces.Embeddings`): 2 MB a photo for SAM, 8 MB for SAM 2.1.

    Args:
        store: the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, key: str) -> np.ndarray | None:
        """See `Embeddings.get`."""
        result = self._store.get(key)
        if result is None or result.embedding is None:
            return None
        try:
            return np.load(BytesIO(self._store.read_blob(result.embedding)), allow_pickle=False)  # type: ignore[no-any-return]
        except (OSError, ValueError):
            return None

    def put(self, key: str, embedding: np.ndarray) -> None:
        """See `Embeddings.put`."""
        if not self._store.exists():
            self._store.create()
        file = BytesIO()
        np.save(file, embedding)
        self._store.put(key, Result(embedding=self._store.add_blob(file.getvalue(), ".npy")))
