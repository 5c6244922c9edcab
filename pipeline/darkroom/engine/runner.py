"""The one loop: photos through the steps of all consumers. It knows no op, no run folder and no report.

Work that several consumers or pictures share is one node and runs once. Results in the store are not computed again.
A failed step fails only the steps after it.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import groupby, islice
from typing import NamedTuple, Protocol, TypeVar

from darkroom.dataset import Photo
from darkroom.engine.edit_cache import EditCache, MetadataTexts
from darkroom.engine.graph import Node, PhotoNode, StepNode, StepPath, merge, next_level
from darkroom.engine.step_result import StepResult
from darkroom.engine.stored_embeddings import StoredEmbeddings
from darkroom.errors import DarkroomError, PhotoError
from darkroom.imaging.edit import Edit
from darkroom.models import Models
from darkroom.planning.cache_keys import Keys
from darkroom.planning.plan import Step
from darkroom.planning.preflight import planned
from darkroom.store import Result, Store
from darkroom.system.interrupts import raise_if_interrupted
from darkroom.system.watching import piece_done

log = logging.getLogger("darkroom")
T = TypeVar("T")


class ResultSink(Protocol):
    """Receives the pictures of one photo."""

    @property
    def remaining(self) -> Sequence[Step] | PhotoError:
        """The part of the photo's tree that must still be computed, which may be empty; or why there is no tree."""

    def deliver(self, steps: Sequence[Step], results: Sequence[StepResult | PhotoError]) -> None:
        """Receive a picture, finished or failed. Pictures arrive in the order of the tree.

        Args:
            steps: the path to the picture, as planned.
            results: of the photo, then of each step; ends with the error that stopped the picture, if any.
        """

    def flush(self) -> None:
        """Called after `deliver` when no further picture is ready."""


class Consumer(Protocol):
    """Wants pictures of photos: a job, a survey of a baseline, a reproduction."""

    def tree(self, photo: Photo) -> Sequence[Step]:
        """The steps of a photo. Raises `PhotoError` if they cannot be planned."""

    def begin(self, photo: Photo, digest: str | PhotoError, tree: Sequence[Step] | PhotoError) -> ResultSink:
        """Begin a photo.

        Args:
            photo: the photo.
            digest: SHA-256 of its file, or why it cannot be read.
            tree: from `tree`, or why the steps cannot be planned.
        """


class _Queue(NamedTuple):
    """The pictures of one photo that a consumer still waits for."""

    sink: ResultSink
    paths: deque[StepPath]


