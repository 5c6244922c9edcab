"""The cache of training scenes: pictures of about 128x128 pixels with label maps, rendered once."""

import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipeline.miniature.world import Scene, Spec, scene

# Every use of the world has its own range of seeds, so that no picture is both learnt and judged.
TRAINING_SEEDS, CLASSIFIER_SEEDS, HELD_OUT_SEEDS, EXAMPLE_SEEDS = 0, 10_000_000, 20_000_000, 30_000_000

# Width and height. The product repaints crops of about 128^2 pixels that keep their aspect, multiples of 8.
SIZES = ((128, 128), (160, 104), (104, 160), (144, 112), (112, 144))
SMALLEST = 60  # visible pixels below which an object is not asked about


@dataclass(frozen=True)
class Sample:
    """image: HxWx3 uint8. labels: HxW uint8, 0 for the background, i + 1 for ``things[i]``."""

    image: np.ndarray
    labels: np.ndarray
    place: str
    things: tuple[Spec, ...]

    def mask(self, index: int) -> np.ndarray:
        """HxW bool, the visible pixels of ``things[index]``."""
        return self.labels == index + 1

    def visible(self) -> list[int]:
        """Indices of the objects large enough to ask about."""
        areas = np.bincount(self.labels.ravel(), minlength=len(self.things) + 1)[1:]
        return [i for i in range(len(self.things)) if areas[i] >= SMALLEST]


def label_map(picture: Scene) -> np.ndarray:
    """HxW uint8: 0 for the background, i + 1 for ``picture.objects[i]``."""
    labels = np.zeros(picture.image.shape[:2], np.uint8)
    for i, thing in enumerate(picture.objects):
        labels[thing.mask] = i + 1
    return labels


def render(seed: int, size: tuple[int, int]) -> Sample:
    """A training scene; every third is a closer view of an object, like a crop of a larger picture."""
    rng = np.random.default_rng((seed, 1))
    zoom = rng.uniform(1.15, 2) if rng.random() < 0.35 else 1.0
    width, height = size
    picture = scene(seed, round(width * zoom), round(height * zoom))
    labels = label_map(picture)
    things = [thing for thing in picture.objects if thing.mask.sum() >= SMALLEST]
    if zoom > 1 and things:
        x0, y0, x1, y1 = things[rng.integers(len(things))].box
        aside = rng.uniform(-0.2, 0.2, 2) * size
        left, top = (
            int(np.clip((a + b) / 2 + d - s / 2, 0, full - s))
            for a, b, d, s, full in zip((x0, y0), (x1, y1), aside, size, picture.image.shape[1::-1], strict=True)
        )
    else:
        left, top = (picture.image.shape[1] - width) // 2, (picture.image.shape[0] - height) // 2
    window = (slice(top, top + height), slice(left, left + width))
    specs = tuple((thing.kind, thing.colour) for thing in picture.objects)
    return Sample(picture.image[window], labels[window], picture.place, specs)


def _render_range(first: int, count: int, size: tuple[int, int]) -> list[Sample]:
    return [render(seed, size) for seed in range(first, first + count)]


class SceneCache:
    """``count`` training scenes in ``folder``, half of them square; rendered on first use.

    first_seed: where their seeds begin. A cache is complete or absent: it is written beside and renamed.
    """

    def __init__(self, folder: Path, count: int, first_seed: int = TRAINING_SEEDS, workers: int = 1):
        self.folder = folder / f"scenes_{first_seed}_{count}"
        if not self.folder.exists():
            self._render(count, first_seed, workers)
        self.groups = []
        for i, _ in enumerate(SIZES):
            facts = json.loads((self.folder / f"{i}.json").read_text())
            images = np.load(self.folder / f"{i}_images.npy", mmap_mode="r")
            labels = np.load(self.folder / f"{i}_labels.npy", mmap_mode="r")
            self.groups.append((images, labels, facts))
        counts = np.array([len(facts) for _, _, facts in self.groups], float)
        self._shares = counts / counts.sum()

    def _render(self, count: int, first_seed: int, workers: int) -> None:
        partial = self.folder.with_name(f"{self.folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        with ProcessPoolExecutor(workers) as pool:
            for i, size in enumerate(SIZES):
                share = count // 2 if i == 0 else count // 2 // (len(SIZES) - 1)
                starts = range(first_seed, first_seed + share, 50)
                jobs = [pool.submit(_render_range, s, min(50, first_seed + share - s), size) for s in starts]
                rendered = tqdm(jobs, desc=f"scenes {size[0]}x{size[1]}", unit="batch")
                samples = [sample for job in rendered for sample in job.result()]
                first_seed += share
                np.save(partial / f"{i}_images.npy", np.stack([s.image for s in samples]))
                np.save(partial / f"{i}_labels.npy", np.stack([s.labels for s in samples]))
                (partial / f"{i}.json").write_text(json.dumps([[s.place, s.things] for s in samples]))
        partial.replace(self.folder)

    def pick_group(self, rng: np.random.Generator) -> int:
        """A size at random, as often as the cache holds it; returns its index in ``SIZES``."""
        return int(rng.choice(len(SIZES), p=self._shares))

    def size(self, group: int) -> int:
        """How many scenes a group holds."""
        return len(self.groups[group][2])

    def get(self, group: int, index: int) -> Sample:
        """One scene of a group."""
        images, labels, facts = self.groups[group]
        place, things = facts[index]
        return Sample(images[index], labels[index], place, tuple((k, c) for k, c in things))

    def sample(self, rng: np.random.Generator, group: int | None = None) -> Sample:
        """A scene at random, from one group or from all."""
        group = self.pick_group(rng) if group is None else group
        return self.get(group, int(rng.integers(self.size(group))))
