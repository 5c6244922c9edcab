"""`make bench`: what a batch saves over a shell loop, and how time and memory grow, side by side in one run.

Times are of whole processes on the miniature models. Machines differ and are shared, so what is printed are ratios,
each the median over interleaved pairs.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CAR = ROOT / "examples/car.png"
PAIRS = 3
SEEDS = (0, 1, 2, 3)


def edit(folder: Path, *words: str) -> None:
    """Run `car_on_mars` in a process of its own."""
    command = [
        sys.executable,
        str(ROOT / "run.py"),
        "recipe=car_on_mars",
        "models=miniature",
        f"outputs={folder}",
        *words,
    ]
    subprocess.run(command, check=True, capture_output=True)


def one_run(folder: Path) -> None:
    """Four seeds as one recipe gives them."""
    edit(folder, f"stages.inpaint.seed={list(SEEDS)}")


def shell_loop(folder: Path) -> None:
    """The same four pictures, one process each."""
    for seed in SEEDS:
        edit(folder, f"stages.inpaint.seed={seed}")


def photos(number: int) -> Callable[[Path], None]:
    """So many photos, one quick picture each."""

    def run(folder: Path) -> None:
        source = folder / "photos"
        source.mkdir()
        for each in range(number):
            shutil.copy(CAR, source / f"{each}.png")
        edit(folder, f"dataset.images={source}", "stages.inpaint.seed=0", "stages.inpaint.steps=4")

    return run


def seconds(work: Callable[[Path], None]) -> float:
    """Wall time of the work in a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        work(Path(folder))
        return time.perf_counter() - started


def ratio(one: Callable[[Path], None], other: Callable[[Path], None]) -> float:
    """Median of time(one) / time(other) over pairs that take turns in going first."""
    ratios = []
    for pair in range(PAIRS):
        order = (one, other) if pair % 2 else (other, one)
        times = {work: seconds(work) for work in order}
        ratios.append(times[one] / times[other])
    return statistics.median(ratios)


def peak_memory(work: str) -> int:
    """Largest resident memory, in KiB, of the process that an expression of this module starts."""
    usage = "resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss"
    code = f"import resource; from benchmarks.__main__ import *; seconds({work}); print({usage})"
    command = [sys.executable, "-c", code]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


def main() -> None:
    """Measure and print."""
    few, many = 5, 20
    figures = {
        "4 seeds in one run / the same in a shell loop, time": ratio(one_run, shell_loop),
        "20 photos / 5 photos, time": ratio(photos(many), photos(few)),
        "20 photos / 5 photos, peak memory": peak_memory(f"photos({many})") / peak_memory(f"photos({few})"),
    }
    for name, figure in figures.items():
        print(f"{figure:6.2f}  {name}")


if __name__ == "__main__":
    main()
