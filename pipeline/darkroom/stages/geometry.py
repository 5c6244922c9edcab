"""Converts the clicks and boxes of a recipe to pixels of a photo.

Pixel (0, 0) is top left. A point names a pixel; a box names edges, so [0, 0, width, height] is the whole photo.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from darkroom.errors import PhotoError
from darkroom.stages.fields import Box, Point, Units


def check_fractions(units: Units, *shapes: Sequence[Point] | Sequence[Box]) -> None:
    """Refuse fractions above 1. Raises `ValueError`, which pydantic reports."""
    for shape in (shape for several in shapes for shape in several):
        if units == "fraction" and max(shape) > 1:
            raise ValueError(f"{list(shape)}: fractions of the photo's size go from 0 to 1")


def points_in_pixels(points: Sequence[Point], units: Units, size: tuple[int, int]) -> np.ndarray:
    """Clicks as (N, 2) float64 pixel coordinates; the fraction 1 means the last pixel.

    Args:
        points: as the recipe gives them.
        units: of the clicks.
        size: (width, height) of the photo in pixels.

    Raises:
        PhotoError: a click lies outside the photo.
    """
    array = np.array(points, float).reshape(-1, 2)
    if units == "fraction":
        return np.asarray(np.minimum(array * size, np.array(size) - 1.0))
    for x, y in array[(array >= size).any(axis=1)]:
        raise PhotoError(f"the click [{x:g}, {y:g}] lies outside the photo, which is {_text(size)}")
    return array


def box_in_pixels(box: Box, units: Units, size: tuple[int, int]) -> np.ndarray:
    """A box as (4,) float64 [x0, y0, x1, y1] in pixels.

    Args:
        box: as the recipe gives it.
        units: of the box.
        size: (width, height) of the photo in pixels.

    Raises:
        PhotoError: the box reaches outside the photo.
    """
    array = np.array(box, float)
    if units == "fraction":
        return np.asarray(array * (size + size))
    if (array > size + size).any():
        raise PhotoError(
            f"the box [{', '.join(f'{v:g}' for v in box)}] reaches outside the photo, which is {_text(size)}"
        )
    return array


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} px"
