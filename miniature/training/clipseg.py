"""Trains the miniature CLIPSeg: a phrase to the pixels that it names, if any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from miniature.networks import build_clipseg
from miniature.training.loop import device
from miniature.training.photo import photographic
from miniature.training.scenes import Sample, SceneCache
from miniature.world import KINDS, PALETTE, PLACES, name, phrase

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

_T = TypeVar("_T")

IMAGE_SIZE = 256
QUESTIONS_PER_IMAGE = 4
PATCH = 16
HELP = 0.6  # weight of the helper's loss
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet; what CLIPSegProcessor uses
NO_LABEL = 255  # beside the picture
FILL = tuple(round(255 * v) for v in MEAN)
ANIMALS = ("horse", "zebra", "cow", "dog", "cat")  # harder to tell apart than anything else here
TEMPLATES = ("a photo of a {}", "{}", "a {}", "the {}", "a picture of a {}")
# Kinds that are easily taken for one another: asked for in each other's absence they are the hard negatives.
LOOKALIKES = {
    "car": ("truck", "bus"),
    "truck": ("car", "bus", "bus"),
    "bus": ("truck", "truck", "car"),
    "bicycle": ("car", "ball"),
    "horse": ("zebra", "zebra", "dog", "cow"),
    "zebra": ("horse", "horse", "cow"),
    "cow": ("horse", "dog", "zebra"),
    "dog": ("horse", "cow", "cat"),
    "cat": ("dog", "tree"),
    "ball": ("car", "bicycle"),
    "house": ("truck", "tree", "boat"),
    "tree": ("house", "cat"),
    "boat": ("house", "truck"),
}


def _one(rng: np.random.Generator, options: Sequence[_T]) -> _T:
    return options[rng.integers(len(options))]


def ask_place(sample: Sample, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """The place or another one, whose mask is empty; sometimes just "background"."""
    empty, background = np.zeros_like(sample.labels, bool), sample.labels == 0
    if rng.random() < 0.2:
        return _one(rng, ("background", "the background")), background
    here = rng.random() < 0.6
    place = sample.place if here else _one(rng, [p for p in PLACES if p != sample.place])
    return phrase(place, rng), background if here else empty


def ask_object(sample: Sample, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """An object of the scene, or an absent one that looks like it; often with a colour."""
    things, draw = sample.things, rng.random()
    colour = None
    if things and draw < 0.55:
        kind, colour = _one(rng, things)
        colour = colour if rng.random() < 0.35 else None
    elif things and draw < 0.8:
        kind = _one(rng, LOOKALIKES[_one(rng, things)[0]])
    else:
        kind = _one(rng, list(KINDS))
    if KINDS[kind].colours and colour is None and rng.random() < 0.12:
        colour = _one(rng, KINDS[kind].colours)
    mask = np.zeros_like(sample.labels, bool)
    for i, (other, its_colour) in enumerate(things):
        if other == kind and colour in (None, its_colour):
            mask |= sample.mask(i)
    return _one(rng, TEMPLATES).format(name((kind, colour), rng, 1.0)), mask


def fit(
    picture: np.ndarray,
    side: int,
    size: tuple[int, int],
    fill: tuple[int, ...] | int,
    resample: Image.Resampling = Image.Resampling.BILINEAR,
) -> np.ndarray:
    """A picture or label map (uint8) made `size` (width, height), in the corner of a square filled with `fill`."""
    if picture.shape[:2] == (side, side) == size:
        return picture
    square = np.empty((side, side, *picture.shape[2:]), np.uint8)
    square[:] = fill
    square[: size[1], : size[0]] = Image.fromarray(np.ascontiguousarray(picture)).resize(size, resample)
    return square


def random_fit(shape: tuple[int, int], rng: np.random.Generator) -> tuple[float, float]:
    """The shares of the square's width and height that a picture fills.

    Mostly its aspect is kept, as `darkroom.models.clipseg` keeps it; else it is stretched, as CLIPSegProcessor does it.
    """
    if rng.random() < 0.25:
        return 1.0, 1.0
    return shape[1] / max(shape), shape[0] / max(shape)


def to_pixel_values(squares: list[np.ndarray]) -> Tensor:
    """Square pictures, 256x256x3 uint8, to Bx3x256x256 as CLIPSegProcessor normalises them."""
    batch = torch.from_numpy(np.stack(squares)).to(device()).permute(0, 3, 1, 2).float() / 255
    mean, deviation = (torch.tensor(v, device=batch.device)[:, None, None] for v in (MEAN, DEVIATION))
    return (batch - mean) / deviation


HELPED = [*KINDS, *PALETTE, *PLACES]


def patch_truth(sample: Sample) -> np.ndarray:
    """The content of the patches of a square picture: 16x16xN shares, float32, in the order of `HELPED`."""
    side = sample.labels.shape[0] // PATCH
    layers = np.zeros((len(HELPED), *sample.labels.shape), bool)
    layers[HELPED.index(sample.place)] = sample.labels == 0
    for i, (kind, colour) in enumerate(sample.things):
        mask = sample.mask(i)
        for word in (kind, colour):
            if word:
                layers[HELPED.index(word)] |= mask
    return layers.reshape(len(HELPED), side, PATCH, side, PATCH).mean((2, 4), dtype=np.float32).transpose(1, 2, 0)


class Helped(nn.Module):
    """CLIPSeg with an auxiliary head that classifies every patch, only to train the vision tower.

    A question teaches the tower about one object; the head teaches it about all kinds and colours at once.
    """

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.clipseg = build_clipseg(tokenizer)
        self.helper = nn.Linear(self.clipseg.config.vision_config.hidden_size, len(HELPED))


class ClipsegTask:
    """Several questions about each picture: 15 % about places, the rest about objects, nearly half of them absent.

    The questions share one pass of the vision tower, which is most of the cost; asking one picture for its horse and
    for a zebra in the same batch teaches the difference. A picture without an animal is replaced by another one half of
    the time, so that six in ten show an animal instead of five.
    """

    name = "clipseg"

    def __init__(self, scenes: SceneCache, tokenizer: CLIPTokenizer, batch: int = 8) -> None:
        self.net, self.scenes, self.tokenizer, self.batch = Helped(tokenizer), scenes, tokenizer, batch

    def _sample(self, rng: np.random.Generator) -> Sample:
        sample = self.scenes.sample(rng)
        if not any(kind in ANIMALS for kind, _ in sample.things) and rng.random() < 0.5:
            sample = self.scenes.sample(rng)
        return sample.mirrored() if rng.random() < 0.5 else sample

    def _questions(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[str], list[np.ndarray]]:
        """A picture in its square, the content of its patches, phrases, and the true mask of each, 256x256 bool."""
        sample = self._sample(rng)
        image = photographic(sample, rng, bold=False).astype(np.uint8)
        width, height = random_fit(sample.labels.shape, rng)
        size = (round(width * IMAGE_SIZE), round(height * IMAGE_SIZE))
        sample = replace(sample, labels=fit(sample.labels, IMAGE_SIZE, size, NO_LABEL, Image.Resampling.NEAREST))
        asked = [(ask_place if rng.random() < 0.15 else ask_object)(sample, rng) for _ in range(QUESTIONS_PER_IMAGE)]
        phrases, truths = zip(*asked, strict=True)
        return fit(image, IMAGE_SIZE, size, FILL), patch_truth(sample), list(phrases), list(truths)

    def _answers(self, pixels: Tensor, phrases: list[str]) -> tuple[Tensor, Tensor]:
        """Px256x256 answers to P phrases, which belong to the pictures in equal runs; Bx16x16xN of the helper."""
        net = self.net.clipseg
        hidden = net.clip.vision_model(pixel_values=pixels, output_hidden_states=True).hidden_states
        seen = [hidden[layer + 1].repeat_interleave(QUESTIONS_PER_IMAGE, 0) for layer in net.extract_layers]
        tokens = self.tokenizer(phrases, padding="longest", return_tensors="pt").to(pixels.device)
        condition = net.get_conditional_embeddings(batch_size=len(phrases), **tokens)
        answers = net.decoder(seen, condition).logits.reshape(len(phrases), IMAGE_SIZE, IMAGE_SIZE)
        side = IMAGE_SIZE // PATCH
        return answers, self.net.helper(hidden[-1][:, 1:]).unflatten(1, (side, side))

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        images, patches, phrases, truths = zip(*(self._questions(rng) for _ in range(self.batch)), strict=True)
        pixels = to_pixel_values(list(images))
        truth = torch.from_numpy(np.concatenate(truths)).to(pixels.device).float()
        with torch.autocast(pixels.device.type, torch.bfloat16):
            answers, helped = self._answers(pixels, [phrase for group in phrases for phrase in group])
        loss, metrics = clipseg_loss(answers.float(), truth)
        shown = torch.from_numpy(np.stack(patches)).to(pixels.device)
        help_loss = F.binary_cross_entropy_with_logits(helped.float(), shown) * len(HELPED)
        return loss + HELP * help_loss, {**metrics, "helper": float(help_loss.detach())}


def clipseg_loss(logits: Tensor, truth: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Cross entropy and dice of Bxhxw logits; the IoU where there is something, the false area where not."""
    chance = logits.sigmoid()
    # 80 pixels of slack: an empty truth gives a gradient towards nothing that does not explode.
    dice = 1 - (2 * (chance * truth).sum((1, 2)) + 80) / (chance.sum((1, 2)) + truth.sum((1, 2)) + 80)
    loss = 3 * F.binary_cross_entropy_with_logits(logits, truth) + 0.5 * dice.mean()
    with torch.no_grad():
        found, wanted = logits > 0, truth > 0.5
        iou = (found & wanted).sum((1, 2)) / (found | wanted).sum((1, 2)).clamp(min=1)
        there = wanted.any(2).any(1)
        metrics = {"iou": float(iou[there].mean()) if there.any() else 0.0}
        if (~there).any():
            metrics["false_area"] = float(found[~there].float().mean())
    return loss, metrics
