"""Interprets a picture that somebody drew as a mask: which pixels to repaint, and how much.

White means repaint, black means keep, greys lie between. A picture with more than one plausible meaning is refused.
Arrays and Pillow images only: no paths, no photos.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

# Pixels whose channels differ by no more than this count as grey. JPEG and WebP return grey pictures within 1 of 255.
TINGE = 24
# Largest distance of a layer's strokes from their mean colour: lossy WebP files smear hidden colours into strokes.
ONE_COLOUR = 48
# Chosen by judgement: a mask whose brightest pixel is below this share of white would repaint next to nothing.
FAINT = 1 / 4
# Hard masks with text in them, saved as JPEG of quality 60: 99.9 % of the black pixels come back as 38 of 255 or less;
# at quality 70 as 29, as WebP of quality 50 as 17; white likewise. Values up to RINGING become black; from twice
# RINGING on, greys stay as they are.
RINGING = 48

_BENDS = (0, RINGING, 2 * RINGING, 255 - 2 * RINGING, 255 - RINGING, 255)
_CLEANED = np.interp(np.arange(256), _BENDS, (0, 0, *_BENDS[2:4], 255, 255)).round().astype(np.uint8)


class AmbiguousMask(ValueError):
    """The picture has several plausible meanings as a mask, or none."""


def interpret_mask(image: Image.Image, lossy: bool) -> tuple[np.ndarray, str]:
    """The mask in a picture, and a remark on how the picture was interpreted.

    Args:
        image: 1 to 16 bits per channel; colour profiles are ignored.
        lossy: its file format only approximates the pixels that were drawn.

    Returns:
        (H, W) uint8, 255 where to repaint; a remark for the log, empty where nothing was assumed.

    Raises:
        AmbiguousMask: with one line that says what would be right.
    """
    if image.mode in ("I", "F"):
        raise AmbiguousMask("32 bits per pixel have no known white; save it with 8 or 16")
    levels, remark = _brightness(image)
    white, brightest = np.iinfo(levels.dtype).max, int(levels.max())
    if brightest in (1, 255) and white > brightest and _has_only(levels, brightest) and not lossy:
        remark = f"holds only 0 and {brightest} of {white}; {brightest} was read as white"
        return (levels > 0) * np.uint8(255), remark
    if 0 < brightest < FAINT * white:
        hint = "a label map? Save what to repaint as white, 255 (of 16 bits 65535), and all else as black"
        raise AmbiguousMask(f"its brightest pixel is {brightest} of {white}: {hint}")
    if lossy and not np.array_equal(levels, cleaned := _CLEANED[levels]):
        levels, remark = cleaned, f"is in a lossy format; pixels within {RINGING} of black or white were read as that"
    return levels if white == 255 else _eight_bits(levels), remark


def _eight_bits(levels: np.ndarray) -> np.ndarray:
    """16 bits rounded to 8; 65535 is 255 times 257."""
    return np.rint(levels / np.float32(257)).astype(np.uint8)


def _has_only(levels: np.ndarray, value: int) -> bool:
    return bool(((levels == 0) | (levels == value)).all())


def _brightness(image: Image.Image) -> tuple[np.ndarray, str]:
    """How bright each pixel is painted, (H, W) uint8 or uint16, and the remark of `interpret_mask`."""
    if image.mode.startswith("I;16"):
        values, key = np.asarray(image), image.info.get("transparency")
        return (values if key is None else np.where(values == key, np.uint16(0), values)), ""
    if image.has_transparency_data:
        layers = np.asarray(image.convert("RGBA"))
        if layers[..., 3].min() < 255:
            return _strokes(layers[..., :3], layers[..., 3])
    if image.mode not in ("1", "L", "LA"):
        colours = np.asarray(image.convert("RGB"))
        if _tinge(colours).max() > TINGE:
            place = np.unravel_index(_tinge(colours).argmax(), colours.shape[:2])
            found = tuple(colours[place].tolist())
            hint = "save what to repaint as white and all else as black; or draw on a transparent layer, in one colour"
            raise AmbiguousMask(
                f"it has colours, such as {found}, and which of them to repaint cannot be known: {hint}"
            )
    return np.asarray(image.convert("L")), ""


def _strokes(colours: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, str]:
    """As `_brightness`, for a layer that is partly transparent; colours under transparent pixels are ignored.

    Grey strokes are laid over black. Strokes of any other single colour count as white.
    """
    painted = ((colours * alpha[..., None].astype(np.uint16) + 127) // 255).astype(np.uint8)
    if _tinge(painted).max() <= TINGE:
        greys = np.asarray(Image.fromarray(painted).convert("L"))
        if greys.max() < FAINT * 255 <= alpha.max():
            raise AmbiguousMask("only black is painted on its transparent layer: paint what to repaint white")
        return greys, ""
    colour = painted.sum(axis=(0, 1), dtype=np.int64) / alpha.sum(dtype=np.int64)
    for channel, share in enumerate(colour):
        if np.abs(painted[..., channel] - alpha * np.float32(share)).max() > ONE_COLOUR:
            hint = "draw in one colour, or save what to repaint as white and all else as black"
            raise AmbiguousMask(f"there are several colours on its transparent layer: {hint}")
    return alpha, "is drawn in one colour on a transparent layer; what is drawn is repainted"


def _tinge(colours: np.ndarray) -> np.ndarray:
    """The distance of (H, W, 3) uint8 pixels from grey, (H, W) uint8."""
    distance: np.ndarray = colours.max(axis=2) - colours.min(axis=2)
    return distance
