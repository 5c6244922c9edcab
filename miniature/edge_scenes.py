"""Drawn scenes with known alpha and known colours on both sides, for measuring soft edges.

Things with hard edges for a mask: hair, fur, spokes, glass, and a plain object to compare with. They are drawn several
times larger and reduced, so that the true alpha has fine steps. Everything is made here from random numbers; nothing is
a photograph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

SIDE, OVER = 768, 3  # px of the photo; how many times larger it is drawn
LARGE = SIDE * OVER
_SHIFT = 4  # fractional bits of OpenCV's coordinates


@dataclass(frozen=True)
class EdgeScene:
    """A photo of a thing whose every pixel is known.

    Attributes:
        photo: (H, W, 3) uint8: alpha x inside + (1 - alpha) x outside, with a camera's noise and JPEG compression.
        alpha: (H, W) float32 in [0, 1], how much of each pixel the thing covers.
        inside: (H, W, 3) float32, the thing's colours, 0 to 255.
        outside: (H, W, 3) float32, the background's colours.
    """

    photo: np.ndarray
    alpha: np.ndarray
    inside: np.ndarray
    outside: np.ndarray


def edge_scene(kind: str, seed: int) -> EdgeScene:
    """Draw a scene.

    Args:
        kind: one of `KINDS`.
        seed: of all its random numbers.
    """
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    outside = backdrop(rng)
    canvas = Canvas(rng)
    KINDS[kind](canvas, rng)
    alpha, inside = canvas.reduced()
    mixed = alpha[..., None] * inside + (1 - alpha[..., None]) * outside
    return EdgeScene(_as_a_camera_would(mixed, rng), alpha, inside, outside)


def backdrop(rng: np.random.Generator) -> np.ndarray:
    """A background of soft and sharp shapes in random colours, (H, W, 3) float32."""
    picture = random_colour(rng) + (random_colour(rng) - random_colour(rng)) * fractal_noise(rng, 2, 3)[..., None] * 0.7
    for _ in range(int(rng.integers(0, 4))):  # leaves, stones, clouds: areas of another colour
        edge = rng.uniform(0.01, 0.3)
        area = np.clip((fractal_noise(rng, int(rng.integers(4, 24)), 4) - rng.uniform(-0.2, 0.4)) / edge, 0, 1)
        picture += area[..., None] * (random_colour(rng) - picture) * rng.uniform(0.3, 1)
    for _ in range(int(rng.integers(0, 30)) * int(rng.integers(0, 2))):  # lights out of focus
        disc = np.zeros((SIDE, SIDE), np.float32)
        cv2.circle(disc, tuple(rng.integers(0, SIDE, 2).tolist()), int(rng.integers(8, 60)), 1, -1, cv2.LINE_AA)
        picture += disc[..., None] * (random_colour(rng) - picture) * rng.uniform(0.2, 0.7)
    picture += 12 * fractal_noise(rng, 90, 3)[..., None]
    blur = rng.choice([0, 0.8, 2.5, 6])  # depth of field
    picture = cv2.GaussianBlur(picture, (0, 0), blur) if blur else picture
    return np.clip(picture, 0, 255).astype(np.float32)


def mask_as_sam_makes_it(alpha: np.ndarray, seed: int) -> np.ndarray:
    """A hard mask with the faults of SAM's: a smooth outline from a small grid, slightly off, gaps closed.

    Returns:
        (H, W) uint8, 0 or 255.
    """
    rng = np.random.default_rng([seed, 77])
    small = cv2.resize(warped(alpha, rng, 2.0), (256, 256), interpolation=cv2.INTER_AREA)
    small = cv2.morphologyEx(small, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
    small = cv2.GaussianBlur(small, (0, 0), rng.uniform(1.2, 2.2))
    level = rng.uniform(0.38, 0.55)
    return (cv2.resize(small, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR) > level) * np.uint8(255)


def mask_as_a_salient_network_makes_it(alpha: np.ndarray, seed: int) -> np.ndarray:
    """A soft mask with the faults of a network that works at 320 px, such as U-2-Net.

    Returns:
        (H, W) uint8.
    """
    rng = np.random.default_rng([seed, 78])
    small = cv2.resize(warped(alpha, rng, 1.2), (320, 320), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 1.3)
    sharp = 1 / (1 + np.exp(-rng.uniform(6, 10) * (small - rng.uniform(0.35, 0.5))))
    sharp = (sharp - sharp.min()) / (sharp.max() - sharp.min())
    large = cv2.resize(sharp, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.rint(large * 255).astype(np.uint8)


class Canvas:
    """Where a thing is drawn, larger than the photo: paint with coverage."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.cover = np.zeros((LARGE, LARGE), np.float32)
        self.paint = np.zeros((LARGE, LARGE, 3), np.float32)
        self.base = random_colour(rng)
        shade = cv2.resize(fractal_noise(rng, 6, 4), (LARGE, LARGE), interpolation=cv2.INTER_LINEAR)
        self.texture = 1 + 0.25 * shade[..., None]
        self.blur = rng.uniform(0.4, 1.0)  # of the lens, in px of the photo

    def area(self, shape: np.ndarray, colour: np.ndarray | None = None, cover: float = 1) -> None:
        """Paint a shape, (H, W) bool at the large size; by default in the thing's textured colour."""
        self.cover[shape] = cover
        colours = self.base * self.texture if colour is None else colour * self.texture
        self.paint[shape] = colours[shape]

    def line(self, points: np.ndarray, width: int, colour: np.ndarray) -> None:
        """Paint a line through points, (n, 2) float, x and y."""
        where = [np.rint(points * (1 << _SHIFT)).astype(np.int32)]
        cv2.polylines(self.cover, where, False, 1, width, cv2.LINE_8, _SHIFT)
        cv2.polylines(self.paint, where, False, colour.tolist(), width, cv2.LINE_8, _SHIFT)

    def reduced(self) -> tuple[np.ndarray, np.ndarray]:
        """Alpha and colours at the photo's size, blurred by the lens; colours are filled in beyond the thing."""
        cover, paint = self.cover, self.paint * self.cover[..., None]
        cover, paint = (cv2.GaussianBlur(each, (0, 0), self.blur * OVER) for each in (cover, paint))
        cover, paint = (cv2.resize(each, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for each in (cover, paint))
        alpha = np.clip(cover, 0, 1)
        alpha = np.where(alpha < 1 / 510, 0, np.where(alpha > 1 - 1 / 510, 1, alpha)).astype(np.float32)
        return alpha, np.clip(paint / np.maximum(cover, 1e-6)[..., None], 0, 255)


def _hair(canvas: Canvas, rng: np.random.Generator) -> None:
    """A head with long strands, some of them alone."""
    outline = blob(rng, 0.24, wobble=0.06)
    canvas.area(filled(outline))
    _strands(canvas, outline, count=900, length=(60, 420), width=(1, 4), spread=0.5, curl=0.9)
    _strands(canvas, outline, count=60, length=(200, 620), width=(1, 2), spread=1.0, curl=1.4)


def _fur(canvas: Canvas, rng: np.random.Generator) -> None:
    """A body with short dense hair all around."""
    outline = blob(rng, 0.3, wobble=0.15)
    canvas.area(filled(outline))
    _strands(canvas, outline, count=3500, length=(20, 110), width=(2, 5), spread=0.6, curl=0.5)


def _spokes(canvas: Canvas, rng: np.random.Generator) -> None:
    """A wheel with thin spokes, and a saddle to hold it."""
    centre, radius = middle(rng), rng.uniform(0.27, 0.33) * LARGE
    dark = random_colour(rng) * 0.4
    ring = np.hypot(*offsets(centre))
    canvas.area((ring < radius) & (ring > radius * rng.uniform(0.84, 0.9)), dark)
    count, turn, grey = int(rng.integers(14, 36)), rng.uniform(0, 1), rng.uniform(90, 230) * np.ones(3)
    for angle in (np.arange(count) + turn) * 2 * np.pi / count:
        ends = centre + np.outer((0.03, 0.88), (np.cos(angle), np.sin(angle))) * radius
        canvas.line(ends, int(rng.integers(3, 8)), grey)
    canvas.area(ring < radius * rng.uniform(0.07, 0.14))
    bar = centre + np.outer((0, 1.35), (np.cos(turn * 6), np.sin(turn * 6))) * radius
    canvas.line(bar, int(rng.integers(24, 60)), canvas.base)


def _glass(canvas: Canvas, rng: np.random.Generator) -> None:
    """A tumbler: a clear wall, an opaque foot, rim and contents."""
    x, y = offsets(middle(rng))
    half, height, slope = rng.uniform(0.14, 0.2) * LARGE, rng.uniform(0.26, 0.34) * LARGE, rng.uniform(0, 0.2)
    reach = half * (1 - slope * y / height)
    whole = (np.abs(x) < reach) & (np.abs(y) < height)
    canvas.area(whole, np.array([205, 225, 228]) * rng.uniform(0.8, 1.05), rng.uniform(0.25, 0.55))
    canvas.area(whole & (y > height * rng.uniform(0.85, 0.93)), np.array([150, 170, 175]), 0.85)
    canvas.area(whole & (np.abs(x) > reach - rng.uniform(8, 20)), np.array([225, 235, 238]), rng.uniform(0.7, 0.95))
    contents = whole & (np.abs(x) < reach * 0.82) & (y > height * rng.uniform(-0.2, 0.4)) & (y < height * 0.82)
    canvas.area(contents, cover=rng.uniform(0.75, 1))


def _plain(canvas: Canvas, rng: np.random.Generator) -> None:
    """A thing with clean edges: corners, curves, a hole."""
    canvas.area(filled(blob(rng, 0.28, wobble=0.2, waves=5)))
    corners = cv2.boxPoints((middle(rng).tolist(), rng.uniform(0.15, 0.5, 2) * LARGE, rng.uniform(0, 180)))
    canvas.area(filled(corners), random_colour(rng))
    hole = np.hypot(*offsets(middle(rng))) < rng.uniform(0.05, 0.1) * LARGE
    canvas.cover[hole] = 0


KINDS: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    "hair": _hair,
    "fur": _fur,
    "spokes": _spokes,
    "glass": _glass,
    "plain": _plain,
}


