"""Checks finished files against the paste-back contract: where nothing was repainted, every bit is the photo's."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from darkroom.imaging.bands import bands
from darkroom.imaging.codec import DecodedPhoto
from darkroom.imaging.compositing import fill_alpha


def outside_max_diff(new: np.ndarray, old: np.ndarray, repainted: np.ndarray | None) -> int:
    """The largest difference between two pictures where nothing was repainted.

    Args:
        new: (H, W, 3) uint8 or uint16.
        old: likewise.
        repainted: (H, W) uint8, the share of the new picture; None for nothing.
    """
    largest = 0.0
    for rows in bands(*new.shape[:2]):
        outside = None if repainted is None else (repainted[rows] == 0).view(np.uint8)
        largest = max(largest, cv2.norm(new[rows], old[rows], cv2.NORM_INF, outside))
    return int(largest)


def paste_back_problems(photo: DecodedPhoto, repainted: np.ndarray, result: DecodedPhoto) -> Iterator[str]:
    """How a result breaks the contract, one line per problem; nothing for a correct result.

    Args:
        photo: the photo.
        repainted: (H, W) uint8, the share of the new picture in the result (`Edit.repainted`).
        result: the picture made from the photo.
    """
    if result.pixels.shape != photo.pixels.shape or repainted.shape != photo.pixels.shape[:2]:
        yield "its size is not the photo's"
        return
    new, old = _colours(result), _colours(photo)
    if largest := outside_max_diff(new, old, repainted):
        yield f"pixels outside the mask differ by {largest} from the photo"
    alpha = _alpha(photo)
    if not _equal(_alpha(result), None if alpha is None else fill_alpha(alpha, repainted)):
        yield "its transparency is not the photo's, filled by the mask"
    if result.icc != photo.icc:
        yield "its colour profile is not the photo's"


def _colours(picture: DecodedPhoto) -> np.ndarray:
    return picture.pixels if picture.pixels16 is None else picture.pixels16[..., :3]


def _alpha(picture: DecodedPhoto) -> np.ndarray | None:
    if picture.pixels16 is None or picture.alpha is None:
        return picture.alpha
    return picture.pixels16[..., 3]


def _equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)
