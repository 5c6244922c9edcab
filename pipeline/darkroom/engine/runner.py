"""The one loop: photos through the trees of all consumers that want them. Nothing here knows an op, a file or a name.

Work that several consumers or pictures share is one node and runs once. Results in the store are not computed again.
A failed step fails only the steps below it.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby, islice
from typing import NamedTuple, Protocol, TypeVar

from darkroom.dataset import Photo
from darkroom.engine.edit_cache import EditCache
from darkroom.engine.graph import Node, StepPath, Subject, below, merge, outcomes
from darkroom.engine.step_result import StepResult
from darkroom.errors import DarkroomError, PhotoError
from darkroom.imaging.edit import Edit
from darkroom.models import Models
from darkroom.planning.cache_keys import Keys
from darkroom.planning.plan import Step
from darkroom.planning.preflight import planned
from darkroom.store import Result, Store
from darkroom.system.interrupts import raise_if_interrupted

log = logging.getLogger("darkroom")
T = TypeVar("T")


class ResultSink(Protocol):
    """Where the pictures of one photo go.

    Attributes:
        remaining: the part of the consumer's tree that is still to be made, which may be nothing; or why there is none.
    """

    remaining: Sequence[Step] | PhotoError

    def deliver(self, steps: Sequence[Step], way: Sequence[StepResult | PhotoError]) -> None:
        """A picture is finished or has failed. They come in the order of the consumer's tree.

        Args:
            steps: the way to the picture, as planned.
            way: the photo, then what each step has made of it; ends with the error that stopped it, if any.
        """

    def flush(self) -> None:
        """Nothing more comes for now."""


class Consumer(Protocol):
    """What somebody wants made of photos."""

    def tree(self, photo: Photo) -> Sequence[Step]:
        """The steps of a photo. Raises `PhotoError` where it cannot be planned."""

    def begin(self, photo: Photo, digest: str | PhotoError, tree: Sequence[Step] | PhotoError) -> ResultSink:
        """A photo is taken up.

        Args:
            photo: which.
            digest: SHA-256 of its file, or why it cannot be read.
            tree: its steps (`tree`), or why it cannot be planned.
        """


class _Queue(NamedTuple):
    """The pictures of one photo that a consumer still waits for."""

    sink: ResultSink
    ways: deque[StepPath]


class _Work(NamedTuple):
    """A photo that is being worked on, and who waits for it."""

    root: Node
    queues: Sequence[_Queue]


class Runner:
    """Computes what is missing and hands out what is there.

    Args:
        models: the models that stages may ask.
        store: where results are looked for and kept.

    Attributes:
        reused: how many results of each op the store had.
        computed: how many of each op were made, or tried; `failed`: how many of these came to nothing.
        seconds: what that took, by op.
    """

    def __init__(self, models: Models, store: Store) -> None:
        self._models = models
        self._store = store
        self._keys = Keys(models)
        self._edits = EditCache(models, store)
        self._batch_size = models.batch_size  # that the keys at hand were made with
        self.reused: Counter[str] = Counter()
        self.computed: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()

    def run(self, photos: Iterable[Photo], consumers: Sequence[Consumer]) -> None:
        """Take every photo through the trees of all consumers.

        As many photos are in work together as the models take pictures in a batch.

        Raises:
            SetupError: something that a recipe needs is missing.
            OutputError: results cannot be written.
        """
        waiting = iter(photos)
        while together := list(islice(waiting, self._models.batch_size)):
            self._batch_size = self._models.batch_size
            works = [self._take_up(photo, consumers) for photo in together]
            roots = [work.root for work in works]
            self._decode([work.root for work in works if any(queue.ways for queue in work.queues)])
            _deliver(works)
            level = below(roots)
            while level:
                for _, nodes in groupby(level, lambda node: type(node.step.stage)):
                    self._make(list(nodes), works)
                level = below(level)
            self._edits.forget()
            for root in roots:
                root.subject.close()

    def look_ahead(self, photos: Iterable[Photo], consumers: Sequence[Consumer]) -> None:
        """Run consumers whose results a later run will ask for again, which then does not count as reuse; see `run`."""
        reused, computed = self.reused.copy(), self.computed.copy()
        self.run(photos, consumers)
        self.reused = reused
        self.reused.subtract(self.computed - computed)

    def _take_up(self, photo: Photo, consumers: Sequence[Consumer]) -> _Work:
        """The photo's node, with the merged trees of all consumers below it."""
        root = Node("", None, None, Subject(photo))
        digest = _attempt(photo.digest, photo)
        if isinstance(digest, PhotoError):
            root.error = digest
        else:
            root.subject.digest, root.key = digest, self._keys.photo(digest)
        queues = []
        for consumer in consumers:
            tree = PhotoError(photo.problem) if photo.problem else _attempt(partial(self._plan, consumer, photo), photo)
            sink = consumer.begin(photo, digest, tree)
            queues.append(_Queue(sink, deque(merge(root, sink.remaining, self._find_key))))
        return _Work(root, queues)

    def _plan(self, consumer: Consumer, photo: Photo) -> Sequence[Step]:
        return planned(photo, partial(consumer.tree, photo), self._models)

    def _find_key(self, step: Step, parent: str, above: Mapping[str, str], photo: Photo) -> str | PhotoError:
        return _attempt(partial(self._keys.step, step.op, step.stage, parent, above, photo.name), photo)

    def _decode(self, roots: Sequence[Node]) -> None:
        for root in roots:
            if root.error is None and not self._recall(root):
                self._keep(root, _attempt(partial(self._edits.keep_photo, root), root.subject.photo))

    def _make(self, nodes: Sequence[Node], works: Sequence[_Work]) -> None:
        """Have the results of steps of one op; what a batch has made is kept and handed out before the next."""
        batch: list[Node] = []
        for node in nodes:
            full = len(batch) >= node.step.stage.batch_size(self._models)
            if full or any(node.key == other.key for other in batch):  # then this one will be there in a moment
                self._compute(batch)
                _deliver(works)
                batch = []
            if not self._recall(node):
                batch.append(node)
        if batch:
            self._compute(batch)
        _deliver(works)

    def _recall(self, node: Node) -> bool:
        result = self._store.get(node.key)
        if result is None:
            result = self._edits.lent(node)
            node.lent = result is not None
        if result is None:
            return False
        if node.step:
            self.reused[node.step.op] += 1
        _take(node, result)
        return True

    def _compute(self, batch: Sequence[Node]) -> None:
        started = time.perf_counter()
        changes = self._apply(batch)
        seconds = (time.perf_counter() - started) / len(batch)
        for node, change in zip(batch, changes, strict=True):
            self.computed[node.step.op] += 1
            self.seconds[node.step.op] += seconds
            if not isinstance(change, PhotoError):
                change = _attempt(partial(self._finish, node, *change, seconds), node.subject.photo)
            self.failed[node.step.op] += isinstance(change, PhotoError)
            self._keep(node, change)

    def _finish(self, node: Node, before: Edit, edit: Edit, seconds: float) -> Result:
        """Keep what a step has made, if the files that it reads are still those that its key was made from."""
        name = node.subject.photo.name
        if node.step.stage.input_files(name) and self._batch_size == self._models.batch_size:
            key = self._find_key(node.step, node.parent.content, node.above(), node.subject.photo)
            if key != node.key:
                raise PhotoError("a file that it reads was changed while it was worked on")
        return self._edits.keep(node, before, edit, seconds)

    def _apply(self, batch: Sequence[Node]) -> Sequence[tuple[Edit, Edit] | PhotoError]:
        """What each step works on and makes, or why it does not; where one spoils it for all, one by one."""
        stages = [node.step.stage for node in batch]

        def apply() -> list[tuple[Edit, Edit]]:
            before = [self._edits.at(node.parent) for node in batch]
            return list(zip(before, type(stages[0]).apply_together(stages, before, self._models), strict=True))

        changes = _attempt(apply, batch[0].subject.photo)
        if not isinstance(changes, PhotoError):
            return changes
        return [changes] if len(batch) == 1 else [self._apply([node])[0] for node in batch]

    def _keep(self, node: Node, result: Result | PhotoError) -> None:
        if isinstance(result, PhotoError):
            node.error = result
            return
        _take(node, result)
        node.lent = node.parent is not None and node.parent.lent
        if node.lent:
            return  # a run folder may be anybody's: what is made of its files is no result of this key
        if self._batch_size == self._models.batch_size:
            self._store.put(node.key, result)
        else:
            node.key = ""  # the numerics are not those that it stands for


def _take(node: Node, result: Result) -> None:
    """Let a node have its result; a gate judges by it at once."""
    node.result = result
    if node.step and node.step.gate:
        verdict = _attempt(partial(node.step.gate, result.figures), node.subject.photo)
        if isinstance(verdict, PhotoError):
            node.error = verdict
        else:
            node.flag = verdict


def _deliver(works: Iterable[_Work]) -> None:
    """Hand out what has come to its end, to each consumer in the order of its tree."""
    for work in works:
        for sink, ways in work.queues:
            handed = False
            while ways and (way := outcomes(ways[0])) is not None:
                sink.deliver(ways.popleft()[0], way)
                handed = True
            if handed:
                sink.flush()


def _attempt(work: Callable[[], T], photo: Photo) -> T | PhotoError:
    """The work's result, or why this photo cannot have it. What nobody foresaw costs one photo too."""
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
