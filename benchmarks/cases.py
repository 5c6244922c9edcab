"""What is measured: photos, recipes, and the command lines of Darkroom for them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from benchmarks.contenders.work import ROOT, Work
from benchmarks.measure import python

CAR = ROOT / "examples/car.png"
PROMPTS = ("red desert of Mars", "snow", "meadow", "sandy beach", "street", "city at night", "winter", "grass")
OTHER_PROMPT = "sea"

SMALL = (512, 384)  # px, of the photos without diffusion
ERASE = """\
dataset: {{images: {photos}}}
stages:
  marked: {{op: mask_file, folder: {masks}}}
  refine: {{grow: 4, feather: 3}}
  erase:
"""


@dataclass(frozen=True)
class Sizes:
    """How much work `make bench` does; `QUICK` tests the code.

    Attributes:
        steps: of denoising.
        photos: of the runs over many photos.
        seeds: of one photo with four prompts; `many_seeds` for the comparison with the floor.
        erased: photos of the recipe without diffusion.
    """

    steps: int
    photos: int
    seeds: int
    many_seeds: int
    erased: int


FULL = Sizes(steps=20, photos=24, seeds=4, many_seeds=8, erased=100)
QUICK = Sizes(steps=1, photos=2, seeds=1, many_seeds=1, erased=4)


@contextmanager
def workshop() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as name:
        yield Path(name)


def write_cars(folder: Path, count: int) -> list[str]:
    """So many photos of the car, no two of the same bytes; returns their paths."""
    folder.mkdir()
    paths = [folder / f"{number:03}.png" for number in range(count)]
    with Image.open(CAR) as image:
        for number, path in enumerate(paths):
            image.putpixel((0, 0), (number, 0, 0))
            image.save(path)
    return list(map(str, paths))


def write_marked(folder: Path, count: int) -> Path:
    """Photos in `photos`, masks of a small ellipse each in `masks`, and `recipe.yaml`, which erases what they mark."""
    for name in ("photos", "masks"):
        (folder / name).mkdir()
    with Image.open(CAR) as image:
        small = image.convert("RGB").resize(SMALL)
    for number in range(count):
        small.putpixel((0, 0), (number, 0, 0))
        small.save(folder / f"photos/{number:03}.png")
        mask, x, y = Image.new("L", SMALL), 60 + 37 * number % 380, 60 + 23 * number % 250
        ImageDraw.Draw(mask).ellipse((x, y, x + 40, y + 25), fill=255)
        mask.save(folder / f"masks/{number:03}.png")
    (folder / "recipe.yaml").write_text(ERASE.format(photos=folder / "photos", masks=folder / "masks"))
    return folder / "recipe.yaml"


def write_mask(path: Path) -> Path:
    """A mask of everything but a box around the car, for tools that find no masks."""
    with Image.open(CAR) as image:
        mask = Image.new("L", image.size, 255)
    ImageDraw.Draw(mask).rectangle((180, 260, 480, 440), fill=0)
    mask.save(path)
    return path


def run(*words: str) -> list[str]:
    """`python run.py WORDS`."""
    return python(ROOT / "run.py", *words)


def recipe(work: Work, *words: str) -> list[str]:
    """Darkroom's command for a work, with its prompts and seeds as lists: one run."""
    prompts, seeds = list(work.prompts), list(work.seeds)
    return run(*_words(work), f"stages.inpaint.prompt={prompts}", f"stages.inpaint.seed={seeds}", *words)


def sweep(work: Work, *words: str) -> list[str]:
    """The same as a sweep: one job per prompt and seed."""
    prompts, seeds = ",".join(work.prompts), ",".join(map(str, work.seeds))
    return run("-m", *_words(work), f"stages.inpaint.prompt={prompts}", f"stages.inpaint.seed={seeds}", *words)


def _words(work: Work) -> Sequence[str]:
    photos = f"dataset.images=[{','.join(work.photos)}]"
    return "recipe=car_on_mars", "models=miniature", f"outputs={work.out}", photos, f"stages.inpaint.steps={work.steps}"


def disk_bytes(folder: Path) -> int:
    """Bytes on disk of a folder; hard links count once."""
    files = {status.st_ino: status.st_blocks * 512 for path in folder.rglob("*") if (status := path.lstat())}
    return sum(files.values())


def empty(folder: Path) -> None:
    """Remove a folder of results before they are made again."""
    shutil.rmtree(folder, ignore_errors=True)
