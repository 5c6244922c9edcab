"""What a picture that somebody has drawn means as a mask. It knows pictures; no paths, no photos.

White is where to repaint, black where to keep, greys are in between. What may mean two things is refused.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

# Channels that differ by no more are a grey. Grey pictures come back from JPEG and WebP within 1 of 255.
TINGE = 24
# How far the strokes of a layer may be from their mean colour: lossy WebP files smear hidden colours into them.
ONE_COLOUR = 48
# Judgement: a mask whose brightest pixel is darker, as a share of white, would repaint next to nothing.
FAINT = 1 / 4
# Hard masks with text in them, saved as JPEG of quality 60: 99.9 % of what was black comes back as 38 of 255 or less;
# of quality 70 as 29, as WebP of quality 50 as 17; white likewise. So much is black; greys catch up at twice as much.
RINGING = 48

_BENDS = (0, RINGING, 2 * RINGING, 255 - 2 * RINGING, 255 - RINGING, 255)
_CLEANED = np.interp(np.arange(256), _BENDS, (0, 0, *_BENDS[2:4], 255, 255)).round().astype(np.uint8)


class Unclear(ValueError):
    """As a mask, this picture may mean more than one thing, or nothing."""


def meaning(image: Image.Image, lossy: bool) -> tuple[np.ndarray, str]:
    """What a picture means as a mask, and what had to be assumed to say so.

    Args:
        image: of 1 to 16 bits; colour profiles are ignored.
        lossy: its file format only comes near the pixels that were drawn.

    Returns:
        (H, W) float32 in [0, 1], 1 where to repaint; a remark, empty where nothing was assumed.

    Raises:
        Unclear: with a line that says what would be right.
    """
    if image.mode in ("I", "F"):
        raise Unclear("32 bits per pixel have no known white; save it with 8 or 16")
    greys, remark = _greys(image)
    white, brightest = np.iinfo(greys.dtype).max, int(greys.max())
    if brightest in (1, 255) and white > brightest and _has_only(greys, brightest) and not lossy:
        return (greys > 0).astype(np.float32), f"holds only 0 and {brightest} of {white}; {brightest} was read as white"
    if 0 < brightest < FAINT * white:
        hint = "a label map? Save what to repaint as white, 255 (of 16 bits 65535), and all else as black"
        raise Unclear(f"its brightest pixel is {brightest} of {white}: {hint}")
    if lossy and not np.array_equal(greys, cleaned := _CLEANED[greys]):
        greys, remark = cleaned, f"is in a lossy format; what is within {RINGING} of black or white was read as that"
    return greys / np.float32(white), remark


def _has_only(greys: np.ndarray, value: int) -> bool:
    return bool(((greys == 0) | (greys == value)).all())


def _greys(image: Image.Image) -> tuple[np.ndarray, str]:
    """The brightness of what is painted, (H, W) uint8 or uint16, and what had to be assumed."""
    if image.mode.startswith("I;16"):
        values, key = np.asarray(image), image.info.get("transparency")
        return (values if key is None else np.where(values == key, np.uint16(0), values)), ""
    if image.has_transparency_data:
        layers = np.asarray(image.convert("RGBA"))
        if layers[..., 3].min() < 255:
            return _strokes(layers[..., :3], layers[..., 3])
    if image.mode not in ("1", "L", "LA"):
        colours = np.asarray(image.convert("RGB"))
        if _spread(colours).max() > TINGE:
            place = np.unravel_index(_spread(colours).argmax(), colours.shape[:2])
            found = tuple(colours[place].tolist())
            hint = "save what to repaint as white and all else as black; or draw on a transparent layer, in one colour"
            raise Unclear(f"it has colours, such as {found}, and which of them to repaint cannot be known: {hint}")
    return np.asarray(image.convert("L")), ""


def _strokes(colours: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, str]:
    """As `_greys`, for a layer that is transparent in places; hidden colours are ignored.

    Greys are laid over black. Strokes of one colour are white, whatever their colour.
    """
    painted = ((colours * alpha[..., None].astype(np.uint16) + 127) // 255).astype(np.uint8)
    if _spread(painted).max() <= TINGE:
        greys = np.asarray(Image.fromarray(painted).convert("L"))
        if greys.max() < FAINT * 255 <= alpha.max():
            raise Unclear("only black is painted on its transparent layer: paint what to repaint white")
        return greys, ""
    colour = painted.sum(axis=(0, 1), dtype=np.int64) / alpha.sum(dtype=np.int64)
    for channel, share in enumerate(colour):
        if np.abs(painted[..., channel] - alpha * np.float32(share)).max() > ONE_COLOUR:
            hint = "draw in one colour, or save what to repaint as white and all else as black"
            raise Unclear(f"there are several colours on its transparent layer: {hint}")
    return alpha, "is drawn in one colour on a transparent layer; what is drawn is repainted"


def _spread(colours: np.ndarray) -> np.ndarray:
    """How far (H, W, 3) uint8 are from a grey, (H, W) uint8."""
    return colours.max(axis=2) - colours.min(axis=2)
