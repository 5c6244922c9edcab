"""Divides photos into shares for workers: several photos, one photo, or some prompts and seeds of one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from typing import NamedTuple

from darkroom.cluster.messages import Picture, Share
from darkroom.dataset import Photo
from darkroom.engine.consumer import ResultSink
from darkroom.errors import PhotoError
from darkroom.planning.plan import Step, paths, without


class Target(NamedTuple):
    """Where a picture goes.

    Attributes:
        sink: receives it.
        steps: the path to it.
    """

    sink: ResultSink
    steps: Sequence[Step]


@dataclass(eq=False)
class Part:
    """Some pictures of a photo that are delivered together.

    Attributes:
        targets: where they go, in the order of the plan.
        pictures: None before they are there.
    """

    targets: Sequence[Target]
    pictures: Sequence[Picture] | None = None

    def fail(self, error: PhotoError) -> None:
        """Give up all pictures."""
        self.pictures = [[error] for _ in self.targets]


@dataclass(eq=False)
class Task:
    """What a worker gets at once.

    Attributes:
        shares: of one photo or several.
        parts: the pictures of each share.
        then: tasks that begin when this one is done.
        deaths: how many workers have died of it.
    """

    shares: Sequence[Share]
    parts: Sequence[Part]
    then: Sequence[Task] = ()
    deaths: int = 0

    def fail(self, error: PhotoError) -> None:
        """Give up all pictures, also those of the tasks that would follow."""
        for part in self.parts:
            part.fail(error)
        for task in self.then:
            task.fail(error)

    def singly(self) -> list[Task]:
        """A task for each share."""
        return [Task([share], [part], self.then, self.deaths) for share, part in self.pairs()]

    def pairs(self) -> Iterator[tuple[Share, Part]]:
        """The shares with their parts."""
        return zip(self.shares, self.parts, strict=True)


@dataclass(eq=False)
class PhotoInProgress:
    """A photo whose pictures have not all been delivered.

    Attributes:
        sinks: of all consumers.
        parts: that have not been delivered, in the order of the plan.
        tasks: that compute them: a single one, or several after the one that computes what they have in common.
    """

    sinks: Sequence[ResultSink]
    parts: deque[Part]
    tasks: Sequence[Task]
    started: bool = False

    def start(self) -> None:
        """Tell the sinks that it is this photo's turn, once."""
        if not self.started:
            self.started = True
            for sink in self.sinks:
                sink.start()


def groups(photos: Iterable[Photo], workers: int, batch: int) -> Iterator[tuple[list[Photo], int]]:
    """Photos for one task each, and into how many shares to divide each of them.

    Args:
        photos: all photos.
        workers: the number of workers.
        batch: how many photos a worker takes at once, if there are enough.
    """
    waiting = iter(photos)
    first = list(islice(waiting, workers * batch))
    if len(first) < workers * batch:
        batch = max(1, len(first) // workers)
    shares = -(-workers // len(first)) if 0 < len(first) < workers else 1
    rest = chain(first, waiting)
    while group := list(islice(rest, batch)):
        yield group, shares


def together(tasks: Sequence[Task]) -> list[Task]:
    """One task in place of several; none in place of none."""
    pairs = [pair for task in tasks for pair in task.pairs()]
    return [Task([share for share, _ in pairs], [part for _, part in pairs])] if pairs else []


def divide(
    number: int, photo: Photo, digest: str | PhotoError, sinks: Sequence[ResultSink], shares: int
) -> PhotoInProgress:
    """Divide what remains to be done for a photo.

    Args:
        number: of the photo in its dataset.
        photo: the photo.
        digest: SHA-256 of its file, or why it cannot be read.
        sinks: of all consumers.
        shares: into how many shares at most.
    """
    failed = [part for sink in sinks if (part := _failed(sink, digest))]
    trees = [() if isinstance(digest, PhotoError) else _remaining(sink) for sink in sinks]
    targets = [Target(sink, steps) for sink, tree in zip(sinks, trees, strict=True) for steps in paths(tree)]
    bounds = [len(targets) * number // shares for number in range(shares + 1)]
    tasks = []
    for start, end in pairwise(bounds):
        if start < end:
            some = trees if end - start == len(targets) else _some(trees, start, end)
            tasks.append(Task([Share(number, photo, str(digest), some)], [Part(targets[start:end])]))
    parts = deque([*failed, *(task.parts[0] for task in tasks)])
    if len(tasks) > 1 and (common := _in_common([target.steps for target in targets])):
        first = Share(number, photo, str(digest), [common, *([()] * (len(trees) - 1))])
        tasks = [Task([first], [Part(())], then=tasks)]
    return PhotoInProgress(sinks, parts, tasks)


def _failed(sink: ResultSink, digest: str | PhotoError) -> Part | None:
    """The pictures of a consumer, if none can be computed."""
    error = next((error for error in (sink.remaining, digest) if isinstance(error, PhotoError)), None)
    if error is None:
        return None
    part = Part([Target(sink, steps) for steps in paths(_remaining(sink))] or [Target(sink, ())])
    part.fail(error)
    return part


def _remaining(sink: ResultSink) -> Sequence[Step]:
    return () if isinstance(sink.remaining, PhotoError) else sink.remaining


def _some(trees: Sequence[Sequence[Step]], start: int, end: int) -> list[Sequence[Step]]:
    """The trees with the pictures from `start` up to `end` alone, counted over all trees."""
    counted = iter(range(sum(len(list(paths(tree))) for tree in trees)))
    return [without(tree, (not start <= number < end for number in counted)) for tree in trees]


def _in_common(all_paths: Sequence[Sequence[Step]]) -> tuple[Step, ...]:
    """The first steps, if they are those of all paths, as a tree with one picture; empty if there are none."""
    common: tuple[Step, ...] = ()
    for steps in reversed(list(zip(*all_paths, strict=False))):
        alike = all(
            step._replace(children=(), variant="") == steps[0]._replace(children=(), variant="") for step in steps
        )
        common = (steps[0]._replace(children=common),) if alike else ()
    return common
