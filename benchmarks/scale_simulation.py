"""Simulates a run on many GPUs, event by event: GPUs that paint, a file system that all write to, and the head.

Each picture takes a GPU, then so many operations of the file system, then the head, each of which serves one picture
after the other. A GPU goes on painting while its pictures are written, as long as a worker of Darkroom would: with few
pictures in writing, and with few that the head has not seen yet.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from darkroom.cluster.pool import _QUEUED
from darkroom.models import _WORKERS_ON_GPU

SDXL = 0.53  # seconds of an H200 for a picture of SDXL at 1024 px, 30 steps, in batches of four
_BATCH = 4
_VARIES = 0.05  # relative standard deviation of these seconds
_WRITING = _WORKERS_ON_GPU * _BATCH  # pictures of a GPU that may be written at the same time
_UNSEEN = _QUEUED * _WRITING  # pictures that a worker has, from the moment when the head gives them to it
_GPUS = tuple(2**power for power in range(11))
_STEADY = 200  # pictures per GPU that show the rate


class Costs(NamedTuple):
    """What a picture costs.

    Attributes:
        gpu: seconds of a GPU.
        files: operations of the file system.
        files_per_second: operations that the file system does.
        head: seconds of the head.
    """

    gpu: float
    files: float
    files_per_second: float
    head: float


@dataclass(frozen=True)
class Simulated:
    """A run.

    Attributes:
        gpus: how many.
        rate: pictures per second.
        seconds: of the whole run.
        busy: the share of the time at work: of the GPUs, the file system and the head.
    """

    gpus: int
    rate: float
    seconds: float
    busy: dict[str, float]

    @property
    def limit(self) -> str:
        """What has the most work."""
        return max(self.busy, key=lambda name: self.busy[name])


def simulate(gpus: int, pictures: int, costs: Costs) -> Simulated:
    """Simulate a run of so many pictures on so many GPUs."""
    writing, unseen, painting = [0] * gpus, [0] * gpus, [False] * gpus
    events: list[tuple[float, int, int]] = []  # time, what ends then (0 painting, 1 writing, 2 the head), GPU
    durations = _durations(costs.gpu)
    files, begun, painted = costs.files / costs.files_per_second, 0, 0.0
    files_free = head_free = now = 0.0

    def paint(gpu: int) -> None:
        nonlocal begun, painted
        if begun < pictures and not painting[gpu] and writing[gpu] < _WRITING and unseen[gpu] < _UNSEEN:
            begun, painting[gpu], unseen[gpu] = begun + 1, True, unseen[gpu] + 1
            duration = next(durations)
            painted += duration
            heapq.heappush(events, (now + duration, 0, gpu))

    for gpu in range(gpus):
        paint(gpu)
    while events:
        now, ended, gpu = heapq.heappop(events)
        if ended == 0:
            painting[gpu], writing[gpu] = False, writing[gpu] + 1
            files_free = max(files_free, now) + files
            heapq.heappush(events, (files_free, 1, gpu))
        elif ended == 1:
            writing[gpu] -= 1
            head_free = max(head_free, now) + costs.head
            heapq.heappush(events, (head_free, 2, gpu))
        else:
            unseen[gpu] -= 1
        paint(gpu)
    busy = {"GPUs": painted / gpus / now, "file system": pictures * files / now, "head": pictures * costs.head / now}
    return Simulated(gpus, pictures / now, now, busy)


def growth(costs: Costs) -> list[Simulated]:
    """Runs on 1, 2, 4 … 1,024 GPUs, long enough to show the rate."""
    return [simulate(gpus, gpus * _STEADY, costs) for gpus in _GPUS]


def most_gpus(runs: Sequence[Simulated]) -> Simulated:
    """The run with the most GPUs of those whose GPUs are at work for nine tenths of the time."""
    return max((run for run in runs if run.busy["GPUs"] >= 0.9), key=lambda run: run.gpus, default=runs[0])


def _durations(mean: float) -> Iterator[float]:
    random = np.random.default_rng(0)
    while True:
        yield from np.maximum(random.normal(mean, mean * _VARIES, 10_000), mean / 2).tolist()
