"""Prepares the crop that the model works on, and blends the model's picture back into the photo.

The model returns a whole picture at its own size, and its autoencoder changes every pixel of it. `paste` takes from
that picture only what the blend mask asks for: where the blend mask is 0, the photo stays as it is, bit for bit.
Arrays only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image

from darkroom.imaging.bands import bands, by_bands
from darkroom.imaging.crops import Crop
from darkroom.imaging.masks import depth_up_to, to_uint8
from darkroom.imaging.reducing import reduced


@dataclass(frozen=True)
class WorkingCrop:
    """A part of a photo and of its mask, resized to the size at which the model works.

    Attributes:
        image: (h, w, 3) uint8 RGB.
        mask: (h, w) bool, True where the model repaints: every pixel that the mask touches at all, so that the model
            sees nothing of the old picture under a soft edge, and what `to_working_crop` adds around them.
        change_map: (h, w) float32 in [0, 1], the mask itself; above 0 only where `mask` is True.
        controls: control pictures by name, (h, w) or (h, w, 3) uint8.
        references: pictures that what is painted should resemble, (height, width, 3) uint8 of any size.
    """

    image: np.ndarray
    mask: np.ndarray
    change_map: np.ndarray
    controls: Mapping[str, np.ndarray] = field(default_factory=dict)
    references: tuple[np.ndarray, ...] = ()


def fill_alpha(alpha: np.ndarray, repainted: np.ndarray) -> np.ndarray:
    """The alpha of a result: the photo's alpha plus the share of the new picture, at most opaque.

    Where nothing was repainted the alpha stays; where the new picture shows fully the result is opaque. A mask made
    from the photo's own transparency (255 - alpha) makes the whole result opaque.

    Args:
        alpha: (H, W) uint8 or uint16, the photo's; 0 is transparent.
        repainted: (H, W) uint8, the share of the new picture.

    Returns:
        As `alpha`.
    """
    opaque = np.iinfo(alpha.dtype).max

    def fill(alpha: np.ndarray, repainted: np.ndarray) -> np.ndarray:
        filled: np.ndarray = alpha + np.minimum(opaque - alpha, repainted * alpha.dtype.type(opaque // 255))
        return filled

    return by_bands(fill, alpha, repainted)


def flatten(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """A picture over white, (H, W, 3) uint8; colours under transparent pixels do not show.

    Args:
        image: (H, W, 3) uint8.
        alpha: (H, W) uint8; 0 is transparent.
    """

    def over_white(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        share = alpha[..., None].astype(np.uint16)
        return ((image * share + (255 - share) * 255 + 127) // 255).astype(np.uint8)

    return by_bands(over_white, image, alpha)


def inward_ramp(mask: np.ndarray, width: float) -> np.ndarray:
    """A blend mask, (H, W) uint8: 255 wherever the mask is above 0, with an inward linear ramp of `width` px.

    The photo's border is no edge. Where the mask is 0 the blend mask is 0, so everything outside stays untouched.

    Args:
        mask: (H, W) uint8.
        width: 0 to 250 px; 0 is no ramp.
    """
    return by_bands(lambda band: to_uint8(band / np.float32(width + 1)), depth_up_to(mask > 0, width + 1))


def to_working_crop(image: np.ndarray, mask: np.ndarray, crop: Crop, grow: int = 0) -> WorkingCrop:
    """Cut a crop out of a photo and its mask and resize both for the model.

    Bilinear resizing keeps every working pixel that the mask overlaps above 0.

    Args:
        image: (H, W, 3) uint8.
        mask: (H, W) uint8.
        crop: which part of them.
        grow: px at the working size by which `WorkingCrop.mask` extends beyond the mask.
    """
    size = crop.width, crop.height
    picture = reduced(image[crop.slices], size, Image.Resampling.LANCZOS, gap=3.0)
    change_map = reduced(mask[crop.slices], size, Image.Resampling.BILINEAR, gap=3.0, as_float=True)
    repainted = (change_map > 0).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1, 2 * grow + 1))
    return WorkingCrop(picture, cv2.dilate(repainted, disc) > 0, change_map)


def paste(
    image: np.ndarray, blend_mask: np.ndarray, crop: Crop, picture: np.ndarray, opacity: np.ndarray | None = None
) -> np.ndarray:
    """A copy of the image with the model's picture blended in; where the blend mask is 0, no bit changes.

    A partly transparent pixel of the image counts only as much as it shows, so that hidden colours do not bleed into
    soft edges.

    Args:
        image: (H, W, 3) uint8.
        blend_mask: (H, W) uint8; 0 keeps the image, 255 takes the picture.
        crop: where the picture belongs.
        picture: (height, width, 3) uint8 at the crop's working size.
        opacity: (H, W) uint8, the image's own alpha; None for an opaque image.
    """
    new, result = _resized(picture, (crop.x1 - crop.x0, crop.y1 - crop.y0)), image.copy()
    for rows in bands(*new.shape[:2]):
        place = slice(crop.y0 + rows.start, crop.y0 + rows.stop), crop.slices[1]
        opaque = None if opacity is None else opacity[place]
        result[place] = _blended(image[place], blend_mask[place], new[rows], opaque)
    return result


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture at another (width, height). Lanczos would take ten times as long to enlarge it."""
    width, height = size
    if picture.shape[:2] == (height, width):
        return picture
    if picture.shape[0] <= height and picture.shape[1] <= width:
        return cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def _blended(old: np.ndarray, blend_mask: np.ndarray, new: np.ndarray, opacity: np.ndarray | None) -> np.ndarray:
    """See `paste`. Mostly, few pixels lie in soft edges; the others are copied from the one or the other picture."""
    soft = (blend_mask > 0) & (blend_mask < 255)
    if 4 * np.count_nonzero(soft) > soft.size:
        return _mixed(old, blend_mask, new, opacity)
    result = cv2.copyTo(new, (blend_mask == 255).view(np.uint8), old.copy())
    result[soft] = _mixed(old[soft], blend_mask[soft], new[soft], None if opacity is None else opacity[soft])
    return result


def _mixed(old: np.ndarray, blend_mask: np.ndarray, new: np.ndarray, opacity: np.ndarray | None) -> np.ndarray:
    """`_blended` for pixels (..., 3). Integer arithmetic returns the one picture exactly at 0, the other at 255."""
    share = blend_mask[..., None].astype(np.uint16)
    blended: np.ndarray
    if opacity is None:
        blended = (old * (255 - share) + new * share + 127) // 255  # 255 * 255 + 127 fits into 16 bits
    else:
        # Porter and Duff's `over` for coverages that overlap as little as possible (XRender: DisjointOver)
        kept = np.where(share > 0, np.minimum(opacity[..., None], 255 - share), 1)
        blended = (old * kept + new * share + (kept + share) // 2) // (kept + share)
    return blended
