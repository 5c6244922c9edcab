"""Drawn photos with known alpha to train the network of `darkroom.imaging.strands` on.

They vary more than the scenes of `miniature.edge_scenes`, by which edges are measured: things of several parts and with
texture, other things behind them, colours that occur on both sides, shadows, noise, compression, zoom and faulty masks.
There is no glass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from miniature.edge_scenes import (
    KINDS,
    LARGE,
    SIDE,
    Canvas,
    backdrop,
    blob,
    filled,
    fractal_noise,
    middle,
    offsets,
    random_colour,
    warped,
)

_SHARES = {"hair": 0.22, "fur": 0.13, "spokes": 0.1, "plain": 0.15, "clutter": 0.4}
_KEPT, _PHOTOS = 40, 3  # earlier things that may stand in a background; photos of each thing

Thing = tuple[np.ndarray, np.ndarray]  # alpha (H, W) and colours (H, W, 3), float32


@dataclass(frozen=True)
class StrandScene:
    """A photo of a thing, and a mask with faults.

    Attributes:
        photo: (H, W, 3) uint8.
        mask: (H, W) uint8, hard or soft.
        alpha: (H, W) float32 in [0, 1].
    """

    photo: np.ndarray
    mask: np.ndarray
    alpha: np.ndarray


def strand_scenes(first: int, count: int) -> Iterator[StrandScene]:
    """Three photos of each of `count` things, with random numbers from the seeds that begin at `first`."""
    earlier: list[Thing] = []
    for seed in range(first, first + count):
        rng = np.random.default_rng([seed, 5])
        thing = _thing(rng)
        if len(earlier) < _KEPT:
            earlier.append(thing)
        else:
            earlier[rng.integers(_KEPT)] = thing
        for _ in range(_PHOTOS):
            scene = _scene(thing, earlier, rng)
            if 0.01 < (scene.mask >= 128).mean() < 0.98:
                yield scene


def _thing(rng: np.random.Generator) -> Thing:
    canvas = Canvas(rng)
    canvas.blur = rng.uniform(0.35, 1.3)
    kind = rng.choice(list(_SHARES), p=list(_SHARES.values()))
    (_clutter if kind == "clutter" else KINDS[kind])(canvas, rng)
    return canvas.reduced()


def _clutter(canvas: Canvas, rng: np.random.Generator) -> None:
    """A thing of several parts with clean edges: corners, curves, bars, holes."""
    for index in range(int(rng.integers(1, 9))):
        at = middle(rng) + rng.normal(0, 0.1, 2) * LARGE * (index > 0)
        _part(canvas, at, rng.uniform(0.04, 0.28) * LARGE, rng)
    for _ in range(int(rng.integers(0, 3))):
        at = middle(rng) + rng.normal(0, 0.08, 2) * LARGE
        canvas.cover[np.hypot(*offsets(at)) < rng.uniform(0.02, 0.08) * LARGE] = 0


def _part(canvas: Canvas, at: np.ndarray, size: float, rng: np.random.Generator) -> None:
    colour = random_colour(rng) * rng.choice([0.3, 1, 1]) if rng.random() < 0.8 else None
    shape = rng.choice(["blob", "box", "disc", "bar"])
    if shape == "bar":
        angle = rng.uniform(0, 2 * np.pi)
        ends = at + np.outer((-0.5, 1), (np.cos(angle), np.sin(angle))) * size * 1.5
        canvas.line(ends, int(rng.integers(6, 70)), random_colour(rng) * rng.choice([0.4, 1]))
    elif shape == "blob":
        canvas.area(filled(blob(rng, size / LARGE, wobble=0.2, waves=5)), colour)
    elif shape == "box":
        sides = (2 * size, 2 * size * rng.uniform(0.1, 1.6))
        canvas.area(filled(cv2.boxPoints((at.tolist(), sides, rng.uniform(0, 180)))), colour)
    else:
        canvas.area(np.hypot(*offsets(at)) < size, colour)


def _scene(thing: Thing, earlier: list[Thing], rng: np.random.Generator) -> StrandScene:
    alpha, inside = (each[::-1] for each in thing) if rng.random() < 0.5 else thing
    outside, inside = _ground(earlier, rng), _textured(inside, rng)
    if rng.random() < 0.5:
        inside = _with_colours_of(outside, inside, rng)
    elif rng.random() < 0.4:
        outside = _with_colours_of(inside, outside, rng)
    if rng.random() < 0.3:  # a shadow beside the thing
        moved = np.roll(alpha, tuple(rng.integers(-12, 24, 2).tolist()), (0, 1))
        outside = outside * (1 - cv2.GaussianBlur(moved, (0, 0), rng.uniform(2, 14)) * rng.uniform(0.2, 0.9))[..., None]
    inside, outside = (np.clip(each, 0, 255) for each in (inside, outside))
    mixed = (outside + alpha[..., None] * (inside - outside)).astype(np.float32)
    photo, alpha, mask = _zoomed((mixed, np.ascontiguousarray(alpha), _mask(alpha, rng)), rng)
    return StrandScene(_photographed(photo, rng), mask, np.clip(alpha, 0, 1))


def _ground(earlier: list[Thing], rng: np.random.Generator) -> np.ndarray:
    """A backdrop, often with an earlier thing on it, sharp or out of focus."""
    ground = backdrop(rng)
    if rng.random() < 0.5:
        shift = tuple(rng.integers(-350, 350, 2).tolist())
        alpha, colours = (np.roll(each, shift, (0, 1)) for each in earlier[rng.integers(len(earlier))])
        if rng.random() < 0.5:
            alpha = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.5, 5))
        ground = ground + alpha[..., None] * (colours - ground)
    return _textured(ground, rng) if rng.random() < 0.4 else ground


def _textured(colours: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.5:
        colours = colours + rng.uniform(5, 25) * fractal_noise(rng, int(rng.integers(20, 200)), 2)[..., None]
    if rng.random() < 0.3:
        angle, along = rng.uniform(0, np.pi), np.arange(SIDE)
        stripes = np.sin((along[:, None] * np.cos(angle) + along * np.sin(angle)) * rng.uniform(0.1, 1.5))
        colours = colours + rng.uniform(5, 30) * stripes[..., None] * rng.normal(0, 1, 3)
    return colours


def _with_colours_of(source: np.ndarray, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture some areas of which have colours of another."""
    for _ in range(int(rng.integers(1, 4))):
        level, edge = rng.uniform(-0.1, 0.4), rng.uniform(0.01, 0.3)
        area = np.clip((fractal_noise(rng, int(rng.integers(4, 24)), 3) - level) / edge, 0, 1)[..., None]
        row, column = rng.integers(0, SIDE, 2)
        picture = picture + area * (source[row, column] + rng.normal(0, 10, 3) - picture) * rng.uniform(0.3, 1)
    return picture


