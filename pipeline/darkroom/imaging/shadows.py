"""How dark the ground is under and beside a thing that stands on it, from the thing's outline. Arrays only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from darkroom.imaging.masks import to_float

_SIDE = 1600  # px: shadows are drawn at most this large, and enlarged; they are soft
_SOLID = 0.5  # share of a pixel from which it belongs to the outline
_SPECK = 0.01  # share of the largest part's area; a smaller part does not say where the ground is
_SLOPE = 0.25  # steepest rise of the ground per px to the side; what rises more, such as a bumper, does not stand on it
_FLAT = 0.12  # least height of a cast shadow by its length: the ground is seen from a little above
_AMBIENT, _WIDER = 0.5, 6  # darkness and reach of the wide part of a contact shadow, next to the narrow one
_LEVELS = 6  # of blur, from the foot of the shadow to its far end
_WIDE_BLUR = 16  # px, the largest sigma of a blur at full size
_FADE = 0.55  # share of its strength that a cast shadow has lost at its far end


@dataclass(frozen=True)
class Light:
    """How a shadow falls.

    Attributes:
        direction: where the shadow falls in the picture, in degrees clockwise: 0 is up, 90 right, 180 down.
        length: of the shadow, as a share of the height of what casts it.
        softness: sigma of the blur at the far end of the shadow, as a share of that height.
        strength: darkness of the shadow at its foot, 0 to 1.
        contact: darkness of the ground where it is touched, 0 to 1.
        contact_size: how far that reaches, as a share of the height.
    """

    direction: float
    length: float
    softness: float
    strength: float
    contact: float
    contact_size: float


def shadow(subject: np.ndarray, light: Light) -> np.ndarray | None:
    """The darkness of the ground, (h, w) float32 from 0 to 1; None where there is no subject.

    Args:
        subject: (H, W) uint8, the share of the subject in each pixel.
        light: how the shadow falls.

    Returns:
        At the size of `subject`, or smaller, in the same shape: at most `_SIDE` px long.
    """
    outline = _reduced(subject)
    solid = _without_specks(outline >= _SOLID)
    if not solid.any():
        return None
    lit = np.ones_like(outline)
    for columns in _things(solid):
        own = np.zeros_like(outline), np.zeros_like(solid)
        own[0][:, columns], own[1][:, columns] = outline[:, columns], solid[:, columns]
        window, darkness = _shadow_of_one(*own, light)
        lit[window] *= 1 - darkness
    return 1 - lit


def _shadow_of_one(outline: np.ndarray, solid: np.ndarray, light: Light) -> tuple[tuple[slice, slice], np.ndarray]:
    """The window in which a thing darkens the ground, and how much, float32.

    Args:
        outline: (h, w) float32, 0 away from the thing.
        solid: (h, w) bool, likewise.
        light: see `shadow`.
    """
    x0, y0, width, height = cv2.boundingRect(solid.astype(np.uint8))
    reach = math.ceil(height * (light.length + 4 * light.softness + 4 * _WIDER * light.contact_size)) + 4
    window = slice(max(y0 - reach, 0), y0 + height + reach), slice(max(x0 - reach, 0), x0 + width + reach)
    outline, solid = outline[window], solid[window]
    ground = _ground_line(solid)
    rows = np.arange(len(solid), dtype=np.float32)[:, None]
    tall = float((ground - rows)[solid].max())
    touched = _contact(solid, ground, tall * light.contact_size)
    return window, 1 - (1 - _cast(outline, ground, tall, light)) * (1 - light.contact * touched)


def _things(solid: np.ndarray) -> Iterator[slice]:
    """The columns of each thing in an outline, (h, w) bool: things that stand side by side have their own ground.

    The empty columns between two things are halved, so that all columns belong to one.
    """
    filled = np.flatnonzero(solid.any(axis=0))
    gaps = np.flatnonzero(np.diff(filled) > 1)
    borders = [0, *((filled[gaps] + filled[gaps + 1]) // 2 + 1).tolist(), solid.shape[1]]
    yield from (slice(start, stop) for start, stop in pairwise(borders))


def _reduced(subject: np.ndarray) -> np.ndarray:
    """The subject as float32 from 0 to 1, its longer side `_SIDE` px at most."""
    height, width = subject.shape
    scale = min(1.0, _SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return to_float(np.asarray(cv2.resize(subject, size, interpolation=cv2.INTER_AREA)))


def _without_specks(solid: np.ndarray) -> np.ndarray:
    """An outline, (h, w) bool, without regions smaller than `_SPECK` of its largest one."""
    _, regions, stats, _ = cv2.connectedComponentsWithStats(solid.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0  # the background
    kept = areas >= max(1, _SPECK * areas.max())
    return np.asarray(kept[regions])


def _feet(solid: np.ndarray) -> np.ndarray:
    """The lower edge of an outline in each column, (w,) float in rows; -inf in columns without it."""
    bottom = len(solid) - 0.5 - np.argmax(solid[::-1], axis=0)
    return np.where(solid.any(axis=0), bottom, -np.inf)


def _ground_line(solid: np.ndarray) -> np.ndarray:
    """Where the ground is in each column, (w,) float32 in rows: a board that is pressed against the outline from below.

    That is the lower convex hull of the outline, as far as it rises by at most `_SLOPE`; to the sides it goes on level.
    So it runs through the points where wheels and feet touch the ground, also if one is nearer than the other.
    """
    feet = _feet(solid)
    columns = np.flatnonzero(np.isfinite(feet))
    hull: list[tuple[int, float]] = []
    for x, y in zip(columns.tolist(), feet[columns].tolist(), strict=True):
        while len(hull) > 1 and _rise(hull[-2], hull[-1]) <= _rise(hull[-2], (x, y)):
            hull.pop()
        hull.append((x, y))
    lowest = max(range(len(hull)), key=lambda index: hull[index][1])
    first = last = lowest
    while first > 0 and _rise(hull[first - 1], hull[first]) <= _SLOPE:
        first -= 1
    while last + 1 < len(hull) and -_rise(hull[last], hull[last + 1]) <= _SLOPE:
        last += 1
    touching = np.array(hull[first : last + 1], np.float64)
    return np.asarray(np.interp(np.arange(solid.shape[1]), *touching.T), np.float32)


def _rise(one: tuple[int, float], other: tuple[int, float]) -> float:
    return (other[1] - one[1]) / (other[0] - one[0])


def _cast(outline: np.ndarray, ground: np.ndarray, height: float, light: Light) -> np.ndarray:
    """The shadow that the outline casts on the ground, (h, w) float32.

    A point of the outline that is `z` px above the ground line falls `z * length` px away from the line, in the
    direction of the shadow.
    """
    if light.length == 0 or light.strength == 0:
        return np.zeros_like(outline)
    right = light.length * math.sin(math.radians(light.direction))
    up = math.cos(math.radians(light.direction))
    up = light.length * math.copysign(max(abs(up), _FLAT), up)
    rows, columns = np.indices(outline.shape, np.float32)
    above = (ground - rows) / np.float32(up)
    x = columns - above * np.float32(right)
    y = np.interp(x, np.arange(len(ground)), ground).astype(np.float32) - above
    y[above < 0] = -10  # beyond the picture
    sharp = cv2.GaussianBlur(outline, (0, 0), sigmaX=1e-3, sigmaY=0.5 / min(abs(up), 1))
    fallen = cv2.remap(sharp, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    far = np.clip(above / height, 0, 1)
    soft = _blurred_by_distance(fallen, far, light.softness * height)
    return np.asarray(soft * (light.strength * (1 - _FADE * far)))


def _blurred_by_distance(picture: np.ndarray, far: np.ndarray, sigma: float) -> np.ndarray:
    """A picture, (h, w) float32, blurred by up to `sigma` px where `far` is 1, and hardly where it is 0."""
    result = np.zeros_like(picture)
    place = far * (_LEVELS - 1)
    for level in range(_LEVELS):
        own = max(sigma * level / (_LEVELS - 1), 0.7)
        result += _blurred(picture, own) * np.maximum(1 - np.abs(place - level), 0)
    return result


def _blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur of a picture, (h, w) float32; a wide one is made on a reduced copy, where it costs little."""
    (height, width), scale = picture.shape, min(1.0, _WIDE_BLUR / sigma)
    if scale == 1:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))
    small = cv2.resize(
        picture, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    small = cv2.GaussianBlur(small, (0, 0), _WIDE_BLUR, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def _contact(solid: np.ndarray, ground: np.ndarray, size: float) -> np.ndarray:
    """How much the outline hides the sky from the ground, (h, w) float32 from 0 to 1: most where it touches the ground.

    Args:
        solid: the outline, (h, w) bool.
        ground: see `_ground_line`.
        size: px; see `_touched`.
    """
    narrow = _touched(solid, ground, max(size, 0.5))
    wide = _touched(solid, ground, max(size * _WIDER, 0.5))
    return np.asarray(1 - (1 - narrow) * (1 - _AMBIENT * wide))


def _touched(solid: np.ndarray, ground: np.ndarray, size: float) -> np.ndarray:
    """1 where the outline touches the ground, (h, w) float32; about a third `size` px above or beside such a place."""
    clearance = np.maximum(ground - _feet(solid), 0)
    near = np.exp(-clearance / size, dtype=np.float32)[None]
    near = cv2.GaussianBlur(near, (0, 0), size / 2, borderType=cv2.BORDER_REPLICATE)
    below = np.arange(len(solid), dtype=np.float32)[:, None] - ground
    reach = np.where(below > 0, np.float32(size / 3), np.float32(size))  # it stands on the line, and behind it
    return np.asarray(near * np.exp(-((below / reach) ** 2) / 2, dtype=np.float32))
