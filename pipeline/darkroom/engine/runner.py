"""The one loop: photos through the steps of all consumers. It knows no op, no run folder and no report.

Work that several consumers or pictures share is one node and runs once. Results in the store are not computed again.
A failed step fails only the steps after it.

Workers compute nodes side by side (`side_by_side.py`). All else is done in the thread that calls `run`, in the order of
the plan: what is written does not depend on the number of workers, or on which of them is faster.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial

from darkroom.dataset import Photo
from darkroom.engine.computation import Computation, Computed, attempt
from darkroom.engine.consumer import Consumer
from darkroom.engine.delivery_queue import DeliveryQueue, PhotoQueue, Picture
from darkroom.engine.edit_cache import EditCache, MetadataTexts
from darkroom.engine.graph import Node, PhotoNode, StepNode, merge
from darkroom.engine.ready_queue import ReadyQueue
from darkroom.engine.side_by_side import SideBySide
from darkroom.engine.stored_embeddings import StoredEmbeddings
from darkroom.errors import OutputError, PhotoError
from darkroom.models import Models
from darkroom.planning.cache_keys import Keys
from darkroom.planning.plan import Step
from darkroom.planning.preflight import planned
from darkroom.store import Result, Store
from darkroom.system.watching import piece_done

_Workers = SideBySide[list[Node] | Picture, list[Computed]]

_BEGUN = 4  # photos that may be begun and not yet delivered, for each picture that can be in work


class Runner:
    """Computes missing results and delivers all pictures.

    Args:
        models: passed to the stages.
        store: where results are found and kept.
        texts: makes the text chunks of result PNGs.

    Attributes:
        reused: number of results found in the store, by op.
        computed: number of results computed, by op, including failures.
        failed: number of failures, by op.
        seconds: computing time, by op, of all workers together.
    """

    def __init__(self, models: Models, store: Store, texts: MetadataTexts) -> None:
        self._models = models
        models.embeddings = StoredEmbeddings(store)
        self._store = store
        self._keys = Keys(models)
        self._edits = EditCache(models, store, texts)
        self._compute = Computation(models, self._edits, self._find_key)
        self._ready = ReadyQueue(self._batch_size)
        self._equal: dict[str, list[Node]] = {}  # nodes that wait for another one with the same key, which is in work
        self._deliveries = DeliveryQueue()
        self._photos = 0
        self.reused: Counter[str] = Counter()
        self.computed: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.seconds: dict[str, float] = {}

    def run(self, photos: Iterable[Photo], consumers: Sequence[Consumer]) -> None:
        """Take every photo through the steps of all consumers.

        It begins a photo when the workers would otherwise have nothing to do.

        Raises:
            SetupError: this machine lacks something that a recipe needs.
            OutputError: results cannot be written.
        """
        waiting = iter(photos)
        with _Workers(self._models.workers) as workers:
            try:
                while self._give_work(workers, waiting, consumers):
                    self._finish(*workers.next())
                    self._deliveries.deliver()
                    piece_done()
            except BaseException as error:
                with suppress(OutputError):  # the disk may be full
                    for unit, results in workers.stop(at_once=isinstance(error, KeyboardInterrupt)):
                        self._finish(unit, results)
                raise

    def run_ahead(self, photos: Iterable[Photo], consumers: Sequence[Consumer]) -> None:
        """`run`, for results that a later `run` will find in the store; they do not count as cache hits there."""
        reused, computed = self.reused.copy(), self.computed.copy()
        self.run(photos, consumers)
        self.reused = reused
        self.reused.subtract(self.computed - computed)

    def _give_work(self, workers: _Workers, waiting: Iterator[Photo], consumers: Sequence[Consumer]) -> bool:
        """Give the workers as much as they can take; returns whether they have anything to do."""
        while workers.has_room:
            if unit := self._deliveries.next_picture() or self._ready.full_batch():
                workers.give(unit, self._work)
            elif self._may_begin() and (photo := next(waiting, None)):
                self._begin(photo, consumers)
            elif batch := self._ready.partial_batch(_nodes(workers.given)):
                workers.give(batch, self._work)
            else:
                break
        return any(workers.given)

    def _work(self, unit: list[Node] | Picture) -> list[Computed]:
        """What a worker does."""
        if isinstance(unit, Picture):
            unit.prepare()
            return []
        return self._compute(unit)

    def _may_begin(self) -> bool:
        return len(self._deliveries) < _BEGUN * self._models.workers * self._models.batch_size

    def _begin(self, photo: Photo, consumers: Sequence[Consumer]) -> None:
        """Make the photo's node, and below it the merged steps of all consumers."""
        self._photos += 1
        root = PhotoNode(photo, place=(self._photos,), batch_size=self._models.batch_size)
        digest = attempt(photo.digest, photo)
        if isinstance(digest, PhotoError):
            root.error = digest
        else:
            root.digest, root.key = digest, self._keys.photo(digest)
        queues = []
        for consumer in consumers:
            tree = PhotoError(photo.problem) if photo.problem else attempt(partial(self._plan, consumer, photo), photo)
            sink = consumer.begin(photo, digest, tree)
            queues.append(PhotoQueue(sink, deque(merge(root, sink.remaining, self._find_key)), deque()))
        if root.error is None and any(queue.paths for queue in queues):
            self._add(root)
        self._deliveries.add(queues)
        self._deliveries.deliver()
        piece_done()

    def _plan(self, consumer: Consumer, photo: Photo) -> Sequence[Step]:
        return planned(photo, partial(consumer.tree, photo), self._models)

    def _find_key(self, step: Step, parent: Node) -> str | PhotoError:
        photo, earlier = parent.root.photo, parent.output_keys()
        key = partial(self._keys.step, step.op, step.stage, parent.output_key, earlier, photo.name)
        return attempt(key, photo)

    def _batch_size(self, node: Node) -> int:
        return node.step.stage.batch_size(self._models) if isinstance(node, StepNode) else 1

    def _add(self, node: Node) -> None:
        """Add a node whose parent has a result."""
        node.root.unfinished += 1
        self._queue(node)

    def _queue(self, node: Node) -> None:
        """Get a node's result from the store, or else see to it that a worker computes it; equal nodes only once."""
        if node.key in self._equal:
            self._equal[node.key].append(node)
        elif self._recall(node):
            self._go_on(node)
        else:
            self._equal[node.key] = []
            self._ready.add(node)

    def _recall(self, node: Node) -> bool:
        """Get a result from the store, or else from a run folder that is being resumed; returns whether it is there."""
        result = self._store.get(node.key)
        if result is None:
            result = self._edits.get_unverified(node)
            node.unverified = result is not None
        if result is None:
            return False
        if isinstance(node, StepNode):
            self.reused[node.step.op] += 1
        _set_result(node, result)
        return True

    def _finish(self, unit: list[Node] | Picture, results: Sequence[Computed]) -> None:
        """Keep what a worker has computed, and go on from there."""
        for node, computed in zip(_nodes([unit]), results, strict=True):
            if isinstance(node, StepNode):
                self._count(node.step.op, computed)
            equal = self._equal.pop(node.key)
            self._keep(node, computed.result)
            for other in equal:
                self._queue(other)
            self._go_on(node)

    def _count(self, op: str, computed: Computed) -> None:
        self.computed[op] += 1
        self.failed[op] += isinstance(computed.result, PhotoError)
        self.seconds[op] = self.seconds.get(op, 0) + computed.seconds

    def _keep(self, node: Node, result: Result | PhotoError) -> None:
        """Set a computed result and store it under the node's key, if it belongs to this key."""
        if isinstance(result, PhotoError):
            node.error = result
            return
        _set_result(node, result)
        node.unverified = isinstance(node, StepNode) and node.parent.unverified
        if node.unverified:
            return  # the run folder may be a stranger's, so the result may not belong to the key
        if node.root.batch_size == self._models.batch_size:
            self._store.put(node.key, result)
        else:
            node.key = ""  # out of memory made the batch smaller, so the numerics are not those of the key

    def _go_on(self, node: Node) -> None:
        """Add the steps after a node that has a result; with the last of a photo, its pixels are no longer needed."""
        if node.result and not node.error:
            for child in node.children.values():
                self._add(child)
        node.root.unfinished -= 1
        if not node.root.unfinished:
            self._edits.forget(node.root)


def _nodes(units: Iterable[list[Node] | Picture]) -> Iterator[Node]:
    for unit in units:
        if not isinstance(unit, Picture):
            yield from unit


def _set_result(node: Node, result: Result) -> None:
    """Set a node's result; a gate decides at once whether the photo goes on."""
    node.result = result
    if isinstance(node, StepNode) and node.step.gate:
        reason = attempt(partial(node.step.gate, result.figures), node.root.photo)
        if isinstance(reason, PhotoError):
            node.error = reason
        else:
            node.flag = reason
