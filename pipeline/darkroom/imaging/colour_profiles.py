"""ICC profiles: which RGB a photo's colours are in, and conversion between them."""

from __future__ import annotations

import struct
from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from darkroom.imaging.pil_arrays import in_mode, to_array

_COLOUR_SPACES = {"L": b"GRAY", "CMYK": b"CMYK"}  # image mode to the colour space in an ICC header


def to_rgb(colours: Image.Image, icc: bytes | None) -> tuple[Image.Image, bytes | None]:
    """An image as RGB, and the RGB profile that it is in; None means sRGB.

    An RGB profile is kept with the colours as they are. A profile of another colour space cannot describe RGB, so the
    colours are converted to sRGB and it is dropped.

    Args:
        colours: of mode L, RGB or CMYK.
        icc: the profile in the photo's file.
    """
    space = icc[16:20] if icc else b""
    if space == b"RGB " and colours.mode != "CMYK":
        return in_mode(colours, "RGB"), icc
    if icc and space == _COLOUR_SPACES.get(colours.mode):
        return to_srgb(colours, icc), _srgb_profile()
    return in_mode(colours, "RGB"), None


def to_srgb(colours: Image.Image, icc: bytes) -> Image.Image:
    """An image of mode L, RGB or CMYK in sRGB.

    Args:
        colours: the image.
        icc: the profile of its colours; a broken one is ignored.
    """
    try:
        converted = ImageCms.profileToProfile(
            colours,
            ImageCms.ImageCmsProfile(BytesIO(icc)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError):
        converted = None
    return colours.convert("RGB") if converted is None else converted


def converted(pixels: np.ndarray, source: bytes | None, target: bytes | None) -> np.ndarray:
    """Pixels, (H, W, 3) uint8 RGB, in another colour profile.

    Args:
        pixels: the pixels.
        source: their RGB profile; None means sRGB.
        target: the RGB profile of the result, likewise. The pixels stay as they are if either profile is broken.
    """
    if source == target:
        return pixels
    try:
        image = ImageCms.profileToProfile(
            Image.fromarray(pixels),
            ImageCms.ImageCmsProfile(BytesIO(source or _srgb_profile())),
            ImageCms.ImageCmsProfile(BytesIO(target or _srgb_profile())),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError):
        return pixels
    return pixels if image is None else to_array(image)


@cache
def _srgb_profile() -> bytes:
    """The sRGB profile, with a fixed creation date so that its bytes are always the same."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 1999, 10, 18, 0, 0, 0)  # when IEC 61966-2-1 was published
    return bytes(profile)
