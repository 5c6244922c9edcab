"""Starts what takes the photos of jobs through their steps: this process, or what a caller brings along."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

from darkroom.config.settings import Settings
from darkroom.dataset import Photo
from darkroom.engine.consumer import Consumer
from darkroom.engine.runner import Runner
from darkroom.models import ModelKind
from darkroom.record import metadata
from darkroom.stages import STAGES
from darkroom.store import Store
from darkroom.system.memory import peak_memory

T = TypeVar("T")


class PhotoRunner(Protocol):
    """`runner.Runner`, or what does the same elsewhere."""

    def run(self, photos: Iterable[Photo], consumers: Sequence[Consumer]) -> None:
        """See `Runner.run`."""

    def run_ahead(self, photos: Iterable[Photo], consumers: Sequence[Consumer]) -> None:
        """See `Runner.run_ahead`."""


class Counts(Protocol):
    """What has been done so far, by op: the attributes of `Runner`."""

    reused: Counter[str]
    computed: Counter[str]
    failed: Counter[str]
    seconds: dict[str, float]


class Started(NamedTuple):
    """A runner at work.

    Attributes:
        runner: takes photos through the steps.
        work: what it has done so far, for `run.json` (`record.schema.Work`).
        at_work: what is being done now, for the progress bar.
    """

    runner: PhotoRunner
    work: Callable[[], dict[str, Any]]
    at_work: Callable[[], str] = str


StartRunner = Callable[[Settings, Store, Sequence[ModelKind]], AbstractContextManager[Started]]
"""Starts a runner: of the settings of the jobs, the store of the outputs folder, and the models that the jobs use."""


@contextmanager
def in_this_process(settings: Settings, store: Store, kinds: Sequence[ModelKind]) -> Iterator[Started]:
    """Compute in this process (`StartRunner`)."""
    models = settings.models()
    runner = Runner(models, store, metadata.texts)
    yield Started(runner, lambda: {**counts(runner), "loaded": models.loaded(), "peak_memory": peak_memory()})


def counts(work: Counts) -> dict[str, Any]:
    """Counts and seconds for `run.json`, in the order of `STAGES`: results are ready in any order."""
    return {
        "reused": _by_op(+work.reused),
        "computed": _by_op(work.computed),
        "failed": _by_op(work.failed),
        "seconds": _by_op({op: round(seconds, 3) for op, seconds in work.seconds.items()}),
    }


def _by_op(values: Mapping[str, T]) -> dict[str, T]:
    return {op: values[op] for op in STAGES if op in values}
