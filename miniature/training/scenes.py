"""The cache of training scenes: pictures of about 256x256 pixels with label maps, rendered once."""

from __future__ import annotations

import itertools
import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from miniature.world import Scene, Spec, scene

# Every use of the world has its own range of seeds, so that no picture is both learnt and judged.
TRAINING_SEEDS, CLASSIFIER_SEEDS, HELD_OUT_SEEDS, EXAMPLE_SEEDS = 0, 10_000_000, 20_000_000, 30_000_000

# Width and height. The product repaints crops of about 128^2 pixels that keep their aspect, multiples of 8. The cache
# holds them at twice these sides, which is what SAM and CLIPSeg see.
SIZES = ((128, 128), (160, 104), (104, 160), (144, 112), (112, 144))
SMALLEST = 0.004  # visible share of the picture below which an object is not asked about
GAP = 3  # objects touch that have fewer pixels than this between them
CLOSE = 0.4  # share of the scenes that are a closer view of one object, like a crop of a larger picture


@dataclass(frozen=True)
class Sample:
    """A training scene.

    Attributes:
        image: HxWx3 uint8.
        labels: HxW uint8, 0 for the background, i + 1 for `things[i]`.
        place: a key of `PLACES`.
        light: a key of `LIGHTS`.
        things: its objects.
    """

    image: np.ndarray
    labels: np.ndarray
    place: str
    light: str
    things: tuple[Spec, ...]

    def mask(self, index: int) -> np.ndarray:
        """HxW bool, the visible pixels of `things[index]`."""
        return self.labels == index + 1

    def visible(self) -> list[int]:
        """Indices of the objects large enough to ask about."""
        areas = np.bincount(self.labels.ravel(), minlength=len(self.things) + 1)[1:]
        return [i for i in range(len(self.things)) if areas[i] >= SMALLEST * self.labels.size]

    def touching(self) -> list[tuple[int, int]]:
        """Pairs of objects large enough to ask about that touch: along a handful of pixels at least."""
        size, seen = len(self.things) + 1, self.visible()
        meetings = np.zeros((size, size), int)
        across = self.labels[:, :-GAP], self.labels[:, GAP:]
        down = self.labels[:-GAP], self.labels[GAP:]
        for one, other in (across, down):
            both = (one > 0) & (other > 0) & (one != other)
            np.add.at(meetings, (one[both], other[both]), 1)
        meetings = (meetings + meetings.T)[1:, 1:]
        return [(i, j) for i, j in itertools.combinations(seen, 2) if meetings[i, j] >= 2 * GAP]

    def halved(self) -> Sample:
        """The sample at half the width and height, as the painter and the judges see it."""
        image = np.asarray(Image.fromarray(self.image).reduce(2))
        return replace(self, image=image, labels=np.ascontiguousarray(self.labels[1::2, 1::2]))

    def mirrored(self) -> Sample:
        """The sample with left and right exchanged."""
        return replace(self, image=self.image[:, ::-1], labels=self.labels[:, ::-1])


def label_map(picture: Scene) -> np.ndarray:
    """HxW uint8: 0 for the background, i + 1 for `picture.objects[i]`."""
    labels = np.zeros(picture.image.shape[:2], np.uint8)
    for i, thing in enumerate(picture.objects):
        labels[thing.mask] = i + 1
    return labels


def _zoom(seed: int, size: tuple[int, int], rng: np.random.Generator) -> tuple[float, int | None]:
    """The zoom, and the index of the object it centres on; 1 and None for the whole scene."""
    fraction = 8
    small = scene(seed, size[0] // fraction, size[1] // fraction)
    things = [i for i, thing in enumerate(small.objects) if thing.mask.mean() >= SMALLEST]
    if rng.random() >= CLOSE or not things:
        return 1.0, None
    chosen = things[rng.integers(len(things))]
    x0, y0, x1, y1 = small.objects[chosen].box
    fills = max((x1 - x0) / small.image.shape[1], (y1 - y0) / small.image.shape[0])
    return float(np.clip(1 / (fills * rng.uniform(1.15, 2.2)), 1, 2.4)), chosen


def render(seed: int, size: tuple[int, int]) -> Sample:
    """A training scene of this width and height."""
    rng = np.random.default_rng((seed, 1))
    zoom, chosen = _zoom(seed, size, rng)
    width, height = size
    picture = scene(seed, round(width * zoom), round(height * zoom))
    labels = label_map(picture)
    left, top = (picture.image.shape[1] - width) // 2, (picture.image.shape[0] - height) // 2
    if chosen is not None and chosen < len(picture.objects):
        x0, y0, x1, y1 = picture.objects[chosen].box
        aside = rng.uniform(-0.12, 0.12, 2) * size
        left, top = (
            int(np.clip((a + b) / 2 + d - s / 2, 0, full - s))
            for a, b, d, s, full in zip((x0, y0), (x1, y1), aside, size, picture.image.shape[1::-1], strict=True)
        )
    window = (slice(top, top + height), slice(left, left + width))
    specs = tuple((thing.kind, thing.colour) for thing in picture.objects)
    return Sample(picture.image[window], labels[window], picture.place, picture.light, specs)


def _render_range(first: int, count: int, size: tuple[int, int]) -> list[Sample]:
    return [render(seed, size) for seed in range(first, first + count)]


class SceneCache:
    """Training scenes on disk, half of them square; rendered on first use.

    A cache is complete or absent: it is written under another name and then renamed.

    Args:
        folder: holds the folder of the cache.
        count: the number of scenes.
        first_seed: the seed of the first scene.
        workers: processes that render.
    """

    def __init__(self, folder: Path, count: int, first_seed: int = TRAINING_SEEDS, workers: int = 1) -> None:
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
                large = (2 * size[0], 2 * size[1])
                jobs = [pool.submit(_render_range, s, min(50, first_seed + share - s), large) for s in starts]
                rendered = tqdm(jobs, desc=f"scenes {size[0]}x{size[1]}", unit="batch")
                samples = [sample for job in rendered for sample in job.result()]
                first_seed += share
                np.save(partial / f"{i}_images.npy", np.stack([s.image for s in samples]))
                np.save(partial / f"{i}_labels.npy", np.stack([s.labels for s in samples]))
                (partial / f"{i}.json").write_text(json.dumps([[s.place, s.light, s.things] for s in samples]))
        partial.replace(self.folder)

    def pick_group(self, rng: np.random.Generator) -> int:
        """A random index in `SIZES`, weighted by the number of scenes of that size."""
        return int(rng.choice(len(SIZES), p=self._shares))

    def size(self, group: int) -> int:
        """The number of scenes of a group."""
        return len(self.groups[group][2])

    def get(self, group: int, index: int) -> Sample:
        """One scene of a group."""
        images, labels, facts = self.groups[group]
        place, light, things = facts[index]
        return Sample(images[index], labels[index], place, light, tuple((k, c) for k, c in things))

    def with_touching(self) -> list[tuple[int, int]]:
        """Group and index of every scene in which objects touch; takes some seconds for thousands."""
        return [(g, i) for g in range(len(SIZES)) for i in range(self.size(g)) if self.get(g, i).touching()]

    def sample(self, rng: np.random.Generator, group: int | None = None) -> Sample:
        """A scene at random, from one group or from all."""
        group = self.pick_group(rng) if group is None else group
        return self.get(group, int(rng.integers(self.size(group))))