def _mask(alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask from a small grid, slightly off, hard or soft, sometimes with bites and crumbs."""
    side = int(rng.integers(200, 400))
    small = cv2.resize(warped(alpha, rng, rng.uniform(0.3, 2.6)), (side, side), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        small = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((3, 3)))
    small = cv2.GaussianBlur(small, (0, 0), rng.uniform(1, 2.4))
    if rng.random() < 0.25:
        small = _bitten(small, rng)
    level = rng.uniform(0.35, 0.6)
    if rng.random() < 0.5:
        return (cv2.resize(small, (SIDE, SIDE)) > level) * np.uint8(255)
    sharp = 1 / (1 + np.exp(-rng.uniform(5, 14) * (small - level)))
    sharp = ((sharp - sharp.min()) / (np.ptp(sharp) + 1e-6)).astype(np.float32)
    return np.rint(255 * np.clip(cv2.resize(sharp, (SIDE, SIDE)), 0, 1)).astype(np.uint8)


def _bitten(small: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    for _ in range(int(rng.integers(1, 8))):
        edge = np.argwhere(np.abs(small - 0.5) < 0.3)
        if len(edge) == 0:
            break
        spot = np.zeros_like(small)
        cv2.circle(spot, edge[rng.integers(len(edge))][::-1].tolist(), int(rng.integers(1, 6)), 1, -1)
        small = small + (rng.integers(0, 2) - small) * cv2.GaussianBlur(spot, (0, 0), 1)
    return small.astype(np.float32)


def _zoomed(arrays: tuple[np.ndarray, ...], rng: np.random.Generator) -> list[np.ndarray]:
    side = int(SIDE / rng.choice([1, 1, 1.25, 1.6]))
    row, column = rng.integers(0, SIDE - side + 1, 2)
    parts = [np.ascontiguousarray(each[row : row + side, column : column + side]) for each in arrays]
    return [cv2.resize(each, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for each in parts]


def _photographed(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture with fine and sometimes coarse noise, as a JPEG of fair to good quality."""
    if rng.random() < 0.3:
        coarse = rng.normal(0, 1, (SIDE // 2, SIDE // 2, 1)) * rng.uniform(0, 4)
        picture = picture + coarse.repeat(2, 0).repeat(2, 1)
    noisy = np.clip(np.rint(picture + rng.normal(0, rng.uniform(0.2, 4), picture.shape)), 0, 255).astype(np.uint8)
    _, file = cv2.imencode(".jpg", noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(72, 98))])
    return cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1].copy()
