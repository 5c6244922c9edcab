"""The objects of the picture-book world. A new kind is one function and one line in `KINDS`.

A drawing function gets a pen whose sheet is the object's bounding box (x and y run 0..1, feet at y = 1,
facing right), a random generator and the colour; it draws back to front.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from miniature.world.drawing import Colour, Pen, jitter, shade, smooth

# fmt: off  (outlines read as shapes only with several points to a line)
PALETTE: dict[str, Colour] = {
    "red": (200, 34, 32),
    "blue": (36, 82, 196),
    "green": (40, 142, 62),
    "yellow": (236, 194, 38),
    "white": (234, 234, 230),
    "black": (38, 38, 42),
    "orange": (234, 120, 28),
    "purple": (122, 52, 164),
    "brown": (124, 75, 38),
}
GLASS = (150, 190, 214)
LAMP = (255, 244, 190)
NEAR_BLACK = (26, 24, 26)


@dataclass(frozen=True)
class Kind:
    """The appearance of a kind of object.

    Attributes:
        draw: draws it.
        colours: names in `PALETTE`; empty if it has only its natural colour.
        width: smallest (about 2 % of the picture) and largest, in units.
        aspect: smallest and largest height / width.
    """

    draw: Callable[[Pen, np.random.Generator, Colour], None]
    colours: tuple[str, ...]
    width: tuple[float, float]
    aspect: tuple[float, float]


def _wheel(pen: Pen, x: float, radius: float) -> None:
    for size, colour in ((1, (24, 24, 26)), (0.58, (150, 152, 158)), (0.25, (70, 72, 78))):
        pen.circle(x, 1 - radius, radius * size, colour)


def _car(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    a = rng.uniform(-0.03, 0.03)
    glass = GLASS if rng.random() < 0.7 else (60, 74, 90)
    pen.blob(
        [(0.24 + a, 0.46), (0.34 + a, 0.08), (0.5 + a, 0.02), (0.64 + a, 0.07), (0.8 + a, 0.46)],
        shade(colour, 0.92),
    )
    pen.polygon([(0.31 + a, 0.44), (0.37 + a, 0.14), (0.49 + a, 0.10), (0.49 + a, 0.44)], glass)
    pen.polygon([(0.52 + a, 0.44), (0.52 + a, 0.10), (0.62 + a, 0.15), (0.73 + a, 0.44)], glass)
    pen.polygon([(0.55 + a, 0.44), (0.60 + a, 0.14), (0.63 + a, 0.16), (0.60 + a, 0.44)], shade(glass, 1.16))
    pen.blob(
        [
            (0.01, 0.62),
            (0.04, 0.46),
            (0.2, 0.42),
            (0.5, 0.40),
            (0.8, 0.42),
            (0.96, 0.52),
            (0.99, 0.66),
            (0.97, 0.84),
            (0.5, 0.86),
            (0.03, 0.84),
        ],
        colour,
    )
    pen.blob([(0.06, 0.50), (0.2, 0.455), (0.5, 0.44), (0.8, 0.455), (0.9, 0.51), (0.5, 0.50)], shade(colour, 1.2))
    pen.box(0.03, 0.76, 0.97, 0.86, shade(colour, 0.62), 0.03)
    pen.box(0.505, 0.42, 0.512, 0.76, shade(colour, 0.7))
    pen.box(0.54, 0.53, 0.60, 0.56, shade(colour, 0.5))
    pen.ellipse(0.95, 0.58, 0.03, 0.06, LAMP)
    pen.ellipse(0.03, 0.58, 0.02, 0.06, (226, 40, 30))
    radius = rng.uniform(0.19, 0.22)
    for x in (0.22, 0.77):
        _wheel(pen, x, radius)


def _truck(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    cargo = ((222, 222, 218), (190, 196, 204), (236, 222, 190))[rng.integers(3)]
    back = rng.uniform(0.64, 0.70)
    pen.box(0.01, 0.04, back, 0.80, cargo, 0.02)
    for i in range(1, 6):
        pen.box(0.01 + i * back / 6, 0.06, 0.014 + i * back / 6, 0.78, shade(cargo, 0.85))
    pen.box(0.01, 0.66, back, 0.76, colour)
    pen.blob(
        [
            (back + 0.02, 0.24),
            (back + 0.10, 0.20),
            (0.90, 0.24),
            (0.95, 0.48),
            (0.99, 0.56),
            (0.99, 0.84),
            (back + 0.02, 0.84),
        ],
        colour,
    )
    pen.polygon([(back + 0.10, 0.30), (0.88, 0.30), (0.92, 0.50), (back + 0.10, 0.50)], GLASS)
    pen.box(0.02, 0.78, 0.99, 0.86, (50, 50, 56))
    pen.ellipse(0.975, 0.68, 0.02, 0.04, LAMP)
    for x in (0.14, 0.30, 0.83):
        _wheel(pen, x, 0.14)


def _leg(pen: Pen, x: float, top: float, thigh: float, ankle: float, colour: Colour, knee: float) -> None:
    """A leg from `top` to the ground, of half-width `thigh` above and `ankle` below."""
    middle = (top + 0.97) / 2
    pen.polygon(
        [
            (x - thigh, top),
            (x + thigh, top),
            (x + ankle * 1.2 + knee, middle),
            (x + ankle, 0.98),
            (x - ankle, 0.98),
            (x - ankle * 1.2 + knee, middle),
        ],
        colour,
    )


def _equid_body(pen: Pen, rng: np.random.Generator, coat: Colour, tail: Colour) -> tuple[float, float]:
    """The body that horses and zebras share; returns the offset of the head, which the face needs."""

    def wobble(amount: float) -> float:
        return rng.uniform(-amount, amount)

    hx, hy, far = wobble(0.02), wobble(0.03), shade(coat, 0.78)
    for x in (0.27, 0.66):
        _leg(pen, x + wobble(0.02), 0.55, 0.045, 0.024, far, wobble(0.02))
    pen.blob(
        [
            (0.14, 0.36),
            (0.09, 0.38),
            (0.05, 0.5),
            (0.06, 0.68),
            (0.03, 0.74),
            (0.09, 0.70),
            (0.10, 0.52),
            (0.15, 0.44),
        ],
        tail,
    )
    pen.blob(
        [
            (0.12, 0.40),
            (0.18, 0.33),
            (0.34, 0.345),
            (0.5, 0.37),
            (0.6, 0.33),
            (0.68, 0.22),
            (0.75 + hx, 0.09 + hy),
            (0.80 + hx, 0.05 + hy),
            (0.86 + hx, 0.09 + hy),
            (0.94 + hx, 0.22 + hy),
            (0.96 + hx, 0.28 + hy),
            (0.92 + hx, 0.32 + hy),
            (0.86 + hx, 0.27 + hy),
            (0.80 + hx, 0.25 + hy),
            (0.78, 0.38),
            (0.75, 0.52),
            (0.70, 0.60),
            (0.55, 0.64),
            (0.38, 0.62),
            (0.26, 0.64),
            (0.16, 0.58),
            (0.12, 0.5),
        ],
        coat,
    )
    _leg(pen, 0.19 + wobble(0.02), 0.5, 0.06, 0.026, coat, wobble(0.02))
    _leg(pen, 0.73 + wobble(0.02), 0.5, 0.05, 0.026, coat, wobble(0.02))
    pen.polygon([(0.77 + hx, 0.08 + hy), (0.785 + hx, 0.0), (0.82 + hx, 0.07 + hy)], coat)
    return hx, hy


def _equid_face(pen: Pen, hx: float, hy: float, mane: Colour) -> None:
    pen.blob(
        [
            (0.60, 0.35),
            (0.66, 0.20),
            (0.74 + hx, 0.06 + hy),
            (0.77 + hx, 0.08 + hy),
            (0.72, 0.22),
            (0.66, 0.35),
        ],
        mane,
    )
    for x in (0.19, 0.73):
        pen.box(x - 0.035, 0.955, x + 0.035, 1.0, (40, 34, 32))
    pen.ellipse(0.87 + hx, 0.15 + hy, 0.012, 0.014, (15, 12, 12))


def _horse(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    if np.mean(colour) > 180:
        mane = (206, 198, 180)
    else:
        mane = (52, 30, 18) if abs(colour[0] - colour[2]) > 40 else (20, 18, 18)
    _equid_face(pen, *_equid_body(pen, rng, colour, mane), mane)


def _zebra(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    hx, hy = _equid_body(pen, rng, (236, 234, 228), NEAR_BLACK)
    stripes = []
    count = rng.integers(9, 12)
    for i in range(count):
        x, half, lean = 0.10 + 0.64 * i / (count - 1), rng.uniform(0.017, 0.025), rng.uniform(-0.015, 0.015)
        slant = (x - 0.42) * 0.3
        stripes.append(
            [
                (x - half + slant * 0.3, 0.30),
                (x + half + slant * 0.3, 0.30),
                (x + half + lean, 0.5),
                (x + half * 0.4 - slant * 0.2, 0.66),
                (x - half * 0.4 - slant * 0.2, 0.66),
                (x - half + lean, 0.5),
            ]
        )
    for i in range(5):
        x, y = 0.69 - 0.02 * i, 0.11 + 0.055 * i
        stripes.append([(x, y + 0.05), (x + 0.30, y + 0.11), (x + 0.30, y + 0.134), (x, y + 0.08)])
    stripes += [[(0, y), (0.9, y), (0.9, y + 0.024), (0, y + 0.024)] for y in np.arange(0.68, 0.94, 0.06)]
    pen.stencil(stripes, NEAR_BLACK)
    pen.ellipse(0.93 + hx, 0.285 + hy, 0.035, 0.03, (40, 36, 36))
    _equid_face(pen, hx, hy, NEAR_BLACK)


def _dog(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    def wobble() -> float:
        return rng.uniform(-0.02, 0.02)

    wag = rng.uniform(-0.05, 0.05)
    for x in (0.28, 0.62):
        _leg(pen, x, 0.6, 0.05, 0.034, shade(colour, 0.75), wobble())
    pen.blob(
        [
            (0.14, 0.46),
            (0.04, 0.30 + wag),
            (0.0, 0.14 + wag),
            (0.05, 0.12 + wag),
            (0.09, 0.28 + wag),
            (0.20, 0.42),
        ],
        colour,
    )
    pen.blob(
        [
            (0.12, 0.50),
            (0.2, 0.42),
            (0.45, 0.43),
            (0.6, 0.40),
            (0.70, 0.48),
            (0.70, 0.64),
            (0.5, 0.72),
            (0.3, 0.70),
            (0.16, 0.70),
        ],
        colour,
    )
    pen.blob(
        [
            (0.56, 0.46),
            (0.60, 0.26),
            (0.66, 0.13),
            (0.76, 0.09),
            (0.84, 0.14),
            (0.88, 0.22),
            (0.98, 0.25),
            (0.99, 0.33),
            (0.92, 0.38),
            (0.80, 0.39),
            (0.74, 0.5),
            (0.68, 0.6),
        ],
        colour,
    )
    _leg(pen, 0.20, 0.55, 0.07, 0.036, colour, wobble())
    _leg(pen, 0.68, 0.55, 0.055, 0.036, colour, wobble())
    for x in (0.20, 0.68):
        pen.box(x - 0.04, 0.94, x + 0.055, 1.0, shade(colour, 0.92), 0.02)
    pen.blob(
        [(0.66, 0.14), (0.60, 0.20), (0.59, 0.36), (0.64, 0.42), (0.70, 0.34), (0.72, 0.18)],
        shade(colour, 0.6),
    )
    pen.box(0.60, 0.47, 0.715, 0.505, (200, 40, 40) if np.mean(colour) < 150 else (40, 80, 190))
    pen.ellipse(0.975, 0.265, 0.025, 0.03, (15, 12, 12))
    pen.ellipse(0.82, 0.20, 0.016, 0.02, (15, 12, 12))


def _ball(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    pen.circle(0.5, 0.5, 0.5, colour)
    turn = rng.uniform(0, np.pi)
    across, along = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])

    def band(centre: float, half: float, bend: float, axis: np.ndarray, other: np.ndarray) -> list:
        t = np.linspace(-0.75, 0.75, 15)[:, None]
        middle = 0.5 + t * other + (centre + bend * t**2) * axis
        edges = np.concatenate([middle - half * axis, (middle + half * axis)[::-1]])
        return [(float(x), float(y)) for x, y in edges]

    pen.stencil([band(0.05, 0.1, -0.35, across, along)], (242, 242, 238))
    pen.stencil([band(0, 0.025, 0.3, along, across)], (40, 40, 44))
    pen.ellipse(0.33, 0.28, 0.1, 0.08, (255, 255, 255), 0.85)


def _house(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    eaves = rng.uniform(0.38, 0.46)
    roof = ((124, 52, 40), (84, 84, 92), (112, 72, 44))[rng.integers(3)]
    if rng.random() < 0.6:
        pen.box(0.68, 0.08, 0.78, 0.4, (140, 84, 70))
    pen.box(0.08, eaves, 0.92, 1, colour)
    for i in range(9):
        pen.box(0.08, eaves + i * 0.065, 0.92, eaves + i * 0.065 + 0.008, shade(colour, 0.86))
    pen.polygon([(0, eaves + 0.02), (0.5, 0.0), (1, eaves + 0.02)], roof)
    pen.polygon(
        [(0.04, eaves + 0.02), (0.5, 0.05), (0.96, eaves + 0.02), (0.96, eaves + 0.05), (0.04, eaves + 0.05)],
        shade(roof, 0.8),
    )
    door = (0.44, 0.2)[rng.integers(2)]
    pen.box(door, 0.66, door + 0.15, 1, (94, 58, 36))
    pen.ellipse(door + 0.12, 0.84, 0.012, 0.012, (220, 190, 80))
    for x in (0.16, 0.68) if door > 0.3 else (0.44, 0.70):
        pen.box(x - 0.015, 0.565, x + 0.175, 0.775, (242, 242, 238))
        pen.box(x, 0.58, x + 0.16, 0.76, (126, 174, 206))
        pen.box(x + 0.073, 0.58, x + 0.087, 0.76, (242, 242, 238))
        pen.box(x, 0.663, x + 0.16, 0.677, (242, 242, 238))


def _tree(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    pen.polygon([(0.44, 0.5), (0.56, 0.5), (0.60, 1), (0.40, 1)], (98, 67, 42))
    pen.polygon([(0.52, 0.5), (0.56, 0.5), (0.60, 1), (0.52, 1)], (74, 50, 32))
    centres = [
        *zip(rng.uniform(0.22, 0.78, 16), rng.uniform(0.18, 0.55, 16), strict=True),
        (0.5, 0.3),
        (0.35, 0.4),
        (0.65, 0.4),
    ]
    for brightness, shift in ((0.62, 0.02), (0.85, 0), (1.05, -0.02), (1.25, -0.035)):
        for x, y in centres:
            radius = rng.uniform(0.10, 0.17) * (1 if brightness < 1 else 0.62)
            aside = radius * pen.aspect
            leaves = shade(jitter(rng, colour, 8), brightness)
            pen.circle(np.clip(x + shift, aside, 1 - aside), max(y + shift * 1.2, radius + 0.01), radius, leaves)


def _bus(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    glass = GLASS if rng.random() < 0.7 else (70, 88, 106)
    pen.box(0.01, 0.03, 0.99, 0.86, colour, 0.09)
    pen.box(0.02, 0.05, 0.98, 0.12, shade(colour, 1.25), 0.04)
    pen.box(0.01, 0.62, 0.99, 0.68, (240, 240, 236))
    pen.box(0.01, 0.78, 0.99, 0.86, shade(colour, 0.6))
    count = rng.integers(4, 6)
    step = 0.66 / count
    for i in range(count):
        x = 0.04 + i * step
        pen.box(x, 0.18, x + step - 0.025, 0.52, glass, 0.03)
        pen.polygon([(x + 0.01, 0.5), (x + 0.04, 0.2), (x + 0.065, 0.2), (x + 0.035, 0.5)], shade(glass, 1.14))
    pen.box(0.72, 0.18, 0.83, 0.82, shade(glass, 0.82), 0.02)
    pen.box(0.77, 0.18, 0.778, 0.82, shade(colour, 0.7))
    pen.box(0.86, 0.18, 0.985, 0.56, glass, 0.04)
    pen.ellipse(0.975, 0.72, 0.015, 0.04, LAMP)
    pen.ellipse(0.02, 0.72, 0.012, 0.04, (226, 40, 30))
    for x in (0.2, 0.62):
        _wheel(pen, x, 0.15)


def _bar(pen: Pen, start: tuple[float, float], end: tuple[float, float], half: float, colour: Colour) -> None:
    """A straight tube whose half-width `half` is a fraction of the sheet's width."""
    (x0, y0), (x1, y1) = start, end
    along = np.array([x1 - x0, (y1 - y0) * pen.aspect])
    across = np.array([-along[1], along[0]]) / np.hypot(*along) * half
    dx, dy = across[0], across[1] / pen.aspect
    pen.polygon([(x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)], colour)


