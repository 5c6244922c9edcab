"""How time and memory grow with the number of photos and of rows of a table: `python -m benchmarks.growth`.

It measures dry runs of tables of 10,000 to a million rows, and runs of 100 to 10,000 photos of a recipe without a
model; draws both into docs/pictures/growth.png; and writes the figures into docs/performance.md. With other numbers,
`--rows` and `--photos`, it writes both into the folder `--to` instead.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import yaml

from benchmarks import page
from benchmarks.contenders.work import ROOT
from benchmarks.measure import Cost, cost_of, python

ROWS, PHOTOS = (10_000, 100_000, 1_000_000), (100, 1_000, 10_000)
PICTURE = ROOT / "docs/pictures/growth.png"

_DIFFERENT = 100  # photos that a table names where rows share them
_SIZE = (48, 64)  # height and width of a photo
_WAIT = 2.1  # seconds, after which the digest of a new file is remembered
_PROMPTS = {"shared photos": "a desert", "distinct photos": "a desert", "captions": "${item.caption}"}


def dry_run(folder: Path, rows: int, kind: str, pictures: int) -> Cost:
    """A dry run of a table with so many rows; see `_photo`."""
    table = folder / f"{kind} {rows}.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        for row in range(rows):
            image = _photo(row if kind == "distinct photos" else row % _DIFFERENT, pictures)
            writer.writerow([image, f"a car, number {row}"])
    stages = {
        "find": {"op": "text", "phrase": "a car"},
        "refine": {"grow": 3},
        "inpaint": {"prompt": _PROMPTS[kind], "seed": 1},
    }
    recipe = _write(folder / "rows.yaml", {"dataset": {"manifest": str(table)}, "stages": stages})
    return cost_of(_command(recipe, folder, "dry_run=true"))


def run(folder: Path, photos: int) -> Cost:
    """A run of so many photos, on a fresh store."""
    stages = {
        "ink": {"op": "mask_file", "file": str(folder / "mask.png")},
        "refine": {"grow": 2},
        "erase": {},
    }
    recipe = _write(folder / "photos.yaml", {"dataset": {"images": str(folder / "photos")}, "stages": stages})
    with tempfile.TemporaryDirectory(dir=folder) as outputs:
        return cost_of(_command(recipe, Path(outputs), f"limit={photos}"))


def _write(path: Path, recipe: object) -> Path:
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def _command(recipe: Path, outputs: Path, *words: str) -> list[str]:
    return python("run.py", f"recipe={recipe}", f"outputs={outputs}/outputs", "models=miniature", *words)


def _photo(number: int, pictures: int) -> str:
    """The file of a photo: the first are pictures, further ones have no bytes, which a dry run does not read."""
    return f"{'photos' if number < pictures else 'further'}/{number}.png"


def make_photos(folder: Path, pictures: int, files: int) -> None:
    """Different photos, noise with a bright rectangle, and one mask; and as many further files as rows need."""
    from PIL import Image

    for name in ("photos", "further"):
        (folder / name).mkdir()
    for index in range(pictures):
        pixels = np.random.default_rng(index).integers(0, 90, (*_SIZE, 3), np.uint8)
        pixels[16:32, 24:40] += 150
        Image.fromarray(pixels).save(folder / "photos" / f"{index}.png")
    mask = np.zeros(_SIZE, np.uint8)
    mask[16:32, 24:40] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    for index in range(pictures, files):
        os.close(os.open(f"{folder}/{_photo(index, pictures)}", os.O_CREAT | os.O_WRONLY))


def remember(folder: Path, pictures: int, files: int) -> None:
    """Let the store know the digests of all files, as if a run had read them."""
    from darkroom.store import FOLDER, Store
    from darkroom.store.digests import RememberedDigests

    time.sleep(_WAIT)
    store = Store(folder / "outputs" / FOLDER)
    store.create()
    memory = RememberedDigests(store)
    for number in range(files):
        status = os.stat(f"{folder}/{_photo(number, pictures)}")  # noqa: PTH116  # a Path takes longer than the rest
        memory.add(status, hashlib.sha256(str(number).encode()).hexdigest())
    memory.save()


def _apart(work: Callable[..., None], *arguments: object) -> None:
    """Do it in another process: Linux counts what a process holds as the peak of those that it starts, too."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(work, *arguments).result()


Figures = dict[str, list[tuple[int, Cost]]]


def measure(rows: Sequence[int], photos: Sequence[int]) -> tuple[Figures, Figures]:
    """The costs of dry runs by kind of table, and of runs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = max([*photos, _DIFFERENT])
        _apart(make_photos, folder, pictures, max(rows))
        runs = [(number, _said(f"{number:,} photos", run(folder, number))) for number in photos]
        _apart(remember, folder, pictures, max(rows))
        dry: Figures = {kind: [] for kind in _PROMPTS}
        for kind in _PROMPTS:
            for number in rows:
                dry[kind].append((number, _said(f"{number:,} rows, {kind}", dry_run(folder, number, kind, pictures))))
        return dry, {"mask_file, refine, erase": runs}


def _said(what: str, cost: Cost) -> Cost:
    print(f"{what}: {cost.wall:.1f} s wall, {cost.cpu:.1f} s CPU, {cost.peak / 1e6:.0f} MB", flush=True)
    return cost


def lines(figures: Figures, noun: str, unit: str) -> Iterator[str]:
    """A table in Markdown; `unit` is that of the time of each, ms or µs."""
    yield f"| | {noun} | wall s | CPU s | CPU {unit} each | peak MB |"
    yield "|---|---|---|---|---|---|"
    for kind, costs in figures.items():
        for number, cost in costs:
            each = cost.cpu / number * {"ms": 1e3, "µs": 1e6}[unit]
            yield f"| {kind} | {number:,} | {cost.wall:.1f} | {cost.cpu:.1f} | {each:,.0f} | {cost.peak / 1e6:.0f} |"


def draw(path: Path, dry: Figures, runs: Figures) -> None:
    """Plot CPU time per photo or row, and peak memory, over the numbers."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    columns = ((runs, "photos of a run", "CPU ms per photo", 1e3), (dry, "rows of a dry run", "CPU µs per row", 1e6))
    for (above, below), (figures, noun, label, scale) in zip(axes.T, columns, strict=True):
        for kind, costs in figures.items():
            numbers = [number for number, _ in costs]
            above.semilogx(numbers, [cost.cpu / number * scale for number, cost in costs], "o-", label=kind)
            below.semilogx(numbers, [cost.peak / 1e6 for _, cost in costs], "o-", label=kind)
        above.set(xlabel=noun, ylabel=label, ylim=(0, None))
        most = max(cost.peak / 1e6 for costs in figures.values() for _, cost in costs)
        below.set(xlabel=noun, ylabel="peak memory, MB", ylim=(0, 1.1 * most))
        above.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--photos", type=int, nargs="+", default=PHOTOS)
    parser.add_argument("--to", type=Path, help="a folder for growth.png and growth.md, in place of docs/")
    given = parser.parse_args()
    started = time.perf_counter()
    dry, runs = measure(given.rows, given.photos)
    written = [*lines(runs, "photos", "ms"), "", *lines(dry, "rows", "µs")]
    if given.to:
        draw(given.to / PICTURE.name, dry, runs)
        (given.to / "growth.md").write_text("\n".join(written))
    else:
        draw(PICTURE, dry, runs)
        said = f"{page.measured_on()}; {(time.perf_counter() - started) / 60:.0f} minutes."
        page.replace_part(page.PAGE, "growth", [said, "", "![Growth](pictures/growth.png)", "", *written])


if __name__ == "__main__":
    main()
