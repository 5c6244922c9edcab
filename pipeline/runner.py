"""The one loop: photos through the trees of all jobs that want them. Nothing here knows an op, a file or a name.

What several jobs, or several pictures, have in common is one node and is computed once; what the store holds is not
computed at all. A failure costs what hangs below it, and nothing else.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby, islice
from typing import Any, Protocol, TypeVar

import numpy as np

from pipeline.compositing import to_alpha
from pipeline.dataset import Photo
from pipeline.dataset.photo import Picture, decode_png, encode_png
from pipeline.edit import Edit
from pipeline.errors import DarkroomError, PhotoError
from pipeline.keys import Keys, parameters
from pipeline.models import Models
from pipeline.plan import Step, paths
from pipeline.record import metadata
from pipeline.record.artifacts import Made
from pipeline.report.thumbnails import mask_thumbnail, photo_thumbnail
from pipeline.store import Result, Store

log = logging.getLogger("darkroom")
T = TypeVar("T")


class Tray(Protocol):
    """Where the pictures of one photo go."""

    def deliver(self, steps: Sequence[Step], way: Sequence[Made | PhotoError]) -> None:
        """A picture is finished or has failed. They come in the order of the job's tree.

        Args:
            steps: the way to the picture, as planned.
            way: the photo, then what each step has made of it; ends with the error that stopped it, if any.
        """

    def flush(self) -> None:
        """Nothing more comes for now."""


class Job(Protocol):
    """What somebody wants made of photos."""

    def tree(self, photo: Photo) -> Sequence[Step]:
        """The steps of a photo. Raises `PhotoError` where it cannot be planned."""

    def begin(self, photo: Photo, digest: str | None, pictures: int) -> Tray:
        """A photo is taken up, of which so many pictures will come.

        Args:
            photo: which.
            digest: SHA-256 of its file; None where it cannot be read.
            pictures: how many.
        """


@dataclass(eq=False)
class _Node:
    """A photo as decoded, or a step of it, for all jobs that ask for it.

    Attributes:
        key: content key; empty where it cannot be known, since the photo or a file cannot be read.
        step: None for the photo itself.
        parent: what it works on.
        subject: the photo it belongs to.
        result: what was made; `error`: why not; neither before its turn.
    """

    key: str
    step: Step | None
    parent: _Node | None
    subject: _Subject
    result: Result | None = None
    error: PhotoError | None = None
    children: dict[tuple[str, str], _Node] = field(default_factory=dict)


@dataclass(eq=False)
class _Subject:
    """A photo that is being worked on."""

    photo: Photo
    digest: str | None = None
    picture: Picture | None = None
    queues: list[_Queue] = field(default_factory=list)

    def load(self) -> Picture:
        """The photo, decoded once. Raises `PhotoError`, also where the file is no longer the one that was planned."""
        if self.picture is None:
            picture = self.photo.load()
            if picture.digest != self.digest:
                raise PhotoError("the file was changed while it was worked on")
            self.picture = picture
        return self.picture


@dataclass(eq=False)
class _Queue:
    """The pictures of one photo that a job still waits for, in the order of its tree: planned steps and nodes.

    Where a step could not be planned, the nodes end earlier than the steps, with the one that has the error.
    """

    tray: Tray
    ways: deque[tuple[Sequence[Step], Sequence[_Node]]]


class Runner:
    """Computes what is missing and hands out what is there.

    Args:
        models: the models that stages may ask.
        store: where results are looked for and kept.

    Attributes:
        reused: how many results of each op the store had.
        computed: how many of each op were made.
        seconds: what that took, by op.
    """

    def __init__(self, models: Models, store: Store) -> None:
        self._models = models
        self._store = store
        self._keys = Keys(models)
        self._batch_size = models.batch_size  # that the keys at hand were made with
        self._edits: OrderedDict[_Node, Edit] = OrderedDict()
        self.reused: Counter[str] = Counter()
        self.computed: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()

    def run(self, photos: Iterable[Photo], jobs: Sequence[Job]) -> None:
        """Take every photo through the trees of all jobs.

        As many photos are in work together as the models take pictures in a batch.

        Raises:
            SetupError: something that a recipe needs is missing.
            OutputError: results cannot be written.
        """
        waiting = iter(photos)
        while together := list(islice(waiting, self._models.batch_size)):
            self._batch_size = self._models.batch_size
            roots = [self._take_up(photo, jobs) for photo in together]
            self._decode(roots)
            level = _below(roots)
            while level:
                for _, nodes in groupby(level, lambda node: type(node.step.stage)):
                    self._make(list(nodes))
                    self._deliver(roots)
                level = _below(level)
            self._edits.clear()
            for root in roots:
                root.subject.picture = None  # nodes and photos refer to each other, and would wait with their pixels

    def _take_up(self, photo: Photo, jobs: Sequence[Job]) -> _Node:
        """The photo's node, with the merged trees of all jobs below it."""
        subject = _Subject(photo)
        root = _Node("", None, None, subject)
        digest = _attempt(photo.digest, photo)
        if isinstance(digest, PhotoError):
            root.error = digest
        else:
            subject.digest, root.key = digest, self._keys.photo(digest)
        for job in jobs:
            ways = deque(self._ways(job, root))
            subject.queues.append(_Queue(job.begin(photo, subject.digest, len(ways)), ways))
        return root

    def _ways(self, job: Job, root: _Node) -> Iterable[tuple[Sequence[Step], Sequence[_Node]]]:
        """The job's ways to its pictures, along nodes that it may share with other jobs."""
        photo = root.subject.photo
        tree = () if photo.problem else _attempt(lambda: job.tree(photo), photo)
        if isinstance(tree, PhotoError):
            return [((), [_Node("", None, None, root.subject, error=tree)])]
        if root.error or not tree:
            return [(way, [root]) for way in paths(tree)] or [((), [root])]
        ways: list[tuple[Sequence[Step], Sequence[_Node]]] = []
        self._merge(tree, (), [root], {}, ways)
        return ways

    def _merge(
        self,
        tree: Sequence[Step],
        steps: tuple[Step, ...],
        nodes: list[_Node],
        above: Mapping[str, str],
        ways: list[tuple[Sequence[Step], Sequence[_Node]]],
    ) -> None:
        """Put a tree below the last of these nodes and collect the ways through it."""
        for step in tree:
            node = self._child(nodes[-1], step, above)
            if node.error:
                ways += [(way, [*nodes, node]) for way in paths([step], steps)]
            elif step.children:
                here = above | {step.name: node.key}
                self._merge(step.children, (*steps, step), [*nodes, node], here, ways)
            else:
                ways.append(((*steps, step), [*nodes, node]))

    def _child(self, parent: _Node, step: Step, above: Mapping[str, str]) -> _Node:
        """The node of a step, new or another job's. Jobs whose stages have other names share results, not nodes."""
        subject = parent.subject
        find = partial(self._keys.step, step.op, step.stage, parent.key, above, subject.photo.name)
        key = _attempt(find, subject.photo)
        if isinstance(key, PhotoError):
            return _Node("", step, parent, subject, error=key)
        return parent.children.setdefault((key, step.name), _Node(key, step, parent, subject))

    def _decode(self, roots: Sequence[_Node]) -> None:
        for root in roots:
            if root.error is None and not self._recall(root):
                done = _attempt(partial(self._keep_photo, root), root.subject.photo)
                root.error = done if isinstance(done, PhotoError) else None
        self._deliver(roots)

    def _keep_photo(self, root: _Node) -> None:
        picture = root.subject.load()
        data = encode_png(picture.pixels, alpha=picture.alpha, icc=picture.icc)
        small = photo_thumbnail(picture.pixels, picture.alpha, picture.icc)
        root.result = Result(image=self._store.add(data, ".png"), thumbnail=self._store.add(small, ".jpg"))
        self._store.keep(root.key, root.result)

    def _make(self, nodes: Sequence[_Node]) -> None:
        """Have the results of steps of one op; what a batch has made is kept and handed out before the next."""
        batch: list[_Node] = []
        for node in nodes:
            # One of the batch may be about to make the very same.
            full = len(batch) >= node.step.stage.batch_size(self._models)
            if full or any(node.key == other.key for other in batch):
                self._compute(batch)
                batch = []
            if not self._recall(node):
                batch.append(node)
        if batch:
            self._compute(batch)

    def _recall(self, node: _Node) -> bool:
        node.result = self._store.recall(node.key)
        if node.result and node.step:
            self.reused[node.step.op] += 1
        return node.result is not None

    def _compute(self, batch: Sequence[_Node]) -> None:
        started = time.perf_counter()
        changes = self._apply(batch)
        seconds = (time.perf_counter() - started) / len(batch)
        for node, change in zip(batch, changes, strict=True):
            self.computed[node.step.op] += 1
            self.seconds[node.step.op] += seconds
            kept = change
            if not isinstance(change, PhotoError):
                kept = _attempt(partial(self._keep, node, *change, seconds), node.subject.photo)
            node.error = kept if isinstance(kept, PhotoError) else None
        self._deliver(dict.fromkeys(_root(node) for node in batch))

    def _apply(self, batch: Sequence[_Node]) -> Sequence[tuple[Edit, Edit] | PhotoError]:
        """What each step works on and makes, or why it does not; where one spoils it for all, one by one."""
        stages = [node.step.stage for node in batch]

        def apply() -> list[tuple[Edit, Edit]]:
            before = [self._edit(node.parent) for node in batch]
            return list(zip(before, type(stages[0]).apply_together(stages, before, self._models), strict=True))

        changes = _attempt(apply, batch[0].subject.photo)
        if not isinstance(changes, PhotoError):
            return changes
        return [changes] if len(batch) == 1 else [self._apply([node])[0] for node in batch]

    def _keep(self, node: _Node, before: Edit, edit: Edit, seconds: float) -> None:
        """Check what a step has made and put it into the store."""
        outside_max_diff = _check(edit, before)
        put = self._store.add
        parts: dict[str, Any] = {}
        if edit.image is not before.image:
            picture = node.subject.load()
            data = encode_png(edit.image, alpha=edit.alpha, icc=picture.icc, texts=self._texts(node))
            parts["image"] = put(data, ".png")
            parts["thumbnail"] = put(photo_thumbnail(edit.image, edit.alpha, picture.icc), ".jpg")
            parts["repainted"] = put(encode_png(edit.repainted), ".png")
            parts["mask_thumbnail"] = put(mask_thumbnail(edit.repainted), ".png")
        elif edit.mask is not before.mask:
            parts["mask"] = put(encode_png(to_alpha(edit.mask)), ".png")
            parts["mask_thumbnail"] = put(mask_thumbnail(to_alpha(edit.mask)), ".png")
        node.result = Result(
            **parts,
            artifacts={label: put(encode_png(to_alpha(heat)), ".png") for label, heat in edit.artifacts.items()},
            empty=edit.repainted is None and edit.mask is not None and not to_alpha(edit.mask).any(),
            outside_max_diff=outside_max_diff,
            seconds=round(seconds, 3),
        )
        if self._batch_size == self._models.batch_size:  # else the numerics are not those of the key
            self._store.keep(node.key, node.result)
        if node.children:
            self._remember(node, edit)

    def _edit(self, node: _Node) -> Edit:
        """The photo as it is behind a node."""
        if node in self._edits:
            self._edits.move_to_end(node)
            return self._edits[node]
        if node.parent is None:
            picture = node.subject.load()
            return self._remember(
                node, Edit(picture.pixels, picture.pixels, alpha=picture.alpha, name=node.subject.photo.name)
            )
        before, result = self._edit(node.parent), node.result
        changes: dict[str, Any] = {}
        if result.image:
            changes["image"] = decode_png(self._store.read(result.image), "RGB")
            changes["repainted"] = decode_png(self._store.read(result.repainted), "L")
        if result.mask:
            changes["mask"] = decode_png(self._store.read(result.mask), "L") / np.float32(255)
        return self._remember(node, replace(before, **changes))

    def _remember(self, node: _Node, edit: Edit) -> Edit:
        if node.step and edit.mask is not None:
            edit = replace(edit, masks={**edit.masks, node.step.name: edit.mask})
        self._edits[node] = replace(edit, artifacts={})
        while len(self._edits) > self._models.batch_size + 2:
            self._edits.popitem(last=False)
        return self._edits.get(node, edit)

    def _texts(self, node: _Node) -> Mapping[str, str]:
        steps = []
        while node.step:
            steps.insert(0, node.step)
            node = node.parent
        kinds = dict.fromkeys(kind for step in steps for kind in step.stage.uses)
        return metadata.texts(
            photo=node.subject.digest,
            stages=[{"op": step.op, **parameters(step.stage)} for step in steps],
            models={kind: self._models.identity(kind) for kind in kinds},
        )

    def _deliver(self, roots: Iterable[_Node]) -> None:
        """Hand out what has come to its end, to each job in the order of its tree."""
        for root in roots:
            for queue in root.subject.queues:
                handed = False
                while queue.ways and (outcomes := _outcomes(*queue.ways[0])) is not None:
                    queue.tray.deliver(queue.ways.popleft()[0], outcomes)
                    handed = True
                if handed:
                    queue.tray.flush()


