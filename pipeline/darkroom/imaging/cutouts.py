"""The subject of a picture alone, and the background without it. Arrays only."""

from __future__ import annotations

import cv2
import numpy as np

from darkroom.errors import PhotoError
from darkroom.imaging.bands import by_bands
from darkroom.imaging.layers import is_band

_FILL_SIDE = 800  # px: the longer side at which colours are spread; the result is smooth, so more changes nothing
_SWEEPS = 20  # at each level of the pyramid
_NEIGHBOURS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4
_RIM = 2  # px: next to the subject, pixels still hold some of its colour


def opacity_of(subject: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """The alpha of a cut-out, (H, W) uint8: the subject's share, times the photo's own alpha, (H, W) uint8 or None."""
    if alpha is None:
        return subject

    def multiplied(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        product = (one.astype(np.uint16) * other + 127) // 255
        return np.asarray(product, np.uint8)

    return by_bands(multiplied, subject, alpha)


def cutout(colours: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Colours, (H, W, 3) uint8, that are black where they do not show, so that a cut-out hides nothing of the photo."""
    return by_bands(lambda pixels, alpha: pixels * (alpha > 0)[..., None], colours, opacity)


def clean_plate(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A background whose unknown part is filled smoothly from around it. Nothing is invented: no texture, no lines.

    The fill is a membrane: each unknown pixel becomes the mean of its neighbours. It is solved from coarse to fine on a
    pyramid (Gortler, Grzeszczuk, Szeliski and Cohen, "The Lumigraph", SIGGRAPH 1996, pull colours through one; the
    sweeps at each level are Jacobi's).

    Args:
        picture: (H, W, 3) uint8.
        known: (H, W) bool, where the picture shows the background; there every bit stays.

    Returns:
        (H, W, 3) uint8.

    Raises:
        PhotoError: nothing is known.
    """
    if known.all():
        return picture
    if not known.any():
        raise PhotoError("nothing of the background is visible")
    filled = cv2.resize(_spread(picture, _away_from_rim(known)), known.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return by_bands(lambda *rows: np.where(rows[2][..., None], rows[0], rows[1]), picture, filled, known)


def unmixed_plate(plate: np.ndarray, picture: np.ndarray, kept: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """A plate whose colours in the soft edge, with the kept ones over them, make the picture again.

    Of all colours that do so within half a level, it takes the nearest to those of the plate.

    Args:
        plate: (H, W, 3) uint8, as `clean_plate` makes it.
        picture: (H, W, 3) uint8.
        kept: (H, W, 3) uint8, the colours of the subject.
        subject: (H, W) uint8, its share in each pixel.
    """

    def unmixed(plate: np.ndarray, picture: np.ndarray, kept: np.ndarray, subject: np.ndarray) -> np.ndarray:
        edge = is_band(subject)
        share = (255 - subject[edge].astype(np.float32))[:, None]
        behind = (255 * picture[edge].astype(np.float32) - (255 - share) * kept[edge]) / share
        slack = 127 / share
        result = plate.copy()
        result[edge] = np.clip(np.rint(np.clip(plate[edge], behind - slack, behind + slack)), 0, 255)
        return result

    return by_bands(unmixed, plate, picture, kept, subject)


def _away_from_rim(known: np.ndarray) -> np.ndarray:
    """`known` without its pixels next to the unknown part, if any others are left."""
    square = np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8)
    inner = cv2.erode(known.astype(np.uint8), square, borderType=cv2.BORDER_REPLICATE) > 0
    return inner if inner.any() else known


def _spread(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The known colours, spread everywhere, (h, w, 3) uint8, at most `_FILL_SIDE` px a side."""
    height, width = known.shape
    step = -(-max(height, width) // _FILL_SIDE)
    size = -(-width // step), -(-height // step)
    planes = [*(picture[..., number] * known for number in range(3)), known]
    small = [cv2.resize(plane.astype(np.float32), size, interpolation=cv2.INTER_AREA) for plane in planes]
    return np.asarray(np.clip(np.rint(_membrane(np.dstack(small))[..., :3]), 0, 255), np.uint8)


def _membrane(weighted: np.ndarray) -> np.ndarray:
    """Colours everywhere, (h, w, 4) float32, from colours times weight and the weight itself, 0 to 1."""
    levels = [weighted]
    while max(levels[-1].shape[:2]) > 1:
        levels.append(cv2.pyrDown(levels[-1], borderType=cv2.BORDER_REPLICATE))
    filled = _normalised(levels.pop())
    while levels:
        finer = levels.pop()
        share, colours = np.minimum(finer[..., 3:], 1), _normalised(finer)
        filled = cv2.pyrUp(filled, dstsize=finer.shape[1::-1])
        for _ in range(_SWEEPS):
            filled = cv2.filter2D(filled, -1, _NEIGHBOURS, borderType=cv2.BORDER_REPLICATE)
            filled += share * (colours - filled)
    return np.asarray(filled)


def _normalised(weighted: np.ndarray) -> np.ndarray:
    return np.asarray(weighted / np.maximum(weighted[..., 3:], np.float32(1e-6)))
