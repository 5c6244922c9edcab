"""New backgrounds without a model: flat colours, gradients, pictures, and the blurred photo itself. Arrays only."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from darkroom.imaging.bands import bands
from darkroom.imaging.dithering import dithered
from darkroom.imaging.masks import depth, to_float
from darkroom.imaging.pil_arrays import to_array

_RIM = 2  # px; a hard mask leaves about as much of the subject's soft outline in the background
_RIM_IN_SIGMAS = 0.25
_LITTLE = 1e-3  # weight of continued colours: they count only where no background is near
_SMALL_SIGMA = 4  # px; a larger blur is computed on a smaller picture


def flat(size: tuple[int, int], colour: np.ndarray) -> np.ndarray:
    """A picture of one colour, (H, W, 3) uint8.

    Args:
        size: (height, width).
        colour: (3,) uint8 RGB.
    """
    return np.full((*size, 3), colour, np.uint8)


def gradient(size: tuple[int, int], colours: np.ndarray, angle: float, radial: bool) -> np.ndarray:
    """A gradient through evenly spaced colours, (H, W, 3) uint8, dithered so that it shows no steps.

    The first and the last colour are reached in corners, as in the gradients of CSS (CSS Images Module Level 3).

    Args:
        size: (height, width).
        colours: (N, 3) uint8 RGB, at least two.
        angle: direction from the first colour to the last: 0 is up, 90 right, 180 down. Unused if `radial`.
        radial: from the middle to the corners, in circles.
    """
    height, width = size
    x, y = np.arange(width, dtype=np.float32) - (width - 1) / 2, np.arange(height, dtype=np.float32) - (height - 1) / 2
    right, up = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    length = max(abs(right) * (width - 1) + abs(up) * (height - 1), 1e-6)
    stops = np.linspace(0, 1, len(colours))
    result = np.empty((height, width, 3), np.uint8)
    for rows in bands(height, width):
        if radial:
            share = np.hypot(x, y[rows, None]) / max(math.hypot(width - 1, height - 1) / 2, 1e-6)
        else:
            share = (x * right - y[rows, None] * up) / length + 0.5
        channels = [np.interp(share, stops, channel) for channel in colours.T]
        result[rows] = dithered(np.stack(channels, axis=-1), rows.start)
    return result


def cover(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of a picture, scaled to `size`, (height, width), and never stretched: (H, W, 3) uint8."""
    height, width = size
    scale = max(height / picture.shape[0], width / picture.shape[1])
    left, top = (picture.shape[1] - width / scale) / 2, (picture.shape[0] - height / scale) / 2
    box = (max(left, 0), max(top, 0), picture.shape[1] - max(left, 0), picture.shape[0] - max(top, 0))
    return to_array(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS, box))


def background_share(mask: np.ndarray, is_unmixed: bool, sigma: float) -> np.ndarray:
    """Which pixels show the background and nothing of the subject, (H, W) float32 from 0 to 1, for `blurred`.

    Args:
        mask: (H, W) uint8, white is the background; not 0 everywhere.
        is_unmixed: the band of the mask shows the background's own colours, and counts by the mask. If not, the band
            shows some of the subject and does not count, and neither does a rim of the white, because masks are rarely
            exact.
        sigma: of the blur, px.
    """
    if is_unmixed:
        return to_float(mask)
    inside = depth(mask == 255)
    rim = min(_RIM + _RIM_IN_SIGMAS * sigma, float(inside.max()) - 1)
    clear: np.ndarray = inside > rim if rim >= 0 else mask == mask.max()
    return clear.astype(np.float32)


def blurred(picture: np.ndarray, share: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur of a part of a picture, (H, W, 3) uint8, dithered; the rest has no influence on it.

    Normalised convolution (Knutsson and Westin, CVPR 1993). Far from any pixel that counts, the colours of the part
    are continued.

    Args:
        picture: (H, W, 3) uint8.
        share: (H, W) float32 from 0 to 1, how much a pixel counts; above 0 somewhere.
        sigma: px.
    """
    factor = max(1, int(sigma / _SMALL_SIGMA))
    small = _shrunk(picture, share, factor)
    small[..., :3] += _LITTLE * _continued(small)
    small[..., 3] += _LITTLE
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor, borderType=cv2.BORDER_CONSTANT)
    return _enlarged(small[..., :3] / small[..., 3:], factor, share.shape)


def _continued(weighted: np.ndarray) -> np.ndarray:
    """Colours everywhere, (h, w, 3) float32: where weights are missing, those of coarser and coarser pictures.

    The pull-push algorithm (Gortler, Grzeszczuk, Szeliski and Cohen, "The Lumigraph", SIGGRAPH 1996).

    Args:
        weighted: (h, w, 4) float32, colours times weights, and the weights from 0 to 1.
    """
    height, width = weighted.shape[:2]
    if height == width == 1:
        return np.asarray(weighted[..., :3] / weighted[..., 3:])
    half = cv2.resize(weighted, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    half *= np.minimum(4, 1 / np.maximum(half[..., 3:], 0.25))  # the weights of four pixels add up, to 1 at most
    coarse = cv2.resize(_continued(half), (width, height), interpolation=cv2.INTER_LINEAR)
    result: np.ndarray = weighted[..., :3] + (1 - weighted[..., 3:]) * coarse
    return result


def _blocks(height: int, width: int, factor: int) -> Iterator[slice]:
    """As `bands`, with heights that are multiples of `factor`."""
    for rows in bands(math.ceil(height / factor), width * factor):
        yield slice(rows.start * factor, min(rows.stop * factor, height))


def _shrunk(picture: np.ndarray, share: np.ndarray, factor: int) -> np.ndarray:
    """Means over squares of `factor` px of the weighted colours and, in channel 3, of the weights; float32."""
    height, width = share.shape
    columns = math.ceil(width / factor)
    result = np.empty((math.ceil(height / factor), columns, 4), np.float32)
    for rows in _blocks(height, width, factor):
        band = np.dstack([picture[rows] * share[rows, :, None], share[rows]])
        lines = math.ceil(len(band) / factor)
        fill = ((0, lines * factor - len(band)), (0, columns * factor - width), (0, 0))
        squares = np.pad(band, fill).reshape(lines, factor, columns, factor, 4)
        result[rows.start // factor : rows.start // factor + lines] = squares.mean(axis=(1, 3))
    return result


def _enlarged(small: np.ndarray, factor: int, size: tuple[int, int]) -> np.ndarray:
    """The reverse of `_shrunk` for colours: (H, W, 3) uint8 of `size`, dithered."""
    height, width = size
    result = np.empty((height, width, 3), np.uint8)
    framed = np.pad(small, ((1, 1), (0, 0), (0, 0)), "edge")  # a neighbour above and below every band
    for rows in _blocks(height, width, factor):
        first, last = rows.start // factor, math.ceil(rows.stop / factor)
        band = framed[first : last + 2]
        large = cv2.resize(band, (band.shape[1] * factor, len(band) * factor), interpolation=cv2.INTER_LINEAR)
        result[rows] = dithered(large[factor : factor + rows.stop - rows.start, :width], rows.start)
    return result
