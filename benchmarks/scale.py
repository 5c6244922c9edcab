"""Measures how `engine=ray` grows with its workers, what the head and the file system take, and simulates 64 GPUs.

    python -m benchmarks.scale

It writes docs/scale.md and its plots, and takes about four minutes on a quiet machine. A fake model sleeps, so that
more workers than cores can be measured. A rate counts from the moment when each worker has answered once: starting and
the loading of models are left out.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field

from benchmarks.scale_files import LINK, WRITE, WRITE_PICTURE, Rates, measure_files
from benchmarks.scale_page import Figures, write
from benchmarks.scale_simulation import SDXL, Costs
from darkroom.cluster.engine import _set_environment
from darkroom.cluster.messages import Done, Lost, Setup
from darkroom.cluster.numerics import numerics
from darkroom.cluster.plan import Task
from darkroom.cluster.pool import Pool, Sizes
from darkroom.cluster.probe import probe
from darkroom.cluster.runner import ClusterRunner
from darkroom.config.jobs import Job
from darkroom.config.recipe import parse
from darkroom.config.settings import Engine, Results
from darkroom.engine.run_job import run_jobs
from darkroom.engine.start import Started
from darkroom.imaging.edit import Edit
from darkroom.models import Memory, ModelNames, Models
from darkroom.stages import STAGES
from darkroom.stages.base import Stage, stage
from darkroom.stages.fields import Seeds
from darkroom.stages.markers import EachValue
from darkroom.store import Store
from darkroom.system.files import Folder, digest_of

SLEEPING, PAINTED, HEAD = 32, 40, 150  # pictures, one per photo
PAUSE = 1.0  # seconds per picture
_THING = {"op": "grabcut", "box": [8, 8, 40, 40], "iterations": 1}
_SLEEP = {"thing": _THING, "sleep": {"pause": PAUSE}}
_AT_ONCE = {"thing": _THING, "sleep": {}}
_MINIATURE = {"thing": {**_THING, "box": [24, 24, 72, 72]}, "inpaint": {"prompt": "snow", "steps": 16}}
_PHOTO = 4_000_000  # bytes of a photo, which the head reads and hashes
GPUS, PICTURES = 64, 1_000_000


@stage
class Sleep(Stage):
    """A model that takes its time and no core."""

    repaints: ClassVar[bool] = True
    needs_mask: ClassVar[bool] = True

    seed: Annotated[Seeds, EachValue()] = Field(0, description="Seed; a list makes one picture per seed.")
    pause: float = Field(0, description="Seconds.")

    def apply(self, edit: Edit, models: Any) -> Edit:
        time.sleep(self.pause)
        mask = edit.need_mask()
        return replace(edit, image=np.where(mask[..., None] > 0, np.uint8(self.seed), edit.image), repainted=mask)


@dataclass(frozen=True)
class Asked:
    """Settings for the benchmark: miniature models, one thread for each picture."""

    engine: Engine = field(default_factory=Engine)
    results: Results = field(default_factory=Results)

    def models(self) -> Models:
        return models()


class Measured(NamedTuple):
    """A run.

    Attributes:
        workers: how many it had.
        rate: pictures per second, from the moment when each worker has answered once.
        head: seconds of the process at the head per picture, save waiting; of CPU, or of the clock if these are more.
        stored: files in the store per picture.
        linked: files in the run folder per picture.
    """

    workers: int
    rate: float
    head: float
    stored: float
    linked: float


class TimedPool(Pool):
    """A pool that notes when answers come, and how long the head waits for them."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.waited = 0.0
        self.answers: list[tuple[float, int]] = []  # times, and how many workers have answered by then
        self._answered_once: set[int] = set()

    def wait(self) -> Iterator[tuple[Task, Done | Lost]]:
        """See `Pool.wait`."""
        began = time.monotonic()
        for task, answer in super().wait():
            now = time.monotonic()
            self.waited += now - began
            self._answered_once |= {member.number for member in self._members if member.work.photos}
            self.answers.append((now, len(self._answered_once)))
            yield task, answer
            began = time.monotonic()
        self.waited += time.monotonic() - began

    def ready(self) -> None:
        """Wait until all workers are ready."""
        while sum(member.place is not None for member in self._members) < self.size:
            list(super().wait())
        self.waited = 0.0

    def rate(self) -> float:
        """Answers per second, from the moment when all workers have answered once."""
        times = [now for now, workers in self.answers if workers == self.size]
        return (len(times) - 1) / (times[-1] - times[0])


