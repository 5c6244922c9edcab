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

IMAGE_SIZE = 256
QUESTIONS_PER_IMAGE = 4
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
    """Several questions about each picture: 15 % about places, the rest about objects, a third of them absent.

    The questions share one pass of the vision tower, which is most of the cost, and asking a picture for its
    horse and for a zebra in the same batch is what teaches the difference.
    """

    name = "clipseg"

    def __init__(self, scenes: SceneCache, tokenizer, batch: int = 8):
        self.net, self.scenes, self.tokenizer, self.batch = build_clipseg(tokenizer), scenes, tokenizer, batch

    def _questions(self, rng: np.random.Generator) -> tuple[np.ndarray, list[str], list[np.ndarray]]:
        """A picture in its square, phrases, and for each the truth, 256x256 uint8 of 0 or 255."""
        sample = self.scenes.sample(rng)
        flip = slice(None, None, -1 if rng.random() < 0.5 else 1)
        image = photographic(np.ascontiguousarray(sample.image[:, flip]), rng).astype(np.uint8)
        width, height = random_fit(sample.labels.shape, rng)
        size = (round(width * IMAGE_SIZE), round(height * IMAGE_SIZE))
        phrases, truths = [], []
        for _ in range(QUESTIONS_PER_IMAGE):
            words, mask = (ask_place if rng.random() < 0.15 else ask_object)(sample, rng)
            phrases.append(words)
            truths.append(fit(mask[:, flip] * np.uint8(255), IMAGE_SIZE, size, 0))
        return fit(image, IMAGE_SIZE, size, FILL), phrases, truths

    def _logits(self, pixels: Tensor, phrases: list[str]) -> Tensor:
        """Px256x256 answers to P phrases, which belong to the pictures in equal runs."""
        net = self.net
        hidden = net.clip.vision_model(pixel_values=pixels, output_hidden_states=True).hidden_states
        seen = [hidden[layer + 1].repeat_interleave(QUESTIONS_PER_IMAGE, 0) for layer in net.extract_layers]
        tokens = self.tokenizer(phrases, padding="max_length", return_tensors="pt").to(pixels.device)
        condition = net.get_conditional_embeddings(batch_size=len(phrases), **tokens)
        return net.decoder(seen, condition).logits.reshape(len(phrases), IMAGE_SIZE, IMAGE_SIZE)

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        images, phrases, truths = zip(*(self._questions(rng) for _ in range(self.batch)), strict=True)
        pixels = to_pixel_values(list(images))
        truth = torch.from_numpy(np.concatenate(truths)).to(pixels.device).float() / 255
        with torch.autocast(pixels.device.type, torch.bfloat16):
            logits = self._logits(pixels, [phrase for group in phrases for phrase in group])
        return clipseg_loss(logits.float(), truth)


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
