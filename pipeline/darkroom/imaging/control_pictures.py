"""Control pictures: outlines of a picture for ControlNets, white on black. Arrays only."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from darkroom.imaging.crops import Crop

# The thresholds of the pictures that the published canny ControlNets were trained on (Zhang et al., Adding Conditional
# Control to Text-to-Image Diffusion Models, 2023, arXiv 2302.05543), for gradients of 8-bit colours.
_WEAK, _STRONG = 100, 200
# The two blurs whose difference is a line: the finer one as a share of the shorter side, and how much coarser the other
# is. Shares of the strongest difference below which a line vanishes, and above which it is white. All chosen by eye on
# photographs of 1024 px.
_FINE, _RATIO = 1 / 700, 4.0
_FAINT, _FULL = 0.05, 0.4


def canny(image: np.ndarray) -> np.ndarray:
    """Outlines by Canny's method (A computational approach to edge detection, 1986), 1 px wide.

    Args:
        image: (h, w, 3) uint8 RGB, at the size at which the model works.

    Returns:
        (h, w) uint8, 0 or 255.
    """
    return np.asarray(cv2.Canny(image, _WEAK, _STRONG))


def line_art(image: np.ndarray) -> np.ndarray:
    """A line drawing: where a picture is darker than its surroundings, or one side of an edge is.

    It is a thresholded difference of Gaussians (Winnemöller et al., XDoG, Computers and Graphics 2012).

    Args:
        image: as for `canny`.

    Returns:
        (h, w) uint8; white is a strong line.
    """
    brightness = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    sigma = max(0.5, _FINE * min(brightness.shape))
    fine, coarse = (cv2.GaussianBlur(brightness, (0, 0), width) for width in (sigma, _RATIO * sigma))
    lines = np.maximum(coarse - fine, 0)
    strongest = max(float(lines.max()), 1.0)  # brightness levels; a plain picture has no lines
    scaled = (lines / strongest - _FAINT) / (_FULL - _FAINT)
    drawing: np.ndarray = (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)
    return drawing


def fitted(picture: np.ndarray, crop: Crop, size: tuple[int, int]) -> np.ndarray:
    """The part of a control picture that belongs to a crop, at the crop's working size.

    Args:
        picture: (h, w) or (h, w, 3) uint8, of the whole photo, at its size or another one of its proportions.
        crop: of the photo.
        size: (width, height) of the photo.
    """
    across, down = picture.shape[1] / size[0], picture.shape[0] / size[1]
    box = crop.x0 * across, crop.y0 * down, crop.x1 * across, crop.y1 * down
    resized = Image.fromarray(picture).resize((crop.width, crop.height), Image.Resampling.LANCZOS, box=box)
    return np.asarray(resized)


def on_photo(pictures: Sequence[tuple[Crop, np.ndarray]], size: tuple[int, int]) -> np.ndarray:
    """Control pictures of crops in one grey picture of the photo, (H, W) uint8, to look at; black elsewhere.

    Args:
        pictures: crops, and their control pictures at working size.
        size: (height, width) of the photo.
    """
    whole = np.zeros(size, np.uint8)
    for crop, picture in pictures:
        grey = Image.fromarray(picture).convert("L")
        whole[crop.slices] = np.asarray(grey.resize((crop.x1 - crop.x0, crop.y1 - crop.y0), Image.Resampling.BILINEAR))
    return whole
