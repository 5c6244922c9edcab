"""The workers, as Ray actors: started, given tasks, and replaced when they die."""

from __future__ import annotations

import logging
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from darkroom.cluster.messages import Done, Lent, Lost, Ready, Setup, Share, Work
from darkroom.cluster.plan import Task
from darkroom.cluster.worker import Worker
from darkroom.engine.start import counts
from darkroom.errors import SetupError

log = logging.getLogger("darkroom")

_QUEUED = 2  # tasks of a worker: one at work, one that waits, so that the worker does not
_SHOWN = 6  # workers; of more, the number is shown
_NAME = 20  # characters of a photo's name that are shown
_POLL = 0.5  # seconds
_FAILED_STARTS = 3  # in a row
_PATIENCE = 60  # seconds without any worker after which the log says so


@dataclass(eq=False)
class _Member:
    """A worker of the pool.

    Attributes:
        number: from 1; its successor has another.
        actor: the Ray actor.
        pending: its tasks and their answers, in order; at first its setup, with None.
        place: where it runs; None before it has answered.
        work: what it has done.
        end: how it ended; empty while it lives.
        photos: the numbers of the photos that it has worked on.
    """

    number: int
    actor: Any
    pending: deque[tuple[Task | None, Any]]
    place: Ready | None = None
    work: Work = field(default_factory=Work)
    end: str = ""
    photos: array[int] = field(default_factory=lambda: array("L"))


class Sizes(NamedTuple):
    """The size of a pool.

    Attributes:
        workers: how many.
        cpus: CPU cores of each.
        gpus: GPUs of each.
        batches: of steps that each has in work at a time (`Models.workers`).
    """

    workers: int
    cpus: int
    gpus: int
    batches: int


