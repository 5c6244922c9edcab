"""Small copies of pictures and masks, for sheets and pages. The same pixels give the same bytes."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from darkroom.imaging.codec import read_reduced
from darkroom.imaging.colour_profiles import to_srgb
from darkroom.imaging.png import encode_png
from darkroom.imaging.reducing import reduced
from darkroom.system.profiling import spanned

PAPER = "#fbfaf8"  # behind transparent pixels; the background colour of reports
BOX = (480, 576)  # px, width and height that thumbnails fit into: twice the size on a page, for sharp screens

_FILTER, _GAP = Image.Resampling.HAMMING, 1.5  # twice as fast as Lanczos, and as sharp


@spanned("thumbnails")
def photo_thumbnail(pixels: np.ndarray, alpha: np.ndarray | None, icc: bytes | None) -> bytes:
    """A small JPEG of a picture, in sRGB, laid over `PAPER`; never larger than the picture.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        alpha: (H, W) uint8, 0 transparent to 255 opaque; None for an opaque picture.
        icc: the colour profile that `pixels` are in; None means sRGB; a broken one is ignored.
    """
    size = _size(pixels)
    if alpha is None:
        small = Image.fromarray(reduced(pixels, size, _FILTER, gap=_GAP))
    else:
        image = Image.fromarray(pixels)
        image.putalpha(Image.fromarray(alpha))
        small = image.resize(size, _FILTER, reducing_gap=_GAP)  # colours count as much as they show
    colours = small.convert("RGB")
    if icc:
        colours = to_srgb(colours, icc)
    if alpha is not None:
        colours = Image.composite(colours, Image.new("RGB", small.size, PAPER), small.getchannel("A"))
    file = BytesIO()
    colours.save(file, "JPEG", quality=88, subsampling="4:4:4")
    return file.getvalue()


@spanned("thumbnails")
def file_thumbnail(path: Path, side: int) -> bytes:
    """A small JPEG of a photo's file, upright, in sRGB, over `PAPER`. A large JPEG is decoded at a reduced size.

    Args:
        path: the file.
        side: px of the longer side.

    Raises:
        PhotoError: the file cannot be read or decoded.
    """
    photo = read_reduced(path, side)
    image = Image.fromarray(photo.pixels)
    image.thumbnail((side, side))
    alpha = None if photo.alpha is None else np.asarray(Image.fromarray(photo.alpha).resize(image.size))
    return photo_thumbnail(np.asarray(image), alpha, photo.icc)


@spanned("thumbnails")
def mask_thumbnail(mask: np.ndarray) -> bytes:
    """A small grey PNG of a mask, (H, W) uint8."""
    return encode_png(reduced(mask, _size(mask), _FILTER, gap=_GAP))


def _size(pixels: np.ndarray) -> tuple[int, int]:
    """Width and height of the small copy of a picture."""
    height, width = pixels.shape[:2]
    scale = min(1.0, BOX[0] / width, BOX[1] / height)
    return max(1, round(width * scale)), max(1, round(height * scale))
