"""Makes pictures of the picture-book world a little more like photographs."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from miniature.training.scenes import Sample
from miniature.world.drawing import texture


def photographic(sample: Sample, rng: np.random.Generator, bold: bool = True) -> np.ndarray:
    """The picture with another camera and light and, if `bold`, other colours and grounds: HxWx3 float32 0..255."""
    pixels = np.ascontiguousarray(sample.image)
    if bold and rng.random() < 0.2:
        pixels = _other_ground(pixels, sample.labels, rng)
    if rng.random() < 0.25:
        pixels = _soft(pixels, rng)
    pixels = pixels.astype(np.float32)
    if bold and rng.random() < 0.3:
        pixels = _other_colours(pixels, rng)
    if rng.random() < 0.5:
        pixels = (pixels - 128) * rng.uniform(0.6, 1.3) + 128 + rng.uniform(-25, 25) + rng.uniform(-10, 10, 3)
    if rng.random() < 0.2:
        pixels = pixels * _gradient(pixels.shape[:2], rng)[..., None]
    if bold and rng.random() < 0.25:
        pixels = pixels + (texture(rng, pixels.shape[:2], (1, 1)) * rng.uniform(4, 16))[..., None]
    if rng.random() < 0.35:
        pixels = pixels + rng.standard_normal(pixels.shape[:2], np.float32)[..., None] * rng.uniform(2, 10)
    pixels = np.clip(pixels, 0, 255)
    return _jpeg(pixels, rng) if rng.random() < 0.2 else pixels.astype(np.float32)


def _other_ground(pixels: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The objects before a plain wall: one colour that changes slowly, with a little texture."""
    wall = rng.uniform(20, 235, 3).astype(np.float32) * _gradient(labels.shape, rng)[..., None]
    wall = wall + (texture(rng, labels.shape, (1, 1)) * rng.uniform(0, 14))[..., None]
    return np.where(labels[..., None] == 0, np.clip(wall, 0, 255), pixels).astype(np.uint8)


def _soft(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = rng.uniform(0.35, 0.8)
    small = Image.fromarray(pixels).resize((int(width * scale), int(height * scale)), Image.Resampling.BILINEAR)
    return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))


def _other_colours(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Channels mixed: other hues, sometimes hardly any colour."""
    mixture = np.eye(3)[rng.permutation(3)] * rng.uniform(0.3, 1) + rng.uniform(0, 0.35, (3, 3))
    return pixels @ (mixture / mixture.sum(1, keepdims=True)).T.astype(np.float32)


def _gradient(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Light that falls off to one side: HxW factors around 1."""
    across, down = rng.uniform(-0.35, 0.35, 2)
    rows, columns = np.linspace(-1, 1, shape[0], dtype=np.float32), np.linspace(-1, 1, shape[1], dtype=np.float32)
    return (1 + down * rows[:, None] + across * columns).astype(np.float32)


def _jpeg(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", quality=int(rng.integers(25, 90)))
    return np.asarray(Image.open(buffer), np.float32)