class _Work(NamedTuple):
    """A photo in progress, and the queues of pictures that wait for it."""

    root: PhotoNode
    queues: Sequence[_Queue]


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
        seconds: computing time, by op.
    """

    def __init__(self, models: Models, store: Store, texts: MetadataTexts) -> None:
        self._models = models
        models.embeddings = StoredEmbeddings(store)
        self._store = store
        self._keys = Keys(models)
        self._edits = EditCache(models, store, texts)
        self._batch_size = models.batch_size  # that the current keys were made with
        self.reused: Counter[str] = Counter()
        self.computed: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.seconds: dict[str, float] = {}

    def run(self, photos: Iterable[Photo], consumers: Sequence[Consumer]) -> None:
        """Take every photo through the steps of all consumers.

        It takes as many photos at once as a batch of the models has pictures.

        Raises:
            SetupError: this machine lacks something that a recipe needs.
            OutputError: results cannot be written.
        """
        waiting = iter(photos)
        while batch := list(islice(waiting, self._models.batch_size)):
            self._batch_size = self._models.batch_size
            works = [self._begin(photo, consumers) for photo in batch]
            roots = [work.root for work in works]
            self._decode([work.root for work in works if any(queue.paths for queue in work.queues)])
            _deliver(works)
            level = next_level(roots)
            while level:
                for _, nodes in groupby(level, lambda node: type(node.step.stage)):
                    self._run_op(list(nodes), works)
                level = next_level(level)
            self._edits.clear()
            for root in roots:
                root.close()

    def run_ahead(self, photos: Iterable[Photo], consumers: Sequence[Consumer]) -> None:
        """`run`, for results that a later `run` will find in the store; they do not count as cache hits there."""
        reused, computed = self.reused.copy(), self.computed.copy()
        self.run(photos, consumers)
        self.reused = reused
        self.reused.subtract(self.computed - computed)

    def _begin(self, photo: Photo, consumers: Sequence[Consumer]) -> _Work:
        """The photo's node, and below it the merged steps of all consumers."""
        root = PhotoNode(photo)
        digest = _attempt(photo.digest, photo)
        if isinstance(digest, PhotoError):
            root.error = digest
        else:
            root.digest, root.key = digest, self._keys.photo(digest)
        queues = []
        for consumer in consumers:
            tree = PhotoError(photo.problem) if photo.problem else _attempt(partial(self._plan, consumer, photo), photo)
            sink = consumer.begin(photo, digest, tree)
            queues.append(_Queue(sink, deque(merge(root, sink.remaining, self._find_key))))
        return _Work(root, queues)

    def _plan(self, consumer: Consumer, photo: Photo) -> Sequence[Step]:
        return planned(photo, partial(consumer.tree, photo), self._models)

    def _find_key(self, step: Step, parent: Node) -> str | PhotoError:
        photo, earlier = parent.root.photo, parent.output_keys()
        key = partial(self._keys.step, step.op, step.stage, parent.output_key, earlier, photo.name)
        return _attempt(key, photo)

    def _decode(self, roots: Sequence[PhotoNode]) -> None:
        for root in roots:
            if root.error is None and not self._recall(root):
                self._finish(root, _attempt(partial(self._edits.store_photo, root), root.photo))

    def _run_op(self, nodes: Sequence[StepNode], works: Sequence[_Work]) -> None:
        """Get the results of steps of one op, batch by batch; each batch is stored and delivered before the next."""
        batch: list[StepNode] = []
        for node in nodes:
            full = len(batch) >= node.step.stage.batch_size(self._models)
            if full or any(node.key == other.key for other in batch):  # first, so that the store has that result
                self._compute(batch)
                _deliver(works)
                piece_done()
                batch = []
            if not self._recall(node):
                batch.append(node)
        if batch:
            self._compute(batch)
        _deliver(works)
        piece_done()

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

    def _compute(self, batch: Sequence[StepNode]) -> None:
        started = time.perf_counter()
        changes = self._apply(batch)
        seconds = (time.perf_counter() - started) / len(batch)
        for node, change in zip(batch, changes, strict=True):
            op, result = node.step.op, self._store_edit(node, change, seconds)
            self.computed[op] += 1
            self.failed[op] += isinstance(result, PhotoError)
            self.seconds[op] = self.seconds.get(op, 0) + seconds
            self._finish(node, result)

    def _apply(self, batch: Sequence[StepNode]) -> Sequence[tuple[Edit, Edit] | PhotoError]:
        """The edits before and after each step, or why it failed. If a batch fails, its steps run one by one."""
        stages = [node.step.stage for node in batch]

        def apply() -> list[tuple[Edit, Edit]]:
            before = [self._edits.edit_after(node.parent) for node in batch]
            return list(zip(before, type(stages[0]).apply_together(stages, before, self._models), strict=True))

        changes = _attempt(apply, batch[0].root.photo)
        if not isinstance(changes, PhotoError):
            return changes
        return [changes] if len(batch) == 1 else [self._apply([node])[0] for node in batch]

    def _store_edit(
        self, node: StepNode, change: tuple[Edit, Edit] | PhotoError, seconds: float
    ) -> Result | PhotoError:
        if isinstance(change, PhotoError):
            return change
        before, after = change

        def store() -> Result:
            self._check_inputs(node)
            return self._edits.store_edit(node, before, after, seconds)

        return _attempt(store, node.root.photo)

    def _check_inputs(self, node: StepNode) -> None:
        """Raise `PhotoError` if a file that the step reads has changed since its key was made."""
        reads_files = node.step.stage.input_files(node.root.photo.name)
        comparable = self._batch_size == self._models.batch_size
        if reads_files and comparable and self._find_key(node.step, node.parent) != node.key:
            raise PhotoError("an input file changed during the run")

    def _finish(self, node: Node, result: Result | PhotoError) -> None:
        """Set a computed result and store it under the node's key, if it belongs to this key."""
        if isinstance(result, PhotoError):
            node.error = result
            return
        _set_result(node, result)
        node.unverified = isinstance(node, StepNode) and node.parent.unverified
        if node.unverified:
            return  # the run folder may be a stranger's, so the result may not belong to the key
        if self._batch_size == self._models.batch_size:
            self._store.put(node.key, result)
        else:
            node.key = ""  # out of memory made the batch smaller, so the numerics are not those of the key


def _set_result(node: Node, result: Result) -> None:
    """Set a node's result; a gate decides at once whether the photo goes on."""
    node.result = result
    if isinstance(node, StepNode) and node.step.gate:
        reason = _attempt(partial(node.step.gate, result.figures), node.root.photo)
        if isinstance(reason, PhotoError):
            node.error = reason
        else:
            node.flag = reason


def _deliver(works: Iterable[_Work]) -> None:
    """Deliver the pictures that are finished or have failed, to each consumer in the order of its tree."""
    for work in works:
        for sink, paths in work.queues:
            delivered = False
            while paths and (results := paths[0].results()) is not None:
                sink.deliver(paths.popleft().steps, results)
                delivered = True
            if delivered:
                sink.flush()


def _attempt(work: Callable[[], T], photo: Photo) -> T | PhotoError:
    """Do something for one photo; an error in it, even an unexpected one, fails this photo only."""
    try:
        return work()
    except PhotoError as error:
        return error
    except DarkroomError:
        raise
    except Exception as error:
        raise_if_interrupted()
        log.debug("unexpected error at %s", photo.name, exc_info=error)
        return PhotoError(f"unexpected {type(error).__name__}: {error} (traceback in run.log)")