def _below(nodes: Sequence[_Node]) -> list[_Node]:
    """What can be made next, steps of one op side by side."""
    below = [child for node in nodes if node.result for child in node.children.values()]
    ops = list(dict.fromkeys(type(node.step.stage) for node in below))
    return sorted(below, key=lambda node: ops.index(type(node.step.stage)))


def _root(node: _Node) -> _Node:
    while node.parent:
        node = node.parent
    return node


def _outcomes(steps: Sequence[Step], nodes: Sequence[_Node]) -> list[Made | PhotoError] | None:
    """What came of each up to the first error; None where one still has its turn to come.

    It goes by the job's own steps: a node may have been another job's first, who calls this variant another name.
    """
    outcomes = []
    for step, node in zip((None, *steps), nodes, strict=False):  # a way that cannot be gone on ends early
        if node.error:
            return [*outcomes, node.error]
        if node.result is None:
            return None
        outcomes.append(Made(step, node.key, node.result))
    return outcomes


def _check(edit: Edit, before: Edit) -> int:
    """The paste-back contract, after every stage; returns what was measured, which is 0 where it holds."""
    if edit.image.shape != edit.original.shape:
        raise PhotoError(f"the picture has another size, {edit.image.shape}, than the photo: a bug, please report it")
    if outside_max_diff := edit.outside_max_diff():
        raise PhotoError(f"pixels outside the mask changed by {outside_max_diff}: a bug, please report it")
    if edit.image is not before.image and edit.mask is not before.mask:
        raise PhotoError("a stage changed both picture and mask: a bug, please report it")
    return outside_max_diff


def _attempt(work: Callable[[], T], photo: Photo) -> T | PhotoError:
    """The work's result, or why this photo cannot have it. What nobody foresaw costs one photo too."""
    try:
        return work()
    except PhotoError as error:
        return error
    except DarkroomError:
        raise
    except Exception as error:
        log.debug("unexpected error at %s", photo.name, exc_info=error)
        return PhotoError(f"unexpected {type(error).__name__}: {error} (traceback in run.log)")