def _bicycle(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    radius = 0.335
    reach = radius * pen.aspect  # the same radius along x
    back, front = (reach + 0.005, 1 - radius), (1 - reach - 0.005, 1 - radius)
    turn = rng.uniform(0, np.pi / 4)
    for x, y in (back, front):
        pen.circle(x, y, radius, NEAR_BLACK)
        pen.circle(x, y, radius * 0.8, (206, 208, 210))
        for angle in turn + np.arange(4) * np.pi / 4:
            dx, dy = 0.78 * reach * np.cos(angle), 0.78 * radius * np.sin(angle)
            _bar(pen, (x - dx, y - dy), (x + dx, y + dy), 0.007, (120, 122, 126))
        pen.circle(x, y, radius * 0.14, (70, 72, 78))
    pedal, saddle, head = (0.46, 0.72), (0.37, 0.2), (0.72, 0.22)
    for start, end in (
        (back, pedal), (back, (0.385, 0.3)), (saddle, pedal), (pedal, (0.725, 0.32)), ((0.39, 0.32), (0.72, 0.28)),
        (head, front), (head, (0.705, 0.06)),
    ):  # fmt: skip
        _bar(pen, start, end, 0.022, colour)
    pen.blob([(0.27, 0.13), (0.36, 0.11), (0.46, 0.15), (0.45, 0.2), (0.36, 0.22), (0.28, 0.22)], (46, 34, 30))
    _bar(pen, (0.66, 0.07), (0.81, 0.05), 0.026, (46, 34, 30))
    pen.circle(*pedal, 0.09, (90, 92, 98))
    _bar(pen, pedal, (0.51, 0.88), 0.016, (60, 62, 66))
    pen.box(0.47, 0.86, 0.57, 0.91, (40, 40, 44))


def _cow(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    patch = NEAR_BLACK if np.mean(colour) > 150 else (232, 228, 220)
    nod = rng.uniform(-0.02, 0.05)
    for x in (0.25, 0.61):
        _leg(pen, x + rng.uniform(-0.02, 0.02), 0.6, 0.05, 0.032, shade(colour, 0.74), rng.uniform(-0.01, 0.01))
    _bar(pen, (0.08, 0.26), (0.045, 0.62), 0.012, shade(colour, 0.85))
    pen.ellipse(0.045, 0.66, 0.022, 0.06, shade(patch, 0.9))
    pen.blob([(0.45, 0.66), (0.47, 0.78), (0.53, 0.79), (0.56, 0.66)], (232, 160, 156))
    body = [(0.06, 0.3), (0.09, 0.2), (0.3, 0.17), (0.55, 0.18), (0.72, 0.14), (0.80, 0.2), (0.79, 0.42), (0.74, 0.58),
            (0.66, 0.69), (0.4, 0.72), (0.16, 0.68), (0.08, 0.55)]  # fmt: skip
    pen.blob(body, colour)
    spots = []
    for x in (0.2, 0.42, 0.6):
        x, y, size = x + rng.uniform(-0.05, 0.05), rng.uniform(0.28, 0.56), rng.uniform(0.06, 0.1)
        angles = np.linspace(0, 2 * np.pi, 9, endpoint=False)
        reach = size * rng.uniform(0.75, 1.3, 9)
        spots.append(
            smooth([(x + r * np.cos(a), y + 1.5 * r * np.sin(a)) for a, r in zip(angles, reach, strict=True)], 4)
        )
    pen.stencil(spots, patch)
    for x in (0.17, 0.70):
        _leg(pen, x + rng.uniform(-0.02, 0.02), 0.55, 0.055, 0.034, colour, rng.uniform(-0.01, 0.01))
        pen.box(x - 0.04, 0.94, x + 0.045, 1.0, (44, 38, 36), 0.01)
    for x in (0.79, 0.90):
        pen.blob([(x, 0.13 + nod), (x - 0.01, 0.04 + nod), (x + 0.015, 0.01 + nod), (x + 0.02, 0.06 + nod),
                  (x + 0.025, 0.13 + nod)], (216, 204, 176))  # fmt: skip
    pen.blob([(0.72, 0.16 + nod), (0.66, 0.14 + nod), (0.67, 0.22 + nod), (0.75, 0.24 + nod)], shade(colour, 0.7))
    head = [(0.74, 0.14), (0.84, 0.09), (0.91, 0.13), (0.95, 0.28), (0.985, 0.38), (0.96, 0.46), (0.88, 0.46),
            (0.82, 0.36), (0.75, 0.34)]  # fmt: skip
    pen.blob([(x, y + nod) for x, y in head], colour)
    pen.blob([(0.89, 0.33 + nod), (0.96, 0.32 + nod), (0.99, 0.40 + nod), (0.96, 0.47 + nod), (0.89, 0.46 + nod)],
             (232, 176, 164))  # fmt: skip
    pen.ellipse(0.96, 0.38 + nod, 0.009, 0.014, (90, 50, 50))
    pen.ellipse(0.865, 0.22 + nod, 0.013, 0.02, (15, 12, 12))


def _cat(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    """It sits and looks at the viewer, its tail to one side."""
    dark, light = shade(colour, 0.68), shade(colour, 1.3) if np.mean(colour) > 60 else (84, 82, 88)
    curl, nod = rng.uniform(-0.04, 0.04), rng.uniform(-0.02, 0.02)
    pen.blob([(0.66, 0.9), (0.86, 0.86), (0.87, 0.66), (0.84 + curl, 0.52), (0.92 + curl, 0.45), (0.98, 0.56),
              (0.99, 0.8), (0.92, 0.96), (0.7, 0.99)], dark)  # fmt: skip
    pen.blob([(0.3, 0.42), (0.5, 0.38), (0.68, 0.42), (0.78, 0.66), (0.82, 0.88), (0.74, 0.99), (0.22, 0.99),
              (0.12, 0.9), (0.16, 0.66)], colour)  # fmt: skip
    pen.blob([(0.38, 0.5), (0.56, 0.5), (0.6, 0.7), (0.5, 0.82), (0.36, 0.72)], light)
    for side in (-1, 1):
        ear = [(0.47 + side * 0.09, 0.15), (0.47 + side * 0.27, 0.0), (0.47 + side * 0.29, 0.24)]
        pen.polygon([(x, y + nod + 0.02) for x, y in ear], colour)
        inner = [(0.47 + side * 0.15, 0.14), (0.47 + side * 0.25, 0.06), (0.47 + side * 0.26, 0.19)]
        pen.polygon([(x, y + nod + 0.02) for x, y in inner], (226, 150, 150))
    pen.ellipse(0.47, 0.30 + nod, 0.31, 0.185, colour)
    pen.ellipse(0.47, 0.385 + nod, 0.13, 0.075, light)
    for side in (-1, 1):
        pen.ellipse(0.47 + side * 0.14, 0.285 + nod, 0.055, 0.045, (190, 214, 90))
        pen.ellipse(0.47 + side * 0.14, 0.285 + nod, 0.018, 0.042, (14, 14, 14))
        for y in (0.37, 0.40):
            _bar(pen, (0.47 + side * 0.1, y + nod), (0.47 + side * 0.3, y + nod - 0.01), 0.005, (246, 246, 242))
    pen.polygon([(0.43, 0.345 + nod), (0.51, 0.345 + nod), (0.47, 0.38 + nod)], (206, 110, 112))
    for x in (0.36, 0.58):
        pen.box(x - 0.075, 0.62, x + 0.075, 0.99, shade(colour, 0.94), 0.05)
        pen.ellipse(x, 0.95, 0.095, 0.048, light)
    if rng.random() < 0.5:
        pen.stencil([[(0.44, 0.1), (0.5, 0.1), (0.48, 0.22), (0.46, 0.22)], [(0.1, 0.66), (0.27, 0.7), (0.1, 0.74)],
                     [(0.1, 0.79), (0.28, 0.82), (0.1, 0.86)]], dark)  # fmt: skip


def _boat(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    lean = rng.uniform(-0.02, 0.02)
    mast = 0.47
    pen.box(mast - 0.014, 0.02, mast + 0.014, 0.76, (110, 78, 50))
    sail = ((244, 242, 234), (240, 226, 190), (226, 234, 242))[rng.integers(3)]
    pen.blob([(mast + 0.03, 0.05), (mast + 0.1 + lean, 0.2), (0.8 + lean, 0.52), (0.86 + lean, 0.67),
              (mast + 0.03, 0.68), (mast + 0.03, 0.4)], sail)  # fmt: skip
    pen.blob([(mast - 0.03, 0.1), (mast - 0.03, 0.4), (mast - 0.03, 0.67), (0.13 + lean, 0.67), (0.27 + lean, 0.44)],
             shade(sail, 0.88))  # fmt: skip
    for y in (0.3, 0.48):
        _bar(pen, (mast + 0.03, y), (mast + (0.15 if y < 0.4 else 0.27) + lean, y + 0.02), 0.006, shade(sail, 0.74))
    flag = (210, 50, 44) if colour[2] > colour[0] else (40, 80, 190)
    pen.polygon([(mast, 0.0), (mast + 0.13, 0.03), (mast, 0.065)], flag)
    pen.polygon([(0.01, 0.72), (0.99, 0.70), (0.93, 0.86), (0.86, 0.99), (0.2, 0.99), (0.09, 0.88)], colour)
    pen.polygon([(0.01, 0.72), (0.99, 0.70), (0.975, 0.745), (0.025, 0.765)], (244, 242, 236))
    pen.polygon([(0.13, 0.91), (0.905, 0.91), (0.86, 0.99), (0.2, 0.99)], shade(colour, 0.62))
    for x in (0.3, 0.5, 0.7):
        pen.circle(x, 0.83, 0.03, (244, 242, 236))
        pen.circle(x, 0.83, 0.019, (60, 84, 110))


KINDS = {
    "car": Kind(
        _car, ("red", "blue", "green", "yellow", "white", "black", "orange", "purple"), (0.27, 0.90), (0.40, 0.48)
    ),
    "truck": Kind(_truck, ("red", "blue", "green", "yellow", "white", "orange"), (0.25, 0.92), (0.50, 0.58)),
    "bus": Kind(_bus, ("red", "blue", "green", "yellow", "white", "orange"), (0.25, 0.94), (0.44, 0.52)),
    "bicycle": Kind(_bicycle, ("red", "blue", "green", "yellow", "black", "orange"), (0.28, 0.80), (0.60, 0.66)),
    "horse": Kind(_horse, ("brown", "white", "black"), (0.26, 0.80), (0.82, 0.92)),
    "zebra": Kind(_zebra, (), (0.26, 0.80), (0.82, 0.92)),
    "cow": Kind(_cow, ("brown", "white", "black"), (0.26, 0.84), (0.68, 0.76)),
    "dog": Kind(_dog, ("brown", "white", "black"), (0.25, 0.74), (0.80, 0.90)),
    "cat": Kind(_cat, ("orange", "white", "black", "brown"), (0.19, 0.62), (1.10, 1.25)),
    "ball": Kind(_ball, ("red", "blue", "green", "yellow", "orange", "purple"), (0.16, 0.70), (1, 1)),
    "house": Kind(_house, ("red", "white", "yellow", "blue"), (0.25, 0.86), (0.85, 1.0)),
    "tree": Kind(_tree, ("green", "orange"), (0.20, 0.62), (1.25, 1.5)),
    "boat": Kind(_boat, ("red", "blue", "green", "white", "orange"), (0.24, 0.76), (0.95, 1.08)),
}
