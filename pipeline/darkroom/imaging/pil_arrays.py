"""Pillow images as arrays, with as few copies of large pictures as possible."""

from __future__ import annotations

import numpy as np
from PIL import Image

from darkroom.imaging.bands import bands


def to_array(image: Image.Image) -> np.ndarray:
    """The pixels of an image, (H, W) or (H, W, C) uint8; `np.asarray` alone would copy all of them twice on the way."""
    channels = len(image.getbands())
    result = np.empty((image.height, image.width, channels)[: 2 + (channels > 1)], np.uint8)
    for rows in bands(image.height, image.width):
        result[rows] = np.asarray(image.crop((0, rows.start, image.width, rows.stop)))
    return result


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    """The image itself where it has that mode; `Image.convert` would copy it."""
    return image if image.mode == mode else image.convert(mode)
