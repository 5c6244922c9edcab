"""What goes between this process and its workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from darkroom.dataset import Photo
from darkroom.engine.step_result import StepResult
from darkroom.errors import DarkroomError, PhotoError
from darkroom.models import ModelKind, Models
from darkroom.planning.plan import Step
from darkroom.store import Result

Found = tuple[str, Result, str | None]
"""A step's result without the step: its key, the result, and why a gate flagged the photo (`StepResult`)."""

Picture = Sequence[Found | PhotoError]
"""The results of the photo and of each step of a picture; ends with the error that stopped it, if any."""


@dataclass(frozen=True)
class Setup:
    """What a worker needs to begin.

    Attributes:
        make_models: makes its models.
        kinds: the models that the run uses.
        loras: the names of the LoRAs that it may use.
        numerics: what must be equal on the worker's machine (`numerics.numerics`).
        store: the folder of the store.
        probe: the key of a result in the store.
    """

    make_models: Callable[[], Models]
    kinds: Sequence[ModelKind]
    loras: Sequence[str]
    numerics: Mapping[str, str]
    store: Path
    probe: str


@dataclass(frozen=True)
class Ready:
    """A worker's answer to its setup.

    Attributes:
        machine: the name of its machine.
        process: the number of its process.
        shares_store: it sees the store, and has the same key of the user; else its results come with their files.
        is_safe: the store's lock keeps it from locking the store, and files there are replaced at once.
        problems: why it must not compute, one line each; empty if it may.
    """

    machine: str
    process: int
    shares_store: bool = True
    is_safe: bool = True
    problems: Sequence[str] = ()


@dataclass(frozen=True)
class Share:
    """Some pictures of one photo, which one worker computes at a time.

    Attributes:
        number: of the photo in its dataset, from 1.
        photo: the photo.
        digest: SHA-256 of its file.
        trees: the steps to these pictures, one tree for each consumer; some may be empty.
    """

    number: int
    photo: Photo
    digest: str
    trees: Sequence[Sequence[Step]]


@dataclass(frozen=True)
class Lent:
    """Results that a worker need not compute again.

    Attributes:
        stored: results of the head's store by key, for a worker that does not see it.
        unverified: results of a run folder that is being resumed, by key (`Store.put_unverified`).
        blobs: the files of all these by name, for a worker that does not see the store.
    """

    stored: dict[str, Result]
    unverified: dict[str, Result]
    blobs: dict[str, bytes]


@dataclass
class Work:
    """What a worker has done: the counters of a `Runner`, and its times in seconds.

    Attributes:
        reused: see `Runner`.
        computed: see `Runner`.
        failed: see `Runner`.
        seconds: see `Runner`.
        photos: the number of shares.
        busy: time at work.
        waited: time between two pieces of work.
        loaded: the models that it has loaded.
        peak_memory: of its process, in bytes.
    """

    reused: Counter[str] = field(default_factory=Counter)
    computed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    photos: int = 0
    busy: float = 0.0
    waited: float = 0.0
    loaded: Sequence[str] = ()
    peak_memory: int = 0

    def add(self, other: Work) -> None:
        """Add what has been done since."""
        for name in ("reused", "computed", "failed"):
            getattr(self, name).update(getattr(other, name))
        for op, seconds in other.seconds.items():
            self.seconds[op] = self.seconds.get(op, 0) + seconds
        self.photos += other.photos
        self.busy += other.busy
        self.waited += other.waited
        self.loaded = list(dict.fromkeys([*self.loaded, *other.loaded]))
        self.peak_memory = max(self.peak_memory, other.peak_memory)


@dataclass(frozen=True)
class Done:
    """What a worker made of some shares.

    Attributes:
        pictures: of each share, in the order of its trees.
        work: what it did for that.
        stored: results that the head has not, by key, if it does not share the store.
        blobs: the files of the results by name, if it does not share the store.
        log: what it logged: level and line.
        error: why it cannot work at all; there are no pictures then.
    """

    pictures: Sequence[Sequence[Picture]] = ()
    work: Work = field(default_factory=Work)
    stored: Mapping[str, Result] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    log: Sequence[tuple[int, str]] = ()
    error: DarkroomError | None = None


@dataclass(frozen=True)
class Lost:
    """The answer in place of `Done` if the worker has died.

    Attributes:
        at_work: it was computing these shares; else they were only waiting.
    """

    at_work: bool


def without_steps(results: Sequence[StepResult | PhotoError]) -> Picture:
    """A picture's results as a worker sends them."""
    return [found if isinstance(found, PhotoError) else (found.key, found.result, found.flag) for found in results]


def with_steps(picture: Picture, steps: Sequence[Step]) -> list[StepResult | PhotoError]:
    """A picture's results as a `consumer.ResultSink` takes them."""
    return list(_with_steps(picture, steps))


def _with_steps(picture: Picture, steps: Sequence[Step]) -> Iterator[StepResult | PhotoError]:
    for place, found in enumerate(picture):
        if isinstance(found, PhotoError):
            yield found
        else:
            yield StepResult(steps[place - 1] if place else None, *found)
