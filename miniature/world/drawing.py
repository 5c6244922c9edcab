"""Drawing tools of the picture-book world: colours, noise textures and an antialiased pen.

Lengths are in *units*: a picture of any size has an area of one square unit, so one number means the same
share of the picture at 128 and at 768 pixels. Random numbers are drawn in an order that never depends on the
pixel size.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

SUPERSAMPLING = 3
TILE_PIXELS = 640
TILE_UNITS = 2.0

Colour = tuple[float, float, float]
Points = list[tuple[float, float]]


def mix(a: ArrayLike, b: ArrayLike, t: ArrayLike) -> np.ndarray:
    """Linear blend of two colours (or arrays of them); `t` = 0 gives `a`."""
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    return a + (b - a) * t


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (`factor` < 1) or lighter, 0..255."""
    return tuple(float(v) for v in np.clip(np.asarray(colour, float) * factor, 0, 255))


def jitter(rng: np.random.Generator, colour: Colour, amount: float = 10) -> Colour:
    """A colour near `colour`: up to `amount` in hue and as much again in brightness."""
    moved = np.asarray(colour, float) + rng.uniform(-amount, amount, 3) + rng.uniform(-amount, amount)
    return tuple(float(v) for v in np.clip(moved, 0, 255))


def smooth(points: Points, steps: int = 8) -> Points:
    """Closed Catmull-Rom curve through `points`."""
    p1 = np.asarray(points, float)
    p0, p2, p3 = np.roll(p1, 1, 0), np.roll(p1, -1, 0), np.roll(p1, -2, 0)
    t = (np.arange(steps) / steps)[None, :, None]
    p0, p1, p2, p3 = (p[:, None] for p in (p0, p1, p2, p3))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return [(float(x), float(y)) for x, y in curve.reshape(-1, 2)]


@cache
def _tiles(kind: str) -> list[Image.Image]:
    """Precomputed noise, standard deviation 1: 'cloudy' is a sum of octaves, 'grain' is white."""
    rng = np.random.default_rng(20240229)
    tiles = []
    for _ in range(6):
        if kind == "grain":
            tile = rng.standard_normal((TILE_PIXELS, TILE_PIXELS), np.float32)
        else:
            tile = np.zeros((TILE_PIXELS, TILE_PIXELS), np.float32)
            for octave in range(6):
                cells = Image.fromarray(rng.uniform(-1, 1, (8 << octave,) * 2).astype(np.float32))
                smooth_cells = cells.resize((TILE_PIXELS, TILE_PIXELS), Image.Resampling.BICUBIC)
                tile += 0.62**octave * np.asarray(smooth_cells)
            tile /= tile.std()
        tiles.append(Image.fromarray(tile))
    return tiles


def texture(
    rng: np.random.Generator,
    shape: tuple[int, int],
    extent: tuple[float, float],
    kind: str = "cloudy",
) -> np.ndarray:
    """Noise of standard deviation about 1 over a window of `extent` units (width, height).

    Returns float32 of `shape` (rows, columns). The same window at another pixel size is the same pattern.
    """
    tile = _tiles(kind)[rng.integers(6)]
    wide, high = (min(e, TILE_UNITS) * TILE_PIXELS / TILE_UNITS for e in extent)
    left, top = rng.random(2) * (TILE_PIXELS - wide, TILE_PIXELS - high)
    window = (left, top, left + wide, top + high)
    return np.asarray(tile.resize((shape[1], shape[0]), Image.Resampling.BILINEAR, box=window))


class Pen:
    """Draws antialiased shapes on a transparent sheet.

    Args:
        extent: (width, height) of the sheet in units.
        unit: pixels per unit.
        absolute: coordinates are in units, not fractions of the sheet.
    """

    def __init__(self, extent: tuple[float, float], unit: float, absolute: bool = False) -> None:
        self.size = tuple(max(4, round(e * unit)) for e in extent)
        self.aspect = extent[1] / extent[0]
        width, height = (s * SUPERSAMPLING for s in self.size)
        self.scale = (width / extent[0], height / extent[1]) if absolute else (width, height)
        self.sheet = Image.new("RGBA", (width, height), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self.sheet)

    def _pixels(self, points: Points) -> Points:
        return [(x * self.scale[0], y * self.scale[1]) for x, y in points]

    @staticmethod
    def _ink(colour: Colour, alpha: float) -> tuple[int, ...]:
        return (*(int(v) for v in colour), int(255 * alpha))

    def polygon(self, points: Points, colour: Colour, alpha: float = 1) -> None:
        self._draw.polygon(self._pixels(points), fill=self._ink(colour, alpha))

    def blob(self, points: Points, colour: Colour) -> None:
        """A smooth closed shape through `points`."""
        self.polygon(smooth(points), colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, alpha: float = 1) -> None:
        self._draw.ellipse(self._pixels([(x - rx, y - ry), (x + rx, y + ry)]), fill=self._ink(colour, alpha))

    def circle(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A round disc whose `radius` is a fraction of the sheet's height."""
        self.ellipse(x, y, radius * self.scale[1] / self.scale[0], radius, colour)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, radius: float = 0) -> None:
        """A rectangle; `radius` rounds its corners, as a fraction of the sheet's height."""
        corners = self._pixels([(x0, y0), (x1, y1)])
        self._draw.rounded_rectangle(
            [*corners[0], *corners[1]], radius=radius * self.scale[1], fill=self._ink(colour, 1)
        )

    def stencil(self, shapes: list[Points], colour: Colour) -> None:
        """Colour the given polygons, but only where something has been drawn already."""
        stripes = Image.new("L", self.sheet.size, 0)
        draw = ImageDraw.Draw(stripes)
        for points in shapes:
            draw.polygon(self._pixels(points), fill=255)
        drawn = np.minimum(np.asarray(stripes), np.asarray(self.sheet.getchannel("A")))
        self.sheet.paste(self._ink(colour, 1), (0, 0), Image.fromarray(drawn))
        self._draw = ImageDraw.Draw(self.sheet)

    def lift(self) -> tuple[np.ndarray, np.ndarray]:
        """The finished sheet: colour HxWx3 float32 0..255 and coverage HxW float32 0..1."""
        rgba = np.asarray(self.sheet.reduce(SUPERSAMPLING), np.float32)
        return rgba[..., :3], rgba[..., 3] / 255