def models() -> Models:
    return Models(ModelNames(), Memory(threads=1, workers=1), "cpu")


def measure(workers: int, stages: Mapping[str, Any], photos: Path) -> Measured:
    """Run a recipe, with one picture per photo, on this many workers, whatever the number of cores."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = parse({"name": "scale", "dataset": {"images": str(photos)}, "stages": stages, "on_empty": "keep"}, "")
        job = Job(recipe, Asked(), Path(folder) / "run", {}, {}, (), None)
        store, pools, head = Store(Path(folder) / ".store"), list[TimedPool](), list[float]()
        (run,) = run_jobs([job], store, on_screen=False, start=partial(_start, workers, pools, head))
        done = run.totals["done"]
        assert done and not run.totals["failed"]
        files = (len(list(store.files.files())), len(list(Folder(job.folder).files())))
        return Measured(workers, pools[0].rate(), head[0] / done, *(number / done for number in files))


@contextmanager
def _start(
    workers: int, pools: list[TimedPool], head: list[float], settings: Any, store: Store, kinds: Sequence[Any]
) -> Iterator[Started]:
    _set_environment()
    import ray

    with (
        tempfile.TemporaryDirectory(prefix="darkroom-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        probe(store) as key,
    ):
        ray.init("local", num_cpus=workers, include_dashboard=False, log_to_driver=False, _temp_dir=folder)
        try:
            setup = Setup(models, kinds, (), numerics(models(), kinds, ()), store.folder, key)
            pools.append(pool := TimedPool(setup, Sizes(workers, 1, 0, 1), store.mark_unsafe))
            pool.ready()
            cpu, began = time.process_time(), time.monotonic()
            yield Started(ClusterRunner(models(), store, pool), pool.facts)
            head.append(max(time.process_time() - cpu, time.monotonic() - began - pool.waited))
        finally:
            ray.shutdown()


def draw_photos(folder: Path, number: int, size: tuple[int, int] = (64, 48)) -> Path:
    """Photos of a flat colour with a rectangle in it."""
    folder.mkdir()
    for one in range(number):
        photo = Image.new("RGB", size, (60, 60, 60))
        photo.paste((200, one * 3 % 256, 60), (size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2))
        photo.save(folder / f"{one:04}.png")
    return folder


def seconds_to_hash() -> float:
    """Seconds to read and hash a photo."""
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo"
        photo.write_bytes(os.urandom(_PHOTO))
        began = time.monotonic()
        for _ in range(20):
            digest_of(photo)
        return (time.monotonic() - began) / 20


def main() -> None:
    """Measure, simulate, and write the page and the plots."""
    STAGES["sleep"] = Sleep
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few, many = draw_photos(folder / "few", SLEEPING), draw_photos(folder / "many", HEAD)
        cars = draw_photos(folder / "cars", PAINTED, (128, 128))
        sleeping = [_shown(measure(workers, _SLEEP, few)) for workers in (1, 2, 4)]
        painted = [_shown(measure(workers, _MINIATURE, cars)) for workers in (1, 2)]
        at_once = _shown(measure(2, _AT_ONCE, many))
    files = measure_files()
    head = at_once.head + seconds_to_hash()
    operations = at_once.stored + at_once.linked
    costs = Costs(SDXL, operations, operations / _seconds_of_files(at_once, files), head)
    minutes = (time.monotonic() - began) / 60
    write(Figures(sleeping, painted, at_once, files, costs), GPUS, PICTURES, minutes)


def _seconds_of_files(made: Measured, files: Rates) -> float:
    """Seconds of the file system per picture, one of whose files in the store is a large one."""
    write, picture, link = (max(files[what].values()) for what in (WRITE, WRITE_PICTURE, LINK))
    return 1 / picture + (made.stored - 1) / write + made.linked / link


def _shown(made: Measured) -> Measured:
    print(f"{made.workers} workers: {made.rate:.2f} pictures/s, head {made.head * 1000:.1f} ms per picture", flush=True)
    return made


if __name__ == "__main__":
    from benchmarks import scale  # the workers know the op by this name

    scale.main()
