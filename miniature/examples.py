"""Draws the pictures in `examples/`: `python -m miniature.examples [FOLDER]`.

They are scenes of the picture-book world that no model was trained on; `EXAMPLES["car.png"].scene()` has the true
masks.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from miniature.training.scenes import EXAMPLE_SEEDS
from miniature.world import Scene, Spec, Thing, scene


@dataclass(frozen=True)
class Example:
    """An example picture, by day.

    Attributes:
        seed: of the scene.
        size: (width, height) in pixels.
        place: a key of `PLACES`.
        objects: its objects, the main one first.
        prompt: the place to move the main object to.
    """

    seed: int
    size: tuple[int, int]
    place: str
    objects: tuple[Spec, ...]
    prompt: str

    def scene(self) -> Scene:
        """The picture and its ground truth."""
        return scene(EXAMPLE_SEEDS + self.seed, *self.size, self.place, list(self.objects), "day")

    def main(self) -> Thing:
        """The object that the example is about."""
        return next(thing for thing in self.scene().objects if thing.kind == self.objects[0][0])


MARS = "red desert of Mars, dusty sky"
EXAMPLES = {
    "car.png": Example(24, (768, 512), "street", (("car", "red"),), MARS),
    "horse.png": Example(119, (768, 512), "meadow", (("horse", "brown"),), "sandy beach by the sea, blue sky"),
    "dog.png": Example(260, (640, 640), "beach", (("dog", "brown"),), "snowy field with mountains in winter"),
}
FLEET = {
    "truck.jpg": Example(318, (640, 480), "street", (("truck", "blue"),), "sandy beach by the sea, blue sky"),
    "zebra.jpg": Example(374, (480, 640), "meadow", (("zebra", None),), "snowy field with mountains in winter"),
    "taxi.jpg": Example(370, (768, 432), "beach", (("car", "yellow"),), "city at night, lights in the windows"),
    "horse.jpg": Example(374, (600, 600), "snow", (("horse", "black"),), MARS),
    "dog.jpg": Example(390, (512, 640), "mars", (("dog", "white"),), "green meadow under a blue sky"),
    "car_and_tree.jpg": Example(392, (720, 480), "meadow", (("car", "orange"), ("tree", "green")), MARS),
}


def click(mask: np.ndarray) -> list[int]:
    """The pixel (x, y) deepest inside a mask (HxW bool): where a careful person would click."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return [int(column), int(row)]


def write(folder: Path) -> None:
    """Write the three pictures, the fleet and its manifest."""
    (folder / "fleet").mkdir(parents=True, exist_ok=True)
    for name, example in EXAMPLES.items():
        Image.fromarray(example.scene().image).save(folder / name, optimize=True)
        print(f"{name}: {example.objects[0][0]} at {click(example.main().mask)}")
    manifest = folder / "fleet" / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image", "points", "keep", "prompt"])
        for name, example in FLEET.items():
            Image.fromarray(example.scene().image).save(folder / "fleet" / name, quality=93)
            kind, colour = example.objects[0]
            keep = f"{colour} {kind}" if colour else kind
            table.writerow([name, json.dumps([click(example.main().mask)]), keep, example.prompt])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("examples"))
    write(parser.parse_args().folder)


if __name__ == "__main__":
    main()
