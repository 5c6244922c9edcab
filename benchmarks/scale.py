"""Measures how `engine=ray` grows with its workers, and what the process at the head costs.

    python -m benchmarks.scale

A fake model sleeps, so that more workers than cores can be measured. Times begin when all workers are ready. At the
end a simulation says how many GPUs one head can keep busy.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field

from darkroom.cluster.messages import Setup
from darkroom.cluster.numerics import numerics
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

PHOTOS, SEEDS, PAUSE = 12, 4, 1.0  # seconds per picture
GPUS, PICTURES, PER_PICTURE = 64, 1_000_000, 0.53  # seconds of an H200 for a picture of SDXL at 1024 px, 30 steps
SLEEP = {"thing": {"op": "grabcut", "box": [8, 8, 40, 40], "iterations": 1}, "sleep": {"seed": list(range(SEEDS))}}
MINIATURE = {"text": {"phrase": "a car"}, "inpaint": {"prompt": "snow", "seed": [0, 1], "steps": 8}}


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
        pictures: how many it made.
        seconds: until the last worker was done.
        head: CPU seconds of the process at the head.
    """

    pictures: int
    seconds: float
    head: float


def models() -> Models:
    return Models(ModelNames(), Memory(threads=1, workers=1), "cpu")


def measure(workers: int, stages: Mapping[str, Any], photos: Path) -> Measured:
    """Run a recipe on this many workers, whatever the number of cores."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = parse({"name": "scale", "dataset": {"images": str(photos)}, "stages": stages, "on_empty": "keep"}, "")
        job = Job(recipe, Asked(), Path(folder) / "run", {}, {}, (), None)
        begun: list[float] = []
        (run,) = run_jobs([job], Store(Path(folder) / ".store"), on_screen=False, start=partial(_start, workers, begun))
        actors = run.work["actors"]
        assert run.totals["done"] and not run.totals["failed"]
        return Measured(run.totals["done"], max(actor["busy"] + actor["waited"] for actor in actors), begun[1])


@contextmanager
def _start(workers: int, head: list[float], settings: Any, store: Store, kinds: Sequence[Any]) -> Iterator[Started]:
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with (
        tempfile.TemporaryDirectory(prefix="darkroom-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        probe(store) as key,
    ):
        ray.init("local", num_cpus=workers, include_dashboard=False, log_to_driver=False, _temp_dir=folder)
        setup = Setup(models, kinds, (), numerics(models(), kinds, ()), store.folder, key)
        pool = Pool(setup, Sizes(workers, 1, 0, 1), store.mark_unsafe)
        while sum(member.place is not None for member in pool._members) < workers:
            list(pool.wait())
        head.append(time.process_time())
        yield Started(ClusterRunner(models(), store, pool), pool.facts)
        head.append(time.process_time() - head[0])
        ray.shutdown()


def draw_photos(folder: Path, number: int, size: tuple[int, int] = (64, 48)) -> Path:
    """Photos of a flat colour with a rectangle in it."""
    folder.mkdir()
    for one in range(number):
        photo = Image.new("RGB", size, (60, 60, 60))
        photo.paste((200, one * 3 % 256, 60), (size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2))
        photo.save(folder / f"{one:04}.png")
    return folder


def limits(head: float) -> dict[str, float]:
    """How many pictures a second each part can take, from CPU seconds of the head per picture."""
    return {"64 GPUs": GPUS / PER_PICTURE, "head": 1 / head}


def main() -> None:
    """Measure and print."""
    STAGES["sleep"] = Sleep
    with tempfile.TemporaryDirectory() as folder:
        few, many = draw_photos(Path(folder) / "few", PHOTOS), draw_photos(Path(folder) / "many", 10 * PHOTOS)
        slow = {**SLEEP, "sleep": {**SLEEP["sleep"], "pause": PAUSE}}
        _show("a model that sleeps", [1, 2, 4], lambda workers: measure(workers, slow, few))
        cars = draw_photos(Path(folder) / "cars", 4, (128, 128))
        _show("the miniature, one thread", [1, 2], lambda workers: measure(workers, MINIATURE, cars))
        made = measure(2, SLEEP, many)
    head = made.head / made.pictures
    print(f"head: {head * 1000:.1f} ms of CPU per picture, with {SEEDS} pictures per photo")
    for what, rate in limits(head).items():
        print(f"{what}: {rate:.0f} pictures/s, {PICTURES / rate / 3600:.1f} hours for {PICTURES:,} pictures")


def _show(what: str, sizes: Sequence[int], run: Callable[[int], Measured]) -> None:
    rates = {}
    for workers in sizes:
        made = run(workers)
        rates[workers] = made.pictures / made.seconds
        faster = rates[workers] / rates[sizes[0]]
        print(f"{what}: {workers} workers: {rates[workers]:.2f} pictures/s, {faster:.2f} times", flush=True)


if __name__ == "__main__":
    from benchmarks import scale  # the workers know the op by this name

    scale.main()