class Pool:
    """Workers on a Ray cluster that this process is connected to.

    Args:
        setup: what the workers need.
        sizes: how many there are, and of what size.
        on_unsafe: called if a worker finds that locks or renames in the store do not hold.

    Attributes:
        size: the number of workers.
        batches: how many batches each of them has in work.
        work: what all of them have done.
    """

    def __init__(self, setup: Setup, sizes: Sizes, on_unsafe: Callable[[], None]) -> None:
        import ray

        self.size, self.batches = sizes.workers, sizes.batches
        self.work = Work()
        self._setup = setup
        self._on_unsafe = on_unsafe
        self._kind = ray.remote(num_cpus=sizes.cpus, num_gpus=sizes.gpus, max_restarts=0)(Worker)
        self._members: list[_Member] = []
        self._gone: list[_Member] = []
        self._refused: dict[str, None] = {}
        self._started = self._failed_starts = 0
        self._had_worker = time.monotonic()
        for _ in range(self.size):
            self._start()

    def has_room(self) -> bool:
        """Whether a worker can take a task."""
        return any(member.place and len(member.pending) < _QUEUED for member in self._members)

    def submit(self, task: Task, lend: Callable[[Sequence[Share], bool], Lent]) -> None:
        """Give a task to the worker with the fewest, with the results that are there (`Lender.lend`)."""
        member = min((one for one in self._members if one.place), key=lambda one: len(one.pending))
        assert member.place
        lent = lend(task.shares, member.place.shares_store)
        member.pending.append((task, member.actor.run.remote(task.shares, lent)))

    def at_work(self) -> str:
        """What the workers do now, in a few words: each with its photo, if there are few."""
        workers = [(member.number, member.pending[0][0] if member.pending else None) for member in self._members]
        if len(workers) <= _SHOWN:
            return " | ".join(f"{number} {_shown(task) if task else 'waits'}" for number, task in workers)
        return f"{sum(task is not None for _, task in workers)} of {len(workers)} workers at work"

    def wait(self) -> Iterator[tuple[Task, Done | Lost]]:
        """Wait a moment for tasks to end.

        Raises:
            SetupError: there are no workers, and there will be none.
        """
        import ray

        first = {member.pending[0][1]: member for member in self._members if member.pending}
        if first:
            ray.wait(list(first), num_returns=1, timeout=_POLL)
            ready, _ = ray.wait(list(first), num_returns=len(first), timeout=0)
            for reference in ready:
                yield from self._answered(first[reference], reference)
        self._check()

    def close(self) -> None:
        """Stop all workers."""
        import ray

        for member in self._members:
            ray.kill(member.actor)

    def facts(self) -> dict[str, Any]:
        """For `run.json`: what the workers have done, together and each."""
        members = sorted([*self._members, *self._gone], key=lambda member: member.number)
        each = [_facts(member) for member in members if member.place]
        more = {"loaded": list(self.work.loaded), "peak_memory": self.work.peak_memory, "actors": each}
        return {**counts(self.work), **more}

    def _start(self) -> None:
        actor: Any = self._kind.remote()
        self._started += 1
        self._members.append(_Member(self._started, actor, deque([(None, actor.begin.remote(self._setup))])))

    def _answered(self, member: _Member, reference: Any) -> Iterator[tuple[Task, Done | Lost]]:
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            answer = ray.get(reference)
        except RayTaskError:  # a bug, which its traceback shows
            raise
        except RayError as error:
            log.debug("worker %d: %s", member.number, error)
            yield from self._buried(member)
            return
        task, _ = member.pending.popleft()
        if task is None:
            self._begun(member, answer)
            return
        member.work.add(answer.work)
        member.photos.extend(share.number for share in task.shares)
        self.work.add(answer.work)
        log.debug("worker %d: %s", member.number, ", ".join(share.photo.name for share in task.shares))
        yield task, answer

    def _begun(self, member: _Member, place: Ready) -> None:
        import ray

        self._failed_starts = 0
        if not place.problems:
            member.place = place
            if not place.shares_store:
                log.info("%s: sees another store, or has another store.key; it sends its results here", place.machine)
            if not place.is_safe:
                self._on_unsafe()
            return
        ray.kill(member.actor)
        self._members.remove(member)
        line = f"{place.machine} computes nothing, as its results would differ: {'; '.join(place.problems)}"
        if line not in self._refused:
            log.warning("%s", line)
        self._refused[line] = None

    def _buried(self, member: _Member) -> Iterator[tuple[Task, Done | Lost]]:
        """Replace a worker that has died. Only the first of its tasks was at work."""
        self._members.remove(member)
        member.end = "died"
        self._gone.append(member)
        self._failed_starts += member.place is None
        self._start()
        for place, (task, _) in enumerate(member.pending):
            if task:
                yield task, Lost(at_work=place == 0)

    def _check(self) -> None:
        if not self._members:
            raise SetupError(list(self._refused))
        if self._failed_starts >= _FAILED_STARTS:
            raise SetupError("engine=ray: workers die as they start; see their logs in the folder of Ray's session")
        if any(member.place for member in self._members):
            self._had_worker = time.monotonic()
        elif time.monotonic() - self._had_worker > _PATIENCE:
            log.warning("waiting for a machine with room for a worker")
            self._had_worker = time.monotonic()


def _facts(member: _Member) -> dict[str, Any]:
    assert member.place
    return {
        "actor": member.number,
        "machine": member.place.machine,
        "photos": _ranges(member.photos),
        "computed": dict(member.work.computed),
        "busy": round(member.work.busy, 3),
        "waited": round(member.work.waited, 3),
        "died": bool(member.end),
    }


def _shown(task: Task) -> str:
    """The name of a task's first photo, shortened, and how many more there are."""
    name, more = task.shares[0].photo.name, len(task.shares) - 1
    short = name if len(name) <= _NAME else f"…{name[-_NAME + 1 :]}"
    return f"{short} +{more}" if more else short


def _ranges(numbers: Iterable[int]) -> str:
    """Numbers as text, such as `1-4, 9`: for a million photos, it stays small."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(f"{first}-{last}" if first < last else str(first) for first, last in found)
