"""Trains the miniature Segment Anything: points and boxes to masks, with scores that say which mask to take.

Losses as in Kirillov et al. 2023 (Segment Anything, appendix A): focal and dice at 20 to 1, the best of three
masks for a prompt, and the mean square error of the predicted IoU.
"""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pipeline.miniature.networks import SAM_CONFIG, build_sam

from .loop import device
from .scenes import SMALLEST, Sample, SceneCache

PROMPTS_PER_IMAGE = 4  # prompts share one pass of the image encoder, which is most of the cost
KINDS_OF_PROMPT = ("point", "point", "box", "points")


def fit_long_side(sample: Sample, size: int) -> Sample:
    """A sample whose longer side has been made ``size``, by the rule of ``ResizeLongestSide``."""
    height, width = sample.labels.shape
    if max(height, width) == size:
        return sample
    scale = size / max(height, width)
    target = (int(width * scale + 0.5), int(height * scale + 0.5))
    image = np.asarray(Image.fromarray(sample.image).resize(target, Image.Resampling.BILINEAR))
    labels = np.asarray(Image.fromarray(sample.labels).resize(target, Image.Resampling.NEAREST))
    return Sample(image, labels, sample.place, sample.things)


def photographic(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other light and another camera: contrast, tint, blur and grain. HxWx3 uint8 to float32 0..255."""
    pixels = image.astype(np.float32)
    if rng.random() < 0.25:
        height, width = image.shape[:2]
        scale = rng.uniform(0.4, 0.8)
        small = Image.fromarray(image).resize((int(width * scale), int(height * scale)), Image.Resampling.BILINEAR)
        pixels = np.asarray(small.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    if rng.random() < 0.6:
        pixels = (pixels - 128) * rng.uniform(0.6, 1.3) + 128 + rng.uniform(-25, 25) + rng.uniform(-12, 12, 3)
    if rng.random() < 0.4:
        pixels = pixels + rng.standard_normal(pixels.shape, np.float32) * rng.uniform(2, 9)
    return np.clip(pixels, 0, 255).astype(np.float32)


def random_point(mask: np.ndarray, rng: np.random.Generator) -> list[float]:
    """A pixel of ``mask``, as x and y of its centre."""
    rows, columns = np.nonzero(mask)
    i = rng.integers(len(rows))
    return [columns[i] + 0.5, rows[i] + 0.5]


def loose_box(mask: np.ndarray, rng: np.random.Generator) -> list[float]:
    """The bounds of ``mask`` as a hand would draw them: each side off by up to 6 %."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    x0, y0, x1, y1 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    slack = np.array([x1 - x0, y1 - y0, x1 - x0, y1 - y0]) * rng.uniform(-0.06, 0.06, 4)
    return [float(v) for v in np.array([x0, y0, x1, y1]) + slack]


def predict(sam, image: Tensor, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None) -> tuple[Tensor, Tensor]:
    """Logits (P, 4, S/2, S/2) of the single and the three alternative masks, and their predicted IoU (P, 4).

    image: Bx3xSxS, normalised and padded; the P prompts belong to the images in equal runs. The decoder of
    segment_anything takes one image at a time and hides one or the other kind of mask; this is its
    ``predict_masks`` for many at once.
    """
    embedding = sam.image_encoder(image)
    sparse, dense = sam.prompt_encoder(points=points, boxes=boxes, masks=None)
    decoder, count = sam.mask_decoder, len(sparse)
    embedding = embedding.repeat_interleave(count // len(embedding), 0)
    tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])[None].expand(count, -1, -1)
    source, position = embedding + dense, sam.prompt_encoder.get_dense_pe().expand(count, -1, -1, -1)
    out, pixels = decoder.transformer(source, position, torch.cat([tokens, sparse], 1))
    upscaled = decoder.output_upscaling(pixels.transpose(1, 2).reshape(source.shape))
    weights = [mlp(out[:, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)]
    masks = torch.stack(weights, 1) @ upscaled.flatten(2)
    return masks.unflatten(2, upscaled.shape[2:]), decoder.iou_prediction_head(out[:, 0])


def mask_loss(logits: Tensor, scores: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of (P, 4, h, w) masks against (P, 1, h, w) truth in 0..1, and the IoU (P, 4) they reach."""
    truth = truth.expand_as(logits)
    chance = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    focal = ((chance - truth) ** 2 * entropy).mean((2, 3))
    overlap = (chance * truth).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (chance.sum((2, 3)) + truth.sum((2, 3)) + 1)
    each = 20 * focal + dice
    with torch.no_grad():
        found, wanted = logits > 0, truth > 0.5
        iou = (found & wanted).sum((2, 3)) / (found | wanted).sum((2, 3)).clamp(min=1)
    # The masks that are not the best get a little too: a head that never learns leaves the scores nothing to
    # choose.
    alternatives = each[:, 1:].min(1).values.mean() + 0.1 * each[:, 1:].mean()
    return each[:, 0].mean() + alternatives + ((scores - iou) ** 2).mean(), iou


class SamTask:
    """Points, boxes and point sets on objects and, one time in eight, on the background."""

    name = "sam"

    def __init__(self, scenes: SceneCache, batch: int = 8):
        self.net, self.scenes, self.batch = build_sam(SAM_CONFIG), scenes, batch
        self.size = SAM_CONFIG["image_size"]

    def _sample(self, rng: np.random.Generator) -> Sample:
        while True:
            sample = self.scenes.sample(rng)
            if sample.visible():
                sample = fit_long_side(sample, self.size)
                if rng.random() < 0.5:
                    sample = Sample(sample.image[:, ::-1], sample.labels[:, ::-1], sample.place, sample.things)
                return sample

    def _prompt(self, sample: Sample, kind: str, rng: np.random.Generator) -> tuple[list, np.ndarray]:
        """Coordinates (and for points their labels) of one prompt, and the mask it asks for."""
        choices = sample.visible()
        mask = sample.mask(choices[rng.integers(len(choices))]) if choices else sample.labels > 0
        if kind == "box":
            return loose_box(mask, rng), mask
        background = sample.labels == 0
        if rng.random() < 0.12 and background.sum() >= SMALLEST:
            mask = background
        if kind == "point":
            return [[*random_point(mask, rng), 1.0]], mask
        wrong = ~mask if not mask.all() else mask
        return [
            [*random_point(mask, rng), 1.0],
            [*random_point(mask, rng), 1.0],
            [*random_point(wrong, rng), 0.0],
        ], mask

    def _picture(self, sample: Sample, rng: np.random.Generator) -> Tensor:
        pixels = torch.from_numpy(photographic(np.ascontiguousarray(sample.image), rng)).permute(2, 0, 1)
        return self.net.preprocess(pixels.to(device()))

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        kind = KINDS_OF_PROMPT[rng.integers(len(KINDS_OF_PROMPT))]
        pictures, prompts, truths = [], [], []
        for _ in range(self.batch):
            sample = self._sample(rng)
            pictures.append(self._picture(sample, rng))
            for _ in range(PROMPTS_PER_IMAGE):
                prompt, mask = self._prompt(sample, kind, rng)
                prompts.append(prompt)
                truths.append(np.pad(mask, [(0, self.size - side) for side in mask.shape]))
        place = device()
        given = torch.tensor(prompts, dtype=torch.float32, device=place)
        points = None if kind == "box" else (given[..., :2], given[..., 2].int())
        truth = torch.from_numpy(np.stack(truths)).float()[:, None].to(place)
        with torch.autocast(place.type, torch.bfloat16):
            logits, scores = predict(self.net, torch.stack(pictures), points, given if kind == "box" else None)
        truth = F.adaptive_avg_pool2d(truth, logits.shape[-2:])
        loss, iou = mask_loss(logits.float(), scores.float(), truth)
        chosen = scores[:, 1:].argmax(1, keepdim=True)
        return loss, {f"iou_{kind}": float(iou[:, 1:].gather(1, chosen).mean())}
