"""Trains the miniature Segment Anything: points and boxes to masks, with scores that rank the masks.

Losses as in Kirillov et al. 2023 (Segment Anything, appendix A): focal and dice at 20 to 1, the best of three
masks for a prompt, and the mean square error of the predicted IoU.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from darkroom.models.miniature.networks import build_sam
from miniature.networks import SAM_CONFIG
from miniature.training.loop import device, plain_attention
from miniature.training.masks import box_of
from miniature.training.photo import photographic
from miniature.training.scenes import SMALLEST, Sample, SceneCache

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

PROMPTS_PER_IMAGE = 4  # prompts share one pass of the image encoder, which is most of the cost
# A point in a box is the prompt of the second pass of `darkroom.models.miniature.two_pass_sam`.
KINDS_OF_PROMPT = ("point", "box", "points", "point in box")
CHANCES = (0.36, 0.2, 0.12, 0.32)


def fit_long_side(sample: Sample, size: int) -> Sample:
    """The sample with its longer side scaled to `size`, by the rule of `ResizeLongestSide`."""
    height, width = sample.labels.shape
    if max(height, width) == size:
        return sample
    scale = size / max(height, width)
    target = (int(width * scale + 0.5), int(height * scale + 0.5))
    image = np.asarray(Image.fromarray(sample.image).resize(target, Image.Resampling.BILINEAR))
    labels = np.asarray(Image.fromarray(sample.labels).resize(target, Image.Resampling.NEAREST))
    return replace(sample, image=image, labels=labels)


def random_point(mask: np.ndarray, rng: np.random.Generator) -> list[float]:
    """A pixel of `mask`, as x and y of its centre."""
    pixels = np.flatnonzero(mask)
    row, column = divmod(int(pixels[rng.integers(len(pixels))]), mask.shape[1])
    return [column + 0.5, row + 0.5]


def loose_box(mask: np.ndarray, rng: np.random.Generator, slack: float = 0.06) -> list[float]:
    """The bounds of `mask` as a hand would draw them: each side off by up to a share `slack` of the size."""
    rows, columns = box_of(mask)
    sides = np.array([columns.stop - columns.start, rows.stop - rows.start] * 2)
    off = sides * rng.uniform(-slack, slack, 4)
    return [float(v) for v in np.array([columns.start, rows.start, columns.stop, rows.stop]) + off]


def _attend(layer: nn.Module, x: Tensor) -> Tensor:
    """A faster `image_encoder.Attention` of segment_anything, with the same result: BxHxWxC to the same shape.

    The position terms that it adds for every pair of tokens are part of the product here: a query is extended by its
    terms for all rows and columns, a key by the one-hot vectors of its row and column.
    """
    from segment_anything.modeling.image_encoder import get_rel_pos

    batch, rows, columns, _ = x.shape
    q, k, v = layer.qkv(x).unflatten(-1, (3, layer.num_heads, -1)).permute(3, 0, 4, 1, 2, 5)  # each B heads H W C
    by_row = torch.einsum("bnhwc,hkc->bnhwk", q, get_rel_pos(rows, rows, layer.rel_pos_h).to(q.dtype))
    by_column = torch.einsum("bnhwc,wkc->bnhwk", q, get_rel_pos(columns, columns, layer.rel_pos_w).to(q.dtype))
    row = torch.eye(rows, dtype=k.dtype, device=x.device)[:, None].expand(*k.shape[:2], rows, columns, rows)
    column = torch.eye(columns, dtype=k.dtype, device=x.device).expand(*k.shape[:2], rows, columns, columns)
    asked = torch.cat([q * layer.scale, by_row, by_column], -1).flatten(2, 3)
    known = torch.cat([k, row, column], -1).flatten(2, 3)
    seen = plain_attention(asked * asked.shape[-1] ** 0.5, known, v.flatten(2, 3))
    return layer.proj(seen.transpose(1, 2).reshape(batch, rows, columns, -1))


def attend_fast(sam: Sam) -> None:
    """Make the image encoder of a `Sam` train faster, with the same results."""
    for block in sam.image_encoder.blocks:
        block.attn.forward = partial(_attend, block.attn)


def predict(
    sam: Sam, image: Tensor, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Logits (P, 4, S/4, S/4) of the single and the three alternative masks, and their predicted IoU (P, 4).

    segment_anything's decoder takes one image at a time and returns either the single mask or the alternatives; this is
    its `predict_masks` for a batch.

    Args:
        sam: the network.
        image: Bx3xSxS, normalised and padded.
        points, boxes: P prompts in all; the first P / B of them belong to the first image, and so on.
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
    """Loss of (P, 4, h, w) masks against (P, 1, H, W) truth in 0..1, and the IoU (P, 4) they reach.

    The truth may be finer than the masks, which are then enlarged to its size as SAM enlarges them: masks that give
    the share of every coarse pixel, however exact, have an IoU of 0.95 once enlarged, and 0.98 is possible.
    """
    logits = F.interpolate(logits, truth.shape[-2:], mode="bilinear", align_corners=False)
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
    # The masks that are not the best learn too, the less the worse: a click here is seldom ambiguous, and masks that
    # are all good leave the scores little to get wrong.
    alternatives = each[:, 1:].min(1).values.mean() + 0.3 * each[:, 1:].mean()
    return 0.5 * each[:, 0].mean() + alternatives + ((scores - iou) ** 2).mean(), iou


class SamTask:
    """Points, boxes, points in boxes and point sets on objects and, one time in eight, on the background."""

    name = "sam"

    def __init__(self, scenes: SceneCache, batch: int = 8) -> None:
        self.net, self.scenes, self.batch = build_sam(SAM_CONFIG), scenes, batch
        self.size = SAM_CONFIG["image_size"]
        attend_fast(self.net)

    def _draw(self, rng: np.random.Generator) -> Sample:
        return self.scenes.sample(rng)

    def _sample(self, rng: np.random.Generator) -> Sample:
        while True:
            sample = self._draw(rng)
            if sample.visible():
                sample = fit_long_side(sample, self.size)
                return sample.mirrored() if rng.random() < 0.5 else sample

    def _prompt(self, sample: Sample, kind: str, rng: np.random.Generator) -> tuple[list, np.ndarray]:
        """Coordinates (and for points their labels) of one prompt, and the mask it asks for."""
        choices = sample.visible()
        mask = sample.mask(choices[rng.integers(len(choices))]) if choices else sample.labels > 0
        if kind == "box":
            return loose_box(mask, rng), mask
        if kind == "point in box":
            return [*random_point(mask, rng), *loose_box(self._first_pass(sample, mask, rng), rng, 0.14)], mask
        background = sample.labels == 0
        if rng.random() < 0.12 and background.mean() >= SMALLEST:
            mask = background
        if kind == "point":
            return [*random_point(mask, rng), 1.0], mask
        wrong = ~mask if not mask.all() else mask
        return [*random_point(mask, rng), 1.0, *random_point(mask, rng), 1.0, *random_point(wrong, rng), 0.0], mask

    def _first_pass(self, sample: Sample, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The mask that the first pass may find for `mask`: the same."""
        return mask

    def _truth(self, mask: np.ndarray) -> np.ndarray:
        """The mask, padded to the square, at twice the size of SAM's low masks: shares of the pixels, float32."""
        square = np.pad(mask, [(0, self.size - side) for side in mask.shape])
        half = self.size // 2
        return square.reshape(half, 2, half, 2).mean((1, 3), dtype=np.float32)

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        kind = str(rng.choice(KINDS_OF_PROMPT, p=CHANCES))
        pictures, prompts, truths = [], [], []
        for _ in range(self.batch):
            sample = self._sample(rng)
            pixels = torch.from_numpy(photographic(sample, rng)).permute(2, 0, 1)
            pictures.append(self.net.preprocess(pixels.to(device())))
            for _ in range(PROMPTS_PER_IMAGE):
                prompt, mask = self._prompt(sample, kind, rng)
                prompts.append(prompt)
                truths.append(self._truth(mask))
        points, boxes = split_prompts(torch.tensor(prompts, dtype=torch.float32, device=device()), kind)
        truth = torch.from_numpy(np.stack(truths))[:, None].to(device())
        with torch.autocast(truth.device.type, torch.bfloat16):
            logits, scores = predict(self.net, torch.stack(pictures), points, boxes)
        loss, iou = mask_loss(logits.float(), scores.float(), truth)
        found = iou[:, 1:].gather(1, scores[:, 1:].argmax(1, keepdim=True))[:, 0]
        best = iou[:, 1:].max(1).values
        return loss, {f"iou_{kind}": float(found.mean()), "picked": float((best - found < 0.02).float().mean())}


