"""Which part of a photo the model sees, and how its picture comes back without touching anything else.

Knows arrays only. The inpainting model works at its own size and returns a whole picture, changed
everywhere by its autoencoder; `paste` takes from it only what the mask asks for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipeline.errors import PhotoError

# Longest shape that SDXL was trained on: 512 x 2048 (Podell et al., arXiv 2307.01952, appendix I). A crop
# grows to it where the photo has room.
TRAINED_ASPECT = 4
# A judgement: beyond this a working picture gets too narrow to show anything, so the photo is refused.
LARGEST_ASPECT = 8
# A judgement: enlarged more than so many times a crop is blur, and the model better sees more surroundings.
LARGEST_ENLARGEMENT = 4


@dataclass(frozen=True)
class Crop:
    """A part of a photo, and the size at which the model works on it.

    Attributes:
        x0, y0, x1, y1: edges in pixels of the photo, x1 and y1 exclusive; always inside it.
        width, height: of the working picture, in pixels.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the part in an (H, W, ...) array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


def to_alpha(mask: np.ndarray) -> np.ndarray:
    """A mask in [0, 1] as the (H, W) uint8 share of new picture, which is all that later steps look at."""
    return np.rint(mask * np.float32(255)).astype(np.uint8)


def plan_crop(alpha: np.ndarray, context: float | None, native: int, multiple: int) -> Crop:
    """The part of the photo to work on: the box of what is to be repainted, and its surroundings.

    The working picture has the part's shape and about `native` squared pixels. Rounding its sides to
    `multiple` stretches it by at most half a multiple per side.

    Args:
        alpha: (H, W) uint8, not 0 everywhere.
        context: factor of 1 or more by which the part exceeds the box; None for the whole photo.
        native: side in pixels of the square pictures that the model was trained on.
        multiple: of which the sides of the working picture must be.

    Raises:
        PhotoError: the part is more than `LARGEST_ASPECT` times as long as wide, and the photo has no room.
    """
    size = np.array(alpha.shape)
    start, stop = (np.zeros(2, int), size) if context is None else _box(alpha)
    wanted = (stop - start) * (context or 1.0)
    wanted = np.maximum(wanted, min(native / LARGEST_ENLARGEMENT, *size))
    wanted = np.maximum(wanted, wanted.max() / TRAINED_ASPECT)
    sides = np.minimum(np.ceil(wanted).astype(int), size)
    if sides.max() > LARGEST_ASPECT * sides.min():
        raise PhotoError(
            f"the part to repaint is {sides[1]} x {sides[0]} px, more than {LARGEST_ASPECT} times as long as "
            "wide; the model knows no such pictures: crop the photo"
        )
    y0, x0 = np.clip(np.rint((start + stop - sides) / 2).astype(int), 0, size - sides).tolist()
    rows, columns = sides.tolist()
    height, width = (_working_side(side, native / math.sqrt(rows * columns), multiple) for side in (rows, columns))
    return Crop(x0, y0, x0 + columns, y0 + rows, width, height)


def cut(image: np.ndarray, alpha: np.ndarray, crop: Crop) -> tuple[np.ndarray, np.ndarray]:
    """What the model gets: the part of the picture at working size, and where to repaint it.

    All that will show any new pixel is to be repainted, so that the model sees nothing of the old picture in
    a soft edge. Resized bilinearly, any share above 0 counts: such a working pixel holds some of it too.

    Args:
        image: (H, W, 3) uint8.
        alpha: (H, W) uint8.

    Returns:
        (height, width, 3) uint8, (height, width) bool.
    """
    size = crop.width, crop.height
    picture = Image.fromarray(image[crop.slices]).resize(size, Image.Resampling.LANCZOS)
    hard = Image.fromarray((alpha[crop.slices] > 0).astype(np.float32))
    return np.asarray(picture), np.asarray(hard.resize(size, Image.Resampling.BILINEAR)) > 0


def paste(image: np.ndarray, alpha: np.ndarray, crop: Crop, picture: np.ndarray) -> np.ndarray:
    """A copy of the image with the model's picture blended in by alpha; where alpha is 0 not a bit differs.

    Args:
        image: (H, W, 3) uint8.
        alpha: (H, W) uint8; 0 keeps the image, 255 takes the picture.
        picture: (height, width, 3) uint8 at the crop's working size.
    """
    part, share = image[crop.slices], alpha[crop.slices][..., None].astype(np.uint16)
    new = Image.fromarray(picture).resize((crop.x1 - crop.x0, crop.y1 - crop.y0), Image.Resampling.LANCZOS)
    result = image.copy()
    # Whole numbers give back the old value exactly where share is 0; 255 * 255 + 127 fits into 16 bits.
    result[crop.slices] = (part * (255 - share) + np.asarray(new) * share + 127) // 255
    return result


def _box(alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = (np.flatnonzero(alpha.any(axis=axis)) for axis in (1, 0))
    return np.array([rows[0], columns[0]]), np.array([rows[-1], columns[-1]]) + 1


def _working_side(side: int, scale: float, multiple: int) -> int:
    return max(1, round(side * scale / multiple)) * multiple