def _strands(
    canvas: Canvas,
    outline: np.ndarray,
    *,
    count: int,
    length: tuple[int, int],
    width: tuple[int, int],
    spread: float,
    curl: float,
) -> None:
    """Hairs that grow from an outline, each in a slightly different colour; lengths and widths in large px."""
    rng, centre = canvas.rng, outline.mean(axis=0)
    for _ in range(count):
        root = outline[rng.integers(len(outline))]
        away = root - centre
        heading = np.arctan2(away[1], away[0]) + rng.normal(0, spread)
        bend = rng.normal(0, curl)
        steps = np.linspace(0, 1, 12)
        angles = heading + bend * steps + 0.3 * np.sin(steps * rng.uniform(2, 9))
        path = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1), 0) / len(steps) * rng.uniform(*length)
        start = root - 0.06 * away
        canvas.line(start + path, int(rng.integers(*width, endpoint=True)), canvas.base * rng.uniform(0.7, 1.35))


def blob(rng: np.random.Generator, radius: float, wobble: float, waves: int = 7) -> np.ndarray:
    """A closed outline, (n, 2) float, x and y in large px; the radius is a share of the picture."""
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    reach = np.ones_like(angles)
    for wave in range(2, waves):
        reach += rng.normal(0, wobble / wave) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
    ray = np.stack([np.cos(angles), np.sin(angles) * rng.uniform(0.8, 1.2)], 1)
    return middle(rng) + ray * (reach * radius * LARGE)[:, None]


