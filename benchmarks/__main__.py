"""`make bench`: what a batch saves, what a re-run, a change, a sweep and a kill cost, and how time and memory grow.

Times are of whole processes on the miniature models. Machines differ and are shared, so what is printed are ratios of
runs that stood side by side, each the median over several rounds that take turns in their order. It takes a while.
"""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
CAR = ROOT / "examples/car.png"
ROUNDS = 3
SEEDS = (0, 1, 2, 3)
PHOTOS = 20
PROMPTS = ("red desert of Mars", "snow", "meadow", "sandy beach", "street", "city at night", "winter", "grass")


def command(folder: Path, *words: str) -> list[str]:
    """`car_on_mars` with its results in a folder."""
    return [
        sys.executable,
        str(ROOT / "run.py"),
        "recipe=car_on_mars",
        "models=miniature",
        f"outputs={folder}/outputs",
        *words,
    ]


def edit(folder: Path, *words: str) -> None:
    """Run it in a process of its own."""
    subprocess.run(command(folder, *words), check=True, capture_output=True)


@contextmanager
def workshop(photos: int) -> Iterator[Path]:
    """A fresh folder, with so many photos, no two of the same bytes, in its folder `photos`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photos").mkdir()
        for number in range(photos):
            with Image.open(CAR) as image:
                image.putpixel((0, 0), (number, 0, 0))
                image.save(folder / f"photos/{number:03}.png")
        yield folder


def seconds(work: Callable[[], None]) -> float:
    """Wall time of the work."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


# --- what a batch saves ----------------------------------------------------------------------------------------------


def loop_round(number: int) -> dict[str, float]:
    """Four seeds as one run, and as one process each."""

    def one_run() -> None:
        with workshop(0) as folder:
            edit(folder, f"stages.inpaint.seed={list(SEEDS)}")

    def shell_loop() -> None:
        for seed in SEEDS:
            with workshop(0) as folder:
                edit(folder, f"stages.inpaint.seed={seed}")

    times = in_turns([one_run, shell_loop], number)
    return {"4 seeds in one run / the same in a shell loop": times[one_run] / times[shell_loop]}


# --- what a re-run, a change, a sweep and a kill cost ----------------------------------------------------------------


def first_run(folder: Path, prompts: Sequence[str] = PROMPTS) -> None:
    """Every photo with every prompt, as the recipe lists them."""
    edit(folder, f"dataset.images={folder}/photos", "stages.inpaint.seed=0", f"stages.inpaint.prompt={list(prompts)}")


def sweep(folder: Path) -> None:
    """The same pictures as a sweep over the prompts."""
    values = ",".join(PROMPTS)
    prompts = f"stages.inpaint.prompt={values}"
    words = command(folder, f"dataset.images={folder}/photos", "stages.inpaint.seed=0", prompts, "--multirun")
    subprocess.run(words, check=True, capture_output=True)


def killed_and_resumed(folder: Path) -> None:
    """The first run, killed when half of its pictures are there, then resumed."""
    words = (
        f"dataset.images={folder}/photos",
        "stages.inpaint.seed=0",
        f"stages.inpaint.prompt={list(PROMPTS)}",
    )
    process = subprocess.Popen(command(folder, *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while pictures(folder) < PHOTOS * len(PROMPTS) // 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resume = [sys.executable, str(ROOT / "run.py"), "resume=latest", f"outputs={folder}/outputs"]
    subprocess.run(resume, check=True, capture_output=True)
    assert pictures(folder) == PHOTOS * len(PROMPTS)


def pictures(folder: Path) -> int:
    """Lines of the one journal there is."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("outputs/*/journal.jsonl"))


def cost_round(number: int) -> dict[str, float]:
    """One round over all of it. The first run stands for the time that the others are compared with."""
    again: dict[str, float] = {}
    work: list[str] = []

    def run_and_change() -> None:
        with workshop(PHOTOS) as folder:
            again["first"] = seconds(lambda: first_run(folder))
            work.append(work_of(folder))
            again["no-op"] = seconds(lambda: first_run(folder))
            again["change"] = seconds(lambda: first_run(folder, (*PROMPTS[:-1], "sea")))

    def run_sweep() -> None:
        with workshop(PHOTOS) as folder:
            again["sweep"] = seconds(lambda: sweep(folder))

    def run_killed() -> None:
        with workshop(PHOTOS) as folder:
            again["killed"] = seconds(lambda: killed_and_resumed(folder))

    in_turns([run_and_change, run_sweep, run_killed], number)
    print(f"        work of the first run: {work[0]}", flush=True)
    return {
        "no-op re-run / first run (aim 0.02)": again["no-op"] / again["first"],
        f"one changed prompt of {len(PROMPTS)} / first run (aim 0.15)": again["change"] / again["first"],
        "sweep over the prompts / the same as a list (aim 1.05)": again["sweep"] / again["first"],
        "killed at half and resumed / uninterrupted (aim 1.10)": again["killed"] / again["first"],
    }


def work_of(folder: Path) -> str:
    """How often each op ran and which models were loaded, as the one run there is has counted."""
    (path,) = folder.glob("outputs/*/run.json")
    work = json.loads(path.read_text())["work"]
    counts = ", ".join(f"{number} {op}" for op, number in work["computed"].items())
    return f"{counts}; models loaded: {', '.join(work['loaded'])}"


# --- how time and memory grow ----------------------------------------------------------------------------------------


def growth_round(number: int) -> dict[str, float]:
    """One quick picture each of 5 and of 20 photos: time with start-up, and the largest resident memory."""
    memory: dict[Callable[[], None], int] = {}

    def few() -> None:
        memory[few] = peak(5)

    def many() -> None:
        memory[many] = peak(20)

    times = in_turns([few, many], number)
    return {
        "20 photos / 5 photos, time (aim 4.2)": times[many] / times[few],
        "20 photos / 5 photos, peak memory (aim 1.05)": memory[many] / memory[few],
    }


def peak(photos: int) -> int:
    """Largest resident memory of a run over so many photos, as it has recorded it."""
    with workshop(photos) as folder:
        edit(folder, f"dataset.images={folder}/photos", "stages.inpaint.seed=0", "stages.inpaint.steps=4")
        (path,) = folder.glob("outputs/*/run.json")
        return json.loads(path.read_text())["work"]["peak_memory"]


# ---------------------------------------------------------------------------------------------------------------------


def in_turns(works: Sequence[Callable[[], None]], number: int) -> dict[Callable[[], None], float]:
    """The time of each; in every round another goes first."""
    first = number % len(works)
    return {work: seconds(work) for work in (*works[first:], *works[:first])}


def main() -> None:
    """Measure and print."""
    for measure in (loop_round, growth_round, cost_round):
        rounds = [measure(number) for number in range(ROUNDS)]
        for name in rounds[0]:
            values = [each[name] for each in rounds]
            spread = " ".join(f"{value:.3f}" for value in sorted(values))
            print(f"{statistics.median(values):7.3f}  {name}   ({spread})", flush=True)


if __name__ == "__main__":
    main()
