"""What the model gets of a photo, and how its picture comes back without touching anything else.

Knows arrays only. The inpainting model works at its own size and returns a whole picture, changed
everywhere by its autoencoder; `paste` takes from it only what the mask asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from darkroom.imaging.bands import bands, by_bands
from darkroom.imaging.crops import Crop


@dataclass(frozen=True)
class WorkingCrop:
    """A part of a photo at the size at which the model works on it.

    Attributes:
        image: (h, w, 3) uint8 RGB.
        mask: (h, w) bool, True where it is repainted: all that will show any new pixel, so that the model sees
            nothing of the old picture in a soft edge.
        change_map: (h, w) float32 in [0, 1], the mask itself; above 0 exactly where `mask` is True.
    """

    image: np.ndarray
    mask: np.ndarray
    change_map: np.ndarray


def to_alpha(mask: np.ndarray) -> np.ndarray:
    """A mask in [0, 1] as the (H, W) uint8 share of new picture, which is all that later steps look at."""
    return by_bands(lambda part: np.rint(part * np.float32(255)).astype(np.uint8), mask)


def fill_alpha(alpha: np.ndarray, repainted: np.ndarray) -> np.ndarray:
    """A photo's alpha where new picture fills what is see-through: the one rule for the alpha of every result.

    A place is as opaque as the photo and the new picture are together: 0 of new picture keeps the alpha as it was, 255
    makes it opaque, and so does a mask that is the photo's own transparency, whose greys are what the photo leaves.

    Args:
        alpha: (H, W) uint8 or uint16, the photo's; 0 is see-through.
        repainted: (H, W) uint8, the share of new picture.

    Returns:
        As `alpha`.
    """
    full = np.iinfo(alpha.dtype).max

    def opaque(alpha: np.ndarray, repainted: np.ndarray) -> np.ndarray:
        return alpha + np.minimum(full - alpha, repainted * alpha.dtype.type(full // 255))

    return by_bands(opaque, alpha, repainted)


def flatten(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """A picture as it shows on white paper, (H, W, 3) uint8: colours hidden in see-through places do not.

    Args:
        image: (H, W, 3) uint8.
        alpha: (H, W) uint8; 0 is see-through.
    """

    def seen(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        share = alpha[..., None].astype(np.uint16)
        return ((image * share + (255 - share) * 255 + 127) // 255).astype(np.uint8)

    return by_bands(seen, image, alpha)


def inward_ramp(alpha: np.ndarray, width: float) -> np.ndarray:
    """Wholly new wherever alpha is not 0, but for a linear ramp of `width` px along the edge, inside it.

    The photo's border is no edge. What is 0 stays 0, so all outside stays untouched.

    Args:
        alpha: (H, W) uint8.
        width: 0 to 250 px; 0 is no ramp.
    """
    depth = cv2.distanceTransform((alpha > 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return by_bands(lambda part: to_alpha(np.minimum(part / np.float32(width + 1), 1)), depth)


def to_working_crop(image: np.ndarray, alpha: np.ndarray, crop: Crop) -> WorkingCrop:
    """What the model gets. Resized bilinearly, a mask has some share of all working pixels that hold some of it.

    Args:
        image: (H, W, 3) uint8.
        alpha: (H, W) uint8.
        crop: which part of them.
    """
    size = crop.width, crop.height
    picture = Image.fromarray(image[crop.slices]).resize(size, Image.Resampling.LANCZOS)
    share = Image.fromarray(alpha[crop.slices] / np.float32(255)).resize(size, Image.Resampling.BILINEAR)
    change_map = np.asarray(share)
    return WorkingCrop(np.asarray(picture), change_map > 0, change_map)


def paste(
    image: np.ndarray, alpha: np.ndarray, crop: Crop, picture: np.ndarray, opacity: np.ndarray | None = None
) -> np.ndarray:
    """A copy of the image with the model's picture blended in by alpha; where alpha is 0 not a bit differs.

    What is see-through counts for no more than it shows, so that no hidden colour gets into a soft edge.

    Args:
        image: (H, W, 3) uint8.
        alpha: (H, W) uint8; 0 keeps the image, 255 takes the picture.
        crop: where the picture belongs.
        picture: (height, width, 3) uint8 at the crop's working size.
        opacity: (H, W) uint8, the image's own alpha; None for an opaque one.
    """
    new, size = picture, (crop.x1 - crop.x0, crop.y1 - crop.y0)
    if picture.shape[1::-1] != size:
        new = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
    result = image.copy()
    for rows in bands(*new.shape[:2]):
        place = slice(crop.y0 + rows.start, crop.y0 + rows.stop), crop.slices[1]
        shown = None if opacity is None else opacity[place]
        result[place] = _blended(image[place], alpha[place], new[rows], shown)
    return result


def _blended(old: np.ndarray, alpha: np.ndarray, new: np.ndarray, opacity: np.ndarray | None) -> np.ndarray:
    """See `paste`: whole numbers give back the old value exactly where alpha is 0."""
    share = alpha[..., None].astype(np.uint16)
    if opacity is None:
        # 255 * 255 + 127 fits into 16 bits.
        return (old * (255 - share) + new * share + 127) // 255
    # Porter and Duff's `over` for coverages that overlap as little as they can (XRender: DisjointOver)
    kept = np.where(share > 0, np.minimum(opacity[..., None], 255 - share), 1)
    return (old * kept + new * share + (kept + share) // 2) // (kept + share)
