"""Takes photos through steps on workers, and delivers their pictures here, in the order of the plan."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path

from darkroom.cluster.lending import Lender
from darkroom.cluster.messages import Done, Lost, with_steps
from darkroom.cluster.plan import PhotoInProgress, Target, Task, divide, groups, together
from darkroom.cluster.pool import Pool
from darkroom.dataset import Photo
from darkroom.engine.computation import attempt
from darkroom.engine.consumer import Consumer
from darkroom.errors import OutputError, PhotoError
from darkroom.models import Models
from darkroom.planning.plan import Step
from darkroom.planning.preflight import planned
from darkroom.store import Store
from darkroom.system.watching import piece_done

log = logging.getLogger("darkroom")

_DEATHS = 2  # workers that a photo may cost
_AHEAD = 32  # photos in progress for each worker: one that takes long holds up the journal, but no worker


class ClusterRunner:
    """Does what `engine.runner.Runner` does, on the workers of a pool. This process loads no model.

    Args:
        models: with which photos are planned; the workers have the same.
        store: of the outputs folder; gets what workers send that do not share it.
        pool: the workers.
    """

    def __init__(self, models: Models, store: Store, pool: Pool) -> None:
        self._models = models
        self._store = store
        self._pool = pool
        self._lender = Lender(models, store)

    def run(self, photos: Iterable[Photo], consumers: Sequence[Consumer]) -> None:
        """See `Runner.run`."""
        begun: deque[PhotoInProgress] = deque()
        waiting: deque[Task] = deque()
        upcoming = self._begin_all(photos, consumers, begun)
        more = True
        while more or begun:
            while self._pool.has_room() and (waiting or (more and len(begun) < _AHEAD * self._pool.size)):
                task = waiting.popleft() if waiting else next(upcoming, None)
                if task is None:
                    more = False
                else:
                    self._pool.submit(task, self._lender.lend)
            _deliver(begun)
            piece_done()
            if more or begun:
                for task, answer in self._pool.wait():
                    waiting.extend(self._next(task, answer))

    def run_ahead(self, photos: Iterable[Photo], consumers: Sequence[Consumer]) -> None:
        """See `Runner.run_ahead`."""
        reused, computed = self._pool.work.reused.copy(), self._pool.work.computed.copy()
        self.run(photos, consumers)
        self._pool.work.reused = reused
        self._pool.work.reused.subtract(self._pool.work.computed - computed)

    def _begin_all(
        self, photos: Iterable[Photo], consumers: Sequence[Consumer], begun: deque[PhotoInProgress]
    ) -> Iterator[Task]:
        """Begin photos one group after the other; each gives tasks."""
        numbers = count(1)
        for group, shares in groups(photos, self._pool.size, self._pool.batches * self._models.batch_size):
            new = [self._begin(next(numbers), photo, consumers, shares) for photo in group]
            begun.extend(new)
            tasks = [task for photo in new for task in photo.tasks]
            yield from tasks if shares > 1 else together(tasks)

    def _begin(self, number: int, photo: Photo, consumers: Sequence[Consumer], shares: int) -> PhotoInProgress:
        digest = attempt(photo.digest, photo)
        sinks = []
        for consumer in consumers:
            tree = PhotoError(photo.problem) if photo.problem else attempt(partial(self._plan, consumer, photo), photo)
            sinks.append(consumer.begin(photo, digest, tree))
        return divide(number, photo, digest, sinks, shares)

    def _plan(self, consumer: Consumer, photo: Photo) -> Sequence[Step]:
        return planned(photo, partial(consumer.tree, photo), self._models)

    def _next(self, task: Task, answer: Done | Lost) -> Sequence[Task]:
        """The tasks to do after the answer to one."""
        if isinstance(answer, Lost):
            return self._again(task) if answer.at_work else [task]
        for level, line in answer.log:
            log.log(level, "%s", line)
        if answer.error:
            raise answer.error
        self._keep(answer)
        for part, pictures in zip(task.parts, answer.pictures, strict=True):
            part.pictures = pictures
        return task.then

    def _keep(self, answer: Done) -> None:
        """Add what came with its files to the store."""
        for name, data in answer.blobs.items():
            if self._store.add_blob(data, Path(name).suffix) != name:
                raise OutputError(f"{name}: was damaged on its way from a worker; resume the run")
        for key, result in answer.stored.items():
            self._store.put(key, result)

    def _again(self, task: Task) -> Sequence[Task]:
        """What to do about a task whose worker has died: its photos once more, each alone, or give it up."""
        task.deaths += 1
        if task.deaths < _DEATHS:
            log.warning("a worker has died; trying again: %s", ", ".join(share.photo.name for share in task.shares))
            return task.singly()
        task.fail(PhotoError(f"given up: {task.deaths} workers died while computing it; they may lack memory"))
        return ()


def _deliver(begun: deque[PhotoInProgress]) -> None:
    """Deliver what is there, in the order of the plan."""
    while begun:
        begun[0].start()
        parts = begun[0].parts
        while parts and parts[0].pictures is not None:
            part = parts.popleft()
            for target, picture in zip(part.targets, part.pictures or (), strict=True):
                target.sink.deliver(target.sink.prepare(target.steps, with_steps(picture, target.steps)))
            _flush(part.targets)
        if parts:
            return
        begun.popleft()


def _flush(targets: Sequence[Target]) -> None:
    for sink in {id(target.sink): target.sink for target in targets}.values():
        sink.flush()
