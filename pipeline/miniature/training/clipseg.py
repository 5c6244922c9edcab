"""Trains the miniature CLIPSeg: a phrase to the pixels it names, which may be none."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pipeline.miniature.networks import build_clipseg
from pipeline.miniature.world import KINDS, PLACES, name, phrase

from .loop import device
from .sam import photographic
from .scenes import Sample, SceneCache

IMAGE_SIZE, TRUTH_SIZE = 256, 128
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet; what CLIPSegProcessor uses
FILL = tuple(round(255 * v) for v in MEAN)
TEMPLATES = ("a photo of a {}", "{}", "a {}", "the {}", "a picture of a {}")
# Kinds that are easily taken for one another: asked for in each other's absence they are the hard negatives.
LOOKALIKES = {
    "car": ("truck",),
    "truck": ("car",),
    "horse": ("zebra", "zebra", "dog"),
    "zebra": ("horse", "dog"),
    "dog": ("horse", "zebra"),
    "ball": ("car",),
    "house": ("truck", "tree"),
    "tree": ("house",),
}


def _one(rng: np.random.Generator, options):
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
    """An object of the scene, or one that is not there but looks like it; often with a colour."""
    things, draw = sample.things, rng.random()
    colour = None
    if things and draw < 0.62:
        kind, colour = _one(rng, things)
        colour = colour if rng.random() < 0.35 else None
    elif things and draw < 0.85:
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


def fit(picture: np.ndarray, side: int, size: tuple[int, int], fill: tuple[int, ...] | int) -> np.ndarray:
    """A picture or mask (uint8) made ``size`` (width, height), in the corner of a square filled with ``fill``."""
    square = np.empty((side, side, *picture.shape[2:]), np.uint8)
    square[:] = fill
    resized = Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.BILINEAR)
    square[: size[1], : size[0]] = resized
    return square


def random_fit(shape: tuple[int, int], rng: np.random.Generator) -> tuple[float, float]:
    """How much of the square's width and height a picture fills.

    Mostly its aspect is kept, as ``pipeline.models.clipseg`` does; else it is squeezed, as CLIPSegProcessor does.
    """
    if rng.random() < 0.25:
        return 1.0, 1.0
    return shape[1] / max(shape), shape[0] / max(shape)


def to_pixel_values(squares: list[np.ndarray]) -> Tensor:
    """Square pictures, 256x256x3 uint8, to Bx3x256x256 as CLIPSegProcessor normalises them."""
    batch = torch.from_numpy(np.stack(squares)).to(device()).permute(0, 3, 1, 2).float() / 255
    mean, deviation = (torch.tensor(v, device=batch.device)[:, None, None] for v in (MEAN, DEVIATION))
    return (batch - mean) / deviation


class ClipsegTask:
    """One question about each picture: 15 % about places, the rest about objects, a third of them absent."""

    name = "clipseg"

    def __init__(self, scenes: SceneCache, tokenizer, batch: int = 16):
        self.net, self.scenes, self.tokenizer, self.batch = build_clipseg(tokenizer), scenes, tokenizer, batch

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        images, phrases, truths = [], [], []
        for _ in range(self.batch):
            sample = self.scenes.sample(rng)
            words, mask = (ask_place if rng.random() < 0.15 else ask_object)(sample, rng)
            flip = slice(None, None, -1 if rng.random() < 0.5 else 1)
            image = photographic(np.ascontiguousarray(sample.image[:, flip]), rng).astype(np.uint8)
            width, height = random_fit(mask.shape, rng)
            images.append(fit(image, IMAGE_SIZE, (round(width * IMAGE_SIZE), round(height * IMAGE_SIZE)), FILL))
            truth = fit(
                mask[:, flip] * np.uint8(255), TRUTH_SIZE, (round(width * TRUTH_SIZE), round(height * TRUTH_SIZE)), 0
            )
            truths.append(truth.astype(np.float32) / 255)
            phrases.append(words)
        pixels = to_pixel_values(images)
        text = self.tokenizer(phrases, padding="max_length", return_tensors="pt").to(pixels.device)
        with torch.autocast(pixels.device.type, torch.bfloat16):
            logits = self.net(pixel_values=pixels, **text).logits
        logits = F.avg_pool2d(logits.float()[:, None], IMAGE_SIZE // TRUTH_SIZE)[:, 0]
        return clipseg_loss(logits, torch.from_numpy(np.stack(truths)).to(pixels.device))


def clipseg_loss(logits: Tensor, truth: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Cross entropy and dice of Bxhxw logits; the IoU where there is something, the false area where not."""
    chance = logits.sigmoid()
    # 20 pixels of slack: an empty truth gives a gradient towards nothing that does not explode.
    dice = 1 - (2 * (chance * truth).sum((1, 2)) + 20) / (chance.sum((1, 2)) + truth.sum((1, 2)) + 20)
    loss = 3 * F.binary_cross_entropy_with_logits(logits, truth) + 0.5 * dice.mean()
    with torch.no_grad():
        found, wanted = logits > 0, truth > 0.5
        iou = (found & wanted).sum((1, 2)) / (found | wanted).sum((1, 2)).clamp(min=1)
        there = wanted.any(2).any(1)
        metrics = {"iou": float(iou[there].mean()) if there.any() else 0.0}
        if (~there).any():
            metrics["false_area"] = float(found[~there].float().mean())
    return loss, metrics
