"""How time and memory grow with the number of photos and of rows of a table: `python -m benchmarks.growth OUT.png`.

It measures dry runs of tables of 10,000 to a million rows, whose rows name a hundred photos, and runs of 100 to 10,000
photos of a recipe without a model; draws both; and prints the figures as a table. The million rows take minutes, the
10,000 photos half an hour: `--rows` and `--photos` set other numbers.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import yaml

from benchmarks.measure import Cost, cost_of, python

_DIFFERENT = 100  # photos that a table names
_SIZE = (96, 128)  # height and width of a photo
_COLOURS = ("red", "blue", "green")

# Parameters that wait for no column; for a column with few values; for one that is different in each row.
_PROMPTS = {"no column": "a desert", "few values": "a ${item.colour} desert", "all different": "${item.caption}"}


def dry_run(folder: Path, rows: int, prompt: str) -> Cost:
    """A dry run of a table with so many rows."""
    table = folder / f"{rows}.csv"
    if not table.exists():
        with table.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "caption", "colour"])
            for row in range(rows):
                writer.writerow([f"photos/{row % _DIFFERENT}.png", f"a car, number {row}", _COLOURS[row % 3]])
    stages = {
        "find": {"op": "text", "phrase": "a car"},
        "refine": {"grow": 3},
        "inpaint": {"prompt": prompt, "seed": 1},
    }
    recipe = _write(folder / "rows.yaml", {"dataset": {"manifest": str(table)}, "stages": stages})
    return cost_of(_command(recipe, folder, "dry_run=true"))


def run(folder: Path, photos: int) -> Cost:
    """A run of so many photos, on a fresh store."""
    grabcut = {"op": "grabcut", "box": [20, 20, 100, 80], "iterations": 1}
    stages = {"thing": grabcut, "refine": {"grow": 2}, "erase": {}}
    recipe = _write(folder / "photos.yaml", {"dataset": {"images": str(folder / "photos")}, "stages": stages})
    with tempfile.TemporaryDirectory(dir=folder) as outputs:
        return cost_of(_command(recipe, Path(outputs), f"limit={photos}"))


def _write(path: Path, recipe: object) -> Path:
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def _command(recipe: Path, outputs: Path, *words: str) -> list[str]:
    return python("run.py", f"recipe={recipe}", f"outputs={outputs}/outputs", "models=miniature", *words)


def make_photos(folder: Path, number: int) -> None:
    """Different photos: a bright rectangle on noise."""
    from PIL import Image

    folder.mkdir()
    for index in range(number):
        pixels = np.random.default_rng(index).integers(0, 90, (*_SIZE, 3), np.uint8)
        pixels[30:70, 40:90] += 150
        Image.fromarray(pixels).save(folder / f"{index}.png")


Figures = dict[str, list[tuple[int, Cost]]]


def measure(rows: Sequence[int], photos: Sequence[int]) -> tuple[Figures, Figures]:
    """The costs of dry runs by kind of prompt, and of runs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_photos(folder / "photos", max([*photos, _DIFFERENT]))
        dry = {
            kind: [(number, dry_run(folder, number, prompt)) for number in rows] for kind, prompt in _PROMPTS.items()
        }
        return dry, {"grabcut, refine, erase": [(number, run(folder, number)) for number in photos]}


def lines(figures: Figures, noun: str) -> Iterator[str]:
    """A table in Markdown."""
    yield f"| | {noun} | wall s | CPU s | CPU µs each | peak MB |"
    yield "|---|---|---|---|---|---|"
    for kind, costs in figures.items():
        for number, cost in costs:
            each = cost.cpu / number * 1e6
            yield f"| {kind} | {number:,} | {cost.wall:.1f} | {cost.cpu:.1f} | {each:,.0f} | {cost.peak / 1e6:.0f} |"


def draw(path: Path, dry: Figures, runs: Figures) -> None:
    """Plot CPU seconds and peak memory over the numbers."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for column, (figures, noun) in enumerate(((dry, "rows of a dry run"), (runs, "photos of a run"))):
        for kind, costs in figures.items():
            numbers = [number for number, _ in costs]
            axes[0][column].loglog(numbers, [cost.cpu for _, cost in costs], "o-", label=kind)
            axes[1][column].semilogx(numbers, [cost.peak / 1e6 for _, cost in costs], "o-", label=kind)
        axes[0][column].set(xlabel=noun, ylabel="CPU seconds")
        axes[1][column].set(xlabel=noun, ylabel="peak memory, MB", ylim=(0, None))
        axes[0][column].legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--photos", type=int, nargs="*", default=[100, 1_000, 10_000])
    given = parser.parse_args()
    dry, runs = measure(given.rows, given.photos)
    draw(given.picture, dry, runs)
    print("\n".join([*lines(dry, "rows"), "", *lines(runs, "photos")]))


if __name__ == "__main__":
    main()
