"""The two pictures that meet in the soft edge of a mask, unmixed. Arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from darkroom.imaging.bands import by_bands

LayerSide = Literal["inside", "outside"]
"""The attributes of `Layers`, by which its files are named."""


@dataclass(frozen=True)
class Layers:
    """The colours on both sides of a mask, in its band: the pixels where 0 < mask < 255.

    With the mask m as a share from 0 to 1, a pixel of the band is (1 - m) x outside + m x inside. A new picture can
    then be blended with the colours of one side alone, and the other side does not shine through.

    Attributes:
        inside: (H, W, 3) uint8 RGB, the colours of what the mask covers; black outside the band.
        outside: (H, W, 3) uint8 RGB, the colours of everything else; black outside the band.
    """

    inside: np.ndarray
    outside: np.ndarray

    def swapped(self) -> Layers:
        """The layers of the inverted mask."""
        return Layers(inside=self.outside, outside=self.inside)


def in_band(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A copy of a picture, (H, W, 3), that is black outside the band of a mask, (H, W) uint8."""
    return by_bands(lambda pixels, mask: pixels * is_band(mask)[..., None], picture, mask)


def with_band(picture: np.ndarray, colours: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A picture with other colours in the band of a mask.

    Args:
        picture: (H, W, 3) uint8.
        colours: (H, W, 3) uint8, such as `Layers.outside`.
        mask: (H, W) uint8.

    Returns:
        (H, W, 3) uint8, a new array; outside the band every bit is the picture's.
    """
    return by_bands(lambda *rows: np.where(is_band(rows[2])[..., None], rows[1], rows[0]), picture, colours, mask)


def is_band(mask: np.ndarray) -> np.ndarray:
    """Where a mask, (H, W) uint8, is neither black nor white, (H, W) bool."""
    return (mask > 0) & (mask < 255)