def filled(outline: np.ndarray) -> np.ndarray:
    shape = np.zeros((LARGE, LARGE), np.uint8)
    cv2.fillPoly(shape, [np.rint(outline * (1 << _SHIFT)).astype(np.int32)], 1, cv2.LINE_8, _SHIFT)
    return shape.astype(bool)


def middle(rng: np.random.Generator) -> np.ndarray:
    return LARGE * rng.uniform(0.46, 0.54, 2)


def offsets(centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The x and y distance of each large pixel from a point."""
    along = np.arange(LARGE, dtype=np.float32)
    return along[None] - np.float32(centre[0]), along[:, None] - np.float32(centre[1])


def random_colour(rng: np.random.Generator) -> np.ndarray:
    """A random colour, seldom as strong as a pure one."""
    grey = rng.uniform(20, 235)
    return np.clip(grey + rng.normal(0, 35, 3), 0, 255)


def fractal_noise(rng: np.random.Generator, cells: int, octaves: int) -> np.ndarray:
    """Fractal noise, (H, W) float32, about -1 to 1; `cells` bumps across at its coarsest."""
    total = np.zeros((SIDE, SIDE), np.float32)
    for octave in range(octaves):
        grid = rng.uniform(-1, 1, (min(SIDE, cells << octave),) * 2).astype(np.float32)
        total += cv2.resize(grid, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) / 2**octave
    return total


def warped(alpha: np.ndarray, rng: np.random.Generator, distance: float) -> np.ndarray:
    """The alpha moved about smoothly, by `distance` px in the root mean square."""
    shift = [fractal_noise(rng, 12, 1) for _ in range(2)]
    shift = [each * (distance / np.float32(max(each.std(), 1e-6))) for each in shift]
    x, y = np.meshgrid(np.arange(SIDE, dtype=np.float32), np.arange(SIDE, dtype=np.float32))
    return cv2.remap(alpha, x + shift[0], y + shift[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _as_a_camera_would(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture with noise, compressed as a JPEG of good quality."""
    noisy = np.clip(np.rint(picture + rng.normal(0, 1.5, picture.shape)), 0, 255).astype(np.uint8)
    _, file = cv2.imencode(".jpg", noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 93])
    return cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1].copy()