class SamCrowdTask(SamTask):
    """Trains on with objects that touch, which a SAM with small inputs takes for one.

    Half of the pictures are drawn from such scenes. Some boxes hold both objects, and the click says which is meant.

    Args:
        scenes: the training scenes.
        net: a trained network.
    """

    name = "sam_crowd"

    def __init__(self, scenes: SceneCache, net: nn.Module) -> None:
        super().__init__(scenes)
        self.net.load_state_dict(net.state_dict())

    @cached_property
    def _crowds(self) -> list[tuple[int, int]]:
        return self.scenes.with_touching()

    def _draw(self, rng: np.random.Generator) -> Sample:
        if rng.random() < 0.5:
            return super()._draw(rng)
        return self.scenes.get(*self._crowds[rng.integers(len(self._crowds))])

    def _first_pass(self, sample: Sample, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The mask of an object, or of it and one that it touches."""
        thing = int(sample.labels[mask][0]) - 1
        pairs = [pair for pair in sample.touching() if thing in pair]
        if not pairs or rng.random() < 0.7:
            return mask
        one, other = pairs[rng.integers(len(pairs))]
        return sample.mask(one) | sample.mask(other)


def split_prompts(given: Tensor, kind: str) -> tuple[tuple[Tensor, Tensor] | None, Tensor | None]:
    """The prompts of `SamTask._prompt`, PxN, as the points (with labels) and the boxes of `predict`."""
    if kind == "box":
        return None, given
    if kind == "point in box":
        clicks = given[:, None, :2]
        return (clicks, torch.ones(clicks.shape[:2], dtype=torch.int, device=given.device)), given[:, 2:]
    clicks = given.unflatten(1, (-1, 3))
    return (clicks[..., :2], clicks[..., 2].int()), None
