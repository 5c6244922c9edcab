"""Trains the judges: small classifiers of places and objects that only tests and the evaluation use.

They learn from scenes of their own and never see the results of the other models. Blur and noise imitate the softness
of a decoder, so that an edit is judged by its content.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from miniature.networks import build_classifier
from miniature.training.loop import device
from miniature.training.masks import box_of
from miniature.training.scenes import Sample, SceneCache
from miniature.training.vae import to_tensor
from miniature.world import KINDS, PALETTE, PLACES, Spec

SIDE = 64
NOTHING = "nothing"
MARGIN = 0.12


def view(image: np.ndarray, box: tuple[float, float, float, float] | None = None) -> np.ndarray:
    """The input of a judge, 64x64x3 uint8: the whole picture, or the square around `box` (x0, y0, x1, y1)."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    if box is not None:
        x0, y0, x1, y1 = box
        half = max(x1 - x0, y1 - y0) * (0.5 + MARGIN)
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        picture = picture.crop((int(x - half), int(y - half), int(x + half), int(y + half)))
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def degrade(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur some batches and adds noise: Bx3x64x64 in -1..1."""
    if rng.random() < 0.6:
        small = F.interpolate(x, (int(rng.choice([16, 22, 28, 40])),) * 2, mode="area")
        x = F.interpolate(small, x.shape[-2:], mode="bilinear")
    return x + torch.randn_like(x) * rng.uniform(0, 0.06)


class _ClassifierTask(ABC):
    classes: list[str]

    def __init__(self, scenes: SceneCache, batch: int = 48) -> None:
        self.net, self.scenes, self.batch = build_classifier(len(self.classes)), scenes, batch

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        """A view and its class."""

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        views, names = zip(*(self.draw(rng) for _ in range(self.batch)), strict=True)
        views = [v[:, ::-1] if rng.random() < 0.5 else v for v in views]
        truth = torch.tensor([self.classes.index(n) for n in names], device=device())
        logits = self.net(degrade(to_tensor(views), rng))
        accuracy = float((logits.argmax(1) == truth).float().mean())
        return F.cross_entropy(logits, truth, label_smoothing=0.05), {"accuracy": accuracy}


class PlaceTask(_ClassifierTask):
    """Which place a whole picture shows."""

    name = "place_classifier"
    classes = list(PLACES)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        sample = self.scenes.sample(rng)
        return view(sample.image), sample.place


class ObjectTask(_ClassifierTask):
    """What stands in a box; one view in ten shows nothing but the place."""

    name = "object_classifier"
    classes = [*KINDS, NOTHING]

    def _empty(self, sample: Sample, rng: np.random.Generator) -> np.ndarray | None:
        height, width = sample.labels.shape
        side = int(rng.integers(48, 112))
        x, y = int(rng.integers(width - side)), int(rng.integers(height - side))
        crowded = (sample.labels[y : y + side, x : x + side] > 0).mean() > 0.03
        return None if crowded else view(sample.image, (x, y, x + side, y + side))

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        while True:
            sample = self.scenes.sample(rng)
            if rng.random() < 0.1:
                empty = self._empty(sample, rng)
                if empty is not None:
                    return empty, NOTHING
                continue
            found = look_at_object(sample, rng)
            if found:
                return found[0], found[1][0]


class ColourTask(_ClassifierTask):
    """Which colour the object in a box has; the kinds that come in only one are left out."""

    name = "colour_classifier"
    classes = list(PALETTE)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        while True:
            found = look_at_object(self.scenes.sample(rng), rng)
            if found and found[1][1]:
                return found[0], found[1][1]


def look_at_object(sample: Sample, rng: np.random.Generator) -> tuple[np.ndarray, Spec] | None:
    """The view of an object that is large enough, its box a little off, and what it is."""
    large = [i for i in range(len(sample.things)) if sample.mask(i).sum() >= 8 * SIDE]
    if not large:
        return None
    i = large[rng.integers(len(large))]
    rows, columns = box_of(sample.mask(i))
    box = np.array([columns.start, rows.start, columns.stop, rows.stop], float)
    box += rng.uniform(-8, 12, 4) * (-1, -1, 1, 1)
    return view(sample.image, tuple(box)), sample.things[i]
