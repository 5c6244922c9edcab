"""The places of the picture-book world. A new place is one function and one line in `PLACES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from miniature.world.drawing import Colour, Pen, jitter, mix, shade, texture


@dataclass(frozen=True)
class Light:
    """A time of day.

    Attributes:
        top, bottom: colours that tint the sky.
        tint: strength of that tint, 0 to 1.
        grade: factors on every colour of the ground and of the objects.
        shadow: factor on the darkness of shadows.
        length: shortest and longest shadow ÷ height of its object.
        phrases: additions to captions.
    """

    top: Colour
    bottom: Colour
    tint: float
    grade: Colour
    shadow: float
    length: tuple[float, float]
    phrases: tuple[str, ...]


LIGHTS = {
    "day": Light((0, 0, 0), (0, 0, 0), 0, (1, 1, 1), 1, (0.18, 0.42), ("", "", "", "by day", "in daylight")),
    "dusk": Light((104, 84, 150), (255, 164, 96), 0.8, (1.02, 0.8, 0.66), 0.9, (0.5, 0.8),
                  ("at dusk", "at sunset", "in the evening", "at sunset")),
    "night": Light((10, 16, 44), (44, 58, 104), 0.92, (0.5, 0.56, 0.78), 0.6, (0.3, 0.5),
                   ("at night", "by moonlight", "at night")),
}  # fmt: skip


class Backdrop:
    """The picture of a place before objects stand in it.

    Attributes:
        extent: (width, height) in units.
        horizon: its row in units.
        light: the time of day.
        sun: position of the sun or moon along the width, -0.2 to 1.2.
        sun_ahead: whether the viewer looks towards it.
    """

    def __init__(self, rng: np.random.Generator, width: int, height: int, light: str = "day") -> None:
        self.rng = rng
        self.light = LIGHTS[light]
        self.lit_by = light
        self.sun = float(rng.uniform(-0.2, 1.2))
        self.sun_ahead = bool(rng.random() < (0.15 if light == "day" else 0.7))
        self.unit = float(np.sqrt(width * height))
        self.extent = (width / self.unit, height / self.unit)
        self.pixels = np.zeros((height, width, 3), np.float32)
        self.columns = ((np.arange(width) + 0.5) / self.unit).astype(np.float32)
        self.rows = ((np.arange(height) + 0.5) / self.unit).astype(np.float32)[:, None]
        self.horizon = float(rng.uniform(0.36, 0.52)) * self.extent[1]

    def noise(self, stretch: tuple[float, float] = (1, 1), kind: str = "cloudy") -> np.ndarray:
        """A texture over the whole picture; `stretch` > 1 draws it out along that axis."""
        window = (self.extent[0] / stretch[0], self.extent[1] / stretch[1])
        return texture(self.rng, self.pixels.shape[:2], window, kind)

    def blend(self, colour: ArrayLike, coverage: np.ndarray) -> None:
        """Lay a colour (or a picture) over the backdrop with a coverage of 0..1."""
        self.pixels += (np.asarray(colour, np.float32) - self.pixels) * coverage[..., None]

    def sky(self, top: Colour, bottom: Colour, spread: float = 8) -> None:
        t = np.clip(self.rows / self.horizon, 0, 1)[..., None]
        light, grade = self.light, np.asarray(self.light.grade, np.float32)
        top, bottom = jitter(self.rng, top, spread), jitter(self.rng, bottom, spread)
        # The whole backdrop is graded when it is finished, the sky's own tint with it.
        top = mix(np.asarray(top), np.asarray(light.top) / grade, light.tint)
        bottom = mix(np.asarray(bottom), np.asarray(light.bottom) / grade, light.tint)
        self.pixels[:] = mix(top, bottom, t)
        self._heavens(grade)

    def _heavens(self, grade: np.ndarray) -> None:
        """The sun or the moon where the viewer looks towards it, and by night the stars."""
        rng, height = self.rng, 0.2 if self.lit_by == "dusk" else 0.65
        y = self.horizon * (1 - height * rng.uniform(0.6, 1.3))
        stars = rng.random((60, 2)) * (self.extent[0], self.horizon)
        if self.lit_by == "night":
            pen = self.pen()
            for star in stars:
                pen.circle(*star, 0.003, (255, 255, 255))
            self.blend(np.float32((190, 196, 220)) / grade, pen.lift()[1] * 0.8)
        if self.sun_ahead and 0.05 < self.sun < 0.95:
            size, colour, glow = {
                "day": (0.028, (255, 252, 226), 0.5), "dusk": (0.04, (255, 232, 160), 0.6),
                "night": (0.034, (240, 240, 220), 0.25),
            }[self.lit_by]  # fmt: skip
            distance = np.hypot(self.columns - self.sun * self.extent[0], self.rows - y)
            disc = np.clip((size - distance) * self.unit + 0.5, 0, 1)
            self.blend(np.float32(colour) / grade, np.maximum(disc, glow * np.exp(-((distance / 0.13) ** 2))))

    def graded(self) -> None:
        """Apply the light to the finished backdrop."""
        self.pixels *= np.asarray(self.light.grade, np.float32)

    def clouds(self, amount: float, colour: Colour = (250, 250, 252)) -> None:
        """Soft banks of cloud above the horizon, thinning towards it; `amount` is their opacity."""
        cover = np.clip((self.noise((2.2, 1)) - self.rng.uniform(0.1, 0.8)) * 0.8, 0, 1)
        self.blend(colour, cover * amount * np.clip((self.horizon - self.rows) / 0.12, 0, 1))

    def ground(self, far: Colour, near: Colour, coarse: float, fine: float) -> np.ndarray:
        """A picture of ground that runs from the horizon to the viewer, its texture coarser when nearer."""
        t = np.clip((self.rows - self.horizon) / (self.extent[1] - self.horizon), 0, 1)
        bumps = self.noise((1.6, 1)) * coarse + self.noise(kind="grain") * fine
        return mix(far, near, t[..., None]) + (bumps * (0.35 + 0.65 * t))[..., None]

    def below(self, height: np.ndarray | float, colour: ArrayLike) -> None:
        """Fill everything under a line: `height` in units, one number or one per column."""
        line = np.broadcast_to(np.asarray(height, np.float32), self.columns.shape)
        self.blend(colour, np.clip((self.rows - line) * self.unit + 0.5, 0, 1))

    def hills(self, base: float, swing: float) -> np.ndarray:
        """A rolling line around `base` (units), for `below`."""
        line = np.zeros_like(self.columns)
        for k in range(1, 5):
            line += np.sin(2 * np.pi * (self.columns * k * self.rng.uniform(0.5, 1.1) + self.rng.random())) / k
        return base + swing * line / 1.5

    def pen(self) -> Pen:
        """A pen over the whole backdrop whose coordinates are units."""
        return Pen(self.extent, self.unit, absolute=True)

    def paint(self, pen: Pen) -> None:
        self.blend(*pen.lift())


@dataclass(frozen=True)
class Place:
    """The appearance of a place, and its names.

    Attributes:
        paint: draws it.
        phrases: for captions, the plain word first.
        light: factors on the colour of objects that stand there.
        shadow: darkness of their shadows, 0 to 1.
        hours: its times of day, keys of `LIGHTS`.
        home: kinds of objects that appear there more often.
    """

    paint: Callable[[Backdrop], None]
    phrases: tuple[str, ...]
    light: Colour = (1, 1, 1)
    shadow: float = 0.42
    hours: tuple[str, ...] = ("day", "dusk", "night")
    home: tuple[str, ...] = ()


def _buildings(view: Backdrop, walls: list[Colour], windows: Callable[[np.random.Generator], Colour]) -> None:
    rng, pen = view.rng, view.pen()
    x = -rng.uniform(0, 0.1)
    while x < view.extent[0]:
        width = rng.uniform(0.09, 0.19)
        top = view.horizon * (1 - rng.uniform(0.35, 0.92))
        wall = jitter(rng, walls[rng.integers(len(walls))], 10)
        pen.box(x, top, x + width, view.horizon, wall)
        pane, across, down = rng.uniform(0.017, 0.027), rng.uniform(0.034, 0.046), rng.uniform(0.04, 0.052)
        for row in np.arange(top + 0.02, view.horizon - 0.035, down):
            for column in np.arange(x + 0.016, x + width - pane - 0.01, across):
                pen.box(column, row, column + pane, row + down - 0.02, windows(rng))
        x += width + rng.choice([0, 0, 0.012, 0.03])
    view.paint(pen)


def _street(view: Backdrop) -> None:
    rng = view.rng
    view.sky((108, 160, 222), (206, 222, 236))
    view.clouds(0.8)
    walls = [(150, 140, 132), (168, 128, 108), (126, 132, 146), (180, 170, 150)]
    _buildings(view, walls, lambda r: (88, 104, 124) if r.random() < 0.8 else (190, 210, 226))
    asphalt = view.ground(jitter(rng, (128, 128, 132), 8), jitter(rng, (92, 92, 98), 8), 4, 4)
    kerb = view.horizon + rng.uniform(0.03, 0.055)
    view.below(view.horizon, (188, 184, 176))
    view.below(kerb - 0.008, (150, 148, 144))
    view.below(kerb, asphalt)
    middle, start = kerb + rng.uniform(0.14, 0.24), rng.uniform(0, 0.24)
    dashes = ((view.columns + start) % 0.24 < 0.14).astype(np.float32)
    line = np.clip((0.012 - np.abs(view.rows - middle)) * view.unit + 0.5, 0, 1)
    view.blend((226, 222, 200), line * dashes)


def _glow(view: Backdrop) -> np.ndarray:
    """Street light lying on wet ground: additive colour, HxWx3."""
    glow = np.zeros_like(view.pixels)
    lamps = [(120, 88, 30), (120, 100, 60), (90, 40, 90)]
    for _ in range(view.rng.integers(4, 8)):
        across = np.exp(-(((view.columns - view.rng.uniform(0, view.extent[0])) / view.rng.uniform(0.024, 0.055)) ** 2))
        down = np.exp(-np.clip(view.rows - view.horizon, 0, None) / view.rng.uniform(0.12, 0.28))
        glow += (across * down)[..., None] * np.asarray(lamps[view.rng.integers(3)], np.float32)
    return glow


def _night(view: Backdrop) -> None:
    rng, pen = view.rng, view.pen()
    view.sky((8, 10, 30), (44, 36, 74), 5)
    for _ in range(40):
        pen.circle(rng.uniform(0, view.extent[0]), rng.uniform(0, view.horizon), 0.0035, (205, 205, 220))
    if rng.random() < 0.6:
        x, y, radius = (
            rng.uniform(0.08, view.extent[0] - 0.08),
            rng.uniform(0.08, 0.17),
            rng.uniform(0.03, 0.055),
        )
        pen.ellipse(x, y, radius, radius, (240, 236, 210))
        pen.ellipse(x + radius * 0.3, y - radius * 0.2, radius * 0.24, radius * 0.24, (222, 216, 188))
    view.paint(pen)
    panes = [(250, 214, 110), (255, 236, 170), (44, 46, 66), (38, 40, 58)]
    _buildings(view, [(28, 28, 44)], lambda r: panes[r.integers(4)])
    ground = view.ground(jitter(rng, (50, 46, 62), 5), jitter(rng, (30, 30, 40), 5), 3, 3)
    view.below(view.horizon, ground + _glow(view))


def _rocks(view: Backdrop) -> None:
    rng, pen = view.rng, view.pen()
    depth = view.extent[1] - view.horizon
    for y in sorted(rng.uniform(view.horizon + 0.03, view.extent[1], rng.integers(10, 24))):
        x, size = (
            rng.uniform(0, view.extent[0]),
            (0.005 + 0.036 * (y - view.horizon) / depth) * rng.uniform(0.4, 1.2),
        )
        angles = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        reach = size * rng.uniform(0.8, 1.2, 8)
        outline = [(x + r * np.cos(a), y + 0.6 * r * np.sin(a)) for a, r in zip(angles, reach, strict=True)]
        pen.polygon(outline, (92, 40, 27))
        pen.polygon(
            [(x + 0.75 * (px - x) - size * 0.12, y + 0.7 * (py - y) - size * 0.16) for px, py in outline],
            (172, 92, 62),
        )
    view.paint(pen)


def _mars(view: Backdrop) -> None:
    rng = view.rng
    view.sky((178, 112, 78), (234, 188, 146))
    view.clouds(0.3, (240, 204, 166))
    haze = np.clip(view.noise(), -2, 2)[..., None]
    view.below(view.hills(view.horizon - rng.uniform(0.05, 0.11), 0.04), np.float32((188, 112, 78)) + haze * 3)
    view.below(view.hills(view.horizon - rng.uniform(0.01, 0.04), 0.025), np.float32((158, 80, 52)) + haze * 5)
    view.below(
        view.hills(view.horizon, 0.01),
        view.ground(jitter(rng, (200, 106, 66)), jitter(rng, (172, 72, 40)), 10, 5),
    )
    _rocks(view)


def _meadow(view: Backdrop) -> None:
    rng = view.rng
    view.sky((84, 150, 226), (196, 224, 242))
    view.clouds(0.95)
    haze = np.clip(view.noise(), -2, 2)[..., None]
    view.below(view.hills(view.horizon - rng.uniform(0.02, 0.07), 0.04), jitter(rng, (96, 148, 96)) + haze * 5)
    view.below(
        view.hills(view.horizon, 0.012),
        view.ground(jitter(rng, (120, 178, 74)), jitter(rng, (62, 130, 40)), 10, 7),
    )
    pen = view.pen()
    petals = [(250, 240, 120), (250, 250, 250), (230, 90, 120)]
    for y in rng.uniform(view.horizon + 0.04, view.extent[1], rng.integers(20, 70)):
        size = 0.003 + 0.007 * (y - view.horizon) / (view.extent[1] - view.horizon)
        pen.ellipse(rng.uniform(0, view.extent[0]), y, size, size * 0.8, petals[rng.integers(3)])
    view.paint(pen)


def _beach(view: Backdrop) -> None:
    rng = view.rng
    view.sky((98, 176, 234), (206, 234, 246))
    view.clouds(0.7)
    sea = view.horizon - rng.uniform(0.04, 0.09)
    depth = np.clip((view.rows - sea) / 0.14, 0, 1)[..., None]
    water = mix(jitter(rng, (24, 96, 160)), jitter(rng, (52, 166, 184)), depth)
    view.below(sea, water + np.clip(view.noise((5, 0.5)), -1.5, 2)[..., None] * 7)
    shore = view.hills(view.horizon + rng.uniform(0.03, 0.06), 0.012)
    view.below(shore - 0.014, (244, 249, 249))
    view.below(shore, (196, 168, 122))
    view.below(shore + 0.016, view.ground(jitter(rng, (232, 206, 154)), jitter(rng, (210, 178, 126)), 6, 5))


def _pines(view: Backdrop) -> None:
    rng, pen = view.rng, view.pen()
    x = -0.02
    while x < view.extent[0] + 0.02:
        high, foot = rng.uniform(0.035, 0.075), view.horizon + 0.012
        green = jitter(rng, (84, 112, 116), 8)
        for tier in range(3):
            tip, wide = foot - high * (1 - 0.24 * tier), high * (0.16 + 0.1 * tier)
            pen.polygon([(x, tip), (x + wide, tip + high * 0.45), (x - wide, tip + high * 0.45)], green)
        x += rng.uniform(0.018, 0.06)
    view.paint(pen)


def _snow(view: Backdrop) -> None:
    rng = view.rng
    view.sky((142, 176, 212), (224, 232, 240))
    view.clouds(0.5)
    pen, x = view.pen(), -0.15
    while x < view.extent[0] + 0.1:
        tip, wide = (x, view.horizon - rng.uniform(0.13, 0.28)), rng.uniform(0.17, 0.27)
        rock = jitter(rng, (136, 154, 182), 8)
        pen.polygon([tip, (x + wide, view.horizon + 0.02), (x - wide, view.horizon + 0.02)], rock)
        pen.polygon(
            [tip, (x + wide, view.horizon + 0.02), (x + wide * 0.2, view.horizon + 0.02)],
            tuple(0.88 * v for v in rock),
        )
        cap, fall = (view.horizon - tip[1]) * 0.36, 0.36 * wide
        pen.polygon(
            [
                tip,
                (x + fall, tip[1] + cap),
                (x + fall * 0.45, tip[1] + cap * 0.72),
                (x, tip[1] + cap * 1.1),
                (x - fall * 0.5, tip[1] + cap * 0.7),
                (x - fall, tip[1] + cap),
            ],
            (246, 249, 253),
        )
        x += rng.uniform(0.16, 0.34)
    view.paint(pen)
    _pines(view)
    view.below(
        view.hills(view.horizon, 0.014),
        view.ground(jitter(rng, (212, 224, 239), 5), jitter(rng, (240, 244, 249), 5), 5, 2),
    )


def _desert(view: Backdrop) -> None:
    rng = view.rng
    view.sky((72, 148, 220), (240, 228, 196))
    haze = np.clip(view.noise(), -2, 2)[..., None]
    for depth, colour in ((0.07, (232, 196, 132)), (0.035, (224, 176, 100))):
        crest = view.hills(view.horizon - depth * rng.uniform(0.6, 1), 0.03)
        view.below(crest, np.float32(jitter(rng, colour, 6)) + haze * 4)
        slope = view.hills(view.horizon - depth * 0.2, 0.03)
        view.below(np.maximum(crest, slope), np.float32(jitter(rng, shade(colour, 0.84), 5)) + haze * 4)
    view.below(
        view.hills(view.horizon, 0.012),
        view.ground(jitter(rng, (236, 190, 108), 6), jitter(rng, (214, 158, 74), 6), 4, 4),
    )
    ripples = np.sin(np.clip(view.rows - view.horizon, 0, None) ** 0.6 * 90 + 3 * view.noise((1, 3)))
    near = np.clip((view.rows - view.horizon - 0.03) / 0.3, 0, 1)
    view.pixels += (ripples * near * 7)[..., None]
    _cacti(view)


def _cacti(view: Backdrop) -> None:
    rng, pen = view.rng, view.pen()
    for y in sorted(rng.uniform(0.02, 0.12, rng.integers(2, 6))):
        x, high = rng.uniform(0, view.extent[0]), 0.05 + 0.7 * y
        foot, half, green = view.horizon + y, high * 0.1, jitter(rng, (70, 122, 66), 8)
        pen.box(x - half, foot - high, x + half, foot, green, half / view.extent[1])
        for side, level in ((-1, 0.5), (1, 0.38)):
            arm = x + side * high * 0.28
            pen.box(min(x, arm), foot - high * level - half, max(x, arm), foot - high * level + half * 0.6, green)
            pen.box(arm - half * 0.8, foot - high * (level + 0.32), arm + half * 0.8, foot - high * level + half * 0.6,
                    green, half / view.extent[1])  # fmt: skip
        pen.box(x - half * 0.2, foot - high * 0.95, x + half * 0.2, foot, shade(green, 0.8))
    view.paint(pen)


def _forest(view: Backdrop) -> None:
    rng = view.rng
    view.sky((170, 206, 214), (214, 230, 206))
    for row, (foot, high, green) in enumerate(
        ((0.0, 0.26, (128, 164, 138)), (0.012, 0.34, (72, 118, 84)), (0.03, 0.44, (36, 82, 52)))
    ):
        pen, x = view.pen(), -0.05
        while x < view.extent[0] + 0.05:
            top = high * rng.uniform(0.75, 1.2)
            base, colour = view.horizon + foot, jitter(rng, green, 7)
            pen.box(
                x - 0.007, base - top * 0.5, x + 0.007, base + 0.006, shade(jitter(rng, (92, 66, 46), 5), 1.3 - row / 5)
            )
            for tier in range(4):
                tip, wide = base - top * (1 - 0.2 * tier), top * (0.11 + 0.05 * tier)
                pen.polygon(
                    [(x, tip), (x + wide, tip + top * 0.3), (x - wide, tip + top * 0.3)], shade(colour, 1 - tier / 18)
                )
            x += rng.uniform(0.05, 0.13)
        view.paint(pen)
        if row == 0:
            view.below(
                view.horizon - 0.004, view.ground(jitter(rng, (92, 110, 58), 6), jitter(rng, (62, 66, 36), 6), 9, 5)
            )
    path = view.extent[0] * rng.uniform(0.3, 0.7) + 0.05 * np.sin(view.rows * 9)
    half = 0.02 + 0.32 * np.clip(view.rows - view.horizon - 0.03, 0, None)
    inside = np.clip((half - np.abs(view.columns - path)) * 14, 0, 1) * (view.rows > view.horizon + 0.03)
    view.blend(view.ground((168, 140, 100), jitter(rng, (142, 112, 76), 6), 6, 5), inside * 0.85)


def _sea(view: Backdrop) -> None:
    rng = view.rng
    view.sky((92, 158, 226), (210, 230, 242))
    view.clouds(0.9)
    water = view.ground(jitter(rng, (60, 130, 176), 8), jitter(rng, (16, 74, 132), 8), 0, 0)
    depth = np.clip((view.rows - view.horizon) / (view.extent[1] - view.horizon), 0, 1)
    swell = view.noise((1, 0.28)) * (4 + 10 * depth) + view.noise((1.5, 0.2)) * 5
    view.below(view.horizon, water + swell[..., None])
    pen = view.pen()
    for _ in range(rng.integers(26, 46)):
        t = rng.random() ** 1.4
        x, y = rng.uniform(-0.05, view.extent[0]), view.horizon + 0.015 + t * (view.extent[1] - view.horizon)
        long, high = (0.02 + 0.11 * t) * rng.uniform(0.6, 1.4), 0.002 + 0.007 * t
        pen.blob([(x, y), (x + long * 0.3, y - high), (x + long * 0.55, y), (x + long * 0.8, y - high), (x + long, y),
                  (x + long * 0.5, y + high * 0.8)], (214, 232, 240))  # fmt: skip
    colour, cover = pen.lift()
    view.blend(colour, cover * 0.75)


PLACES = {
    "street": Place(
        _street,
        (
            "street",
            "city street",
            "street in the city",
            "asphalt road in the city",
            "city street in daylight, tall buildings",
        ),
    ),
    "mars": Place(
        _mars,
        (
            "mars",
            "red desert of Mars, dusty sky",
            "the red planet mars",
            "red desert",
            "mars, red rocks and dust",
            "mars, dust storm",
        ),
        light=(1, 0.92, 0.84),
    ),
    "meadow": Place(
        _meadow,
        (
            "meadow",
            "green meadow",
            "grass field",
            "green hills with flowers",
            "green meadow under a blue sky",
        ),
    ),
    "beach": Place(
        _beach,
        ("beach", "sandy beach", "beach by the sea", "sand and sea", "sandy beach by the sea, blue sky"),
    ),
    "snow": Place(
        _snow,
        (
            "snow",
            "snowy field",
            "winter, white snow",
            "snowy mountains",
            "snowy field with mountains in winter",
        ),
    ),
    "night city": Place(
        _night,
        (
            "night city",
            "city at night",
            "night street",
            "dark night city",
            "city at night, lights in the windows",
        ),
        light=(0.6, 0.58, 0.7),
        shadow=0.3,
        hours=("day",),  # it brings its own night
        home=("car", "bus", "truck", "cat"),
    ),
    "desert": Place(
        _desert,
        ("desert", "yellow sand dunes", "sandy desert with cactus", "desert dunes", "sand dunes under a blue sky"),
        light=(1, 0.97, 0.9),
    ),
    "forest": Place(
        _forest,
        ("forest", "pine forest", "path in the forest", "dark green woods", "forest path between tall pines"),
        light=(0.9, 0.94, 0.86),
    ),
    "sea": Place(
        _sea,
        ("sea", "open sea", "blue water", "ocean with waves", "open sea with waves, blue sky"),
        shadow=0.3,
        home=("boat",) * 3,
    ),
}
