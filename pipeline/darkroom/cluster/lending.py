"""Finds the results that this process has and a worker does not, so that the worker need not compute them again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from darkroom.cluster.messages import Lent, Share
from darkroom.engine.computation import attempt
from darkroom.engine.graph import Node, PhotoNode, merge
from darkroom.errors import PhotoError
from darkroom.models import Models
from darkroom.planning.cache_keys import Keys
from darkroom.planning.plan import Step
from darkroom.store import Store


class Lender:
    """Lends results: those of the store to a worker that does not see it, and to all those of a resumed run folder,
    which are known to this process alone.

    Args:
        models: with which photos are planned.
        store: of the outputs folder.
    """

    def __init__(self, models: Models, store: Store) -> None:
        self._models = models
        self._store = store
        self._keys = Keys(models)

    def lend(self, shares: Sequence[Share], shares_store: bool) -> Lent:
        """What is there for some shares.

        Args:
            shares: that a worker is about to compute.
            shares_store: the worker sees the store.
        """
        lent = Lent({}, {}, {})
        if shares_store and not self._store.has_any_unverified:
            return lent
        for key in (key for share in shares for key in self._keys_of(share)):
            result = self._store.get(key)
            if result and not shares_store:
                lent.stored[key] = result
            elif result is None and (result := self._store.get_unverified(key)):
                lent.unverified[key] = result
        if not shares_store:
            results = (*lent.stored.values(), *lent.unverified.values())
            lent.blobs.update({name: self._store.read_blob(name) for result in results for name in result.blobs()})
        return lent

    def _keys_of(self, share: Share) -> Iterator[str]:
        root = PhotoNode(share.photo, digest=share.digest, batch_size=self._models.batch_size)
        root.key = self._keys.photo(share.digest)
        all_paths = (path for tree in share.trees for path in merge(root, tree, self._find_key))
        yield from dict.fromkeys(node.key for path in all_paths for node in path.nodes if node.key)

    def _find_key(self, step: Step, parent: Node) -> str | PhotoError:
        photo, earlier = parent.root.photo, parent.output_keys()
        return attempt(partial(self._keys.step, step.op, step.stage, parent.output_key, earlier, photo.name), photo)
