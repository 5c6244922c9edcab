"""The contract of paste-back, checked on files: what has not been repainted is the photo's, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from darkroom.imaging.bands import bands
from darkroom.imaging.codec import Picture
from darkroom.imaging.compositing import fill_alpha


def breaches(photo: Picture, repainted: np.ndarray, result: Picture) -> Iterator[str]:
    """What is wrong with a result, a line each.

    Args:
        photo: as decoded.
        repainted: (H, W) uint8, the share of new picture.
        result: the picture that was made of it.
    """
    if result.pixels.shape != photo.pixels.shape or repainted.shape != photo.pixels.shape[:2]:
        yield "its size is not the photo's"
        return
    new, old = _colours(result), _colours(photo)
    if furthest := max(_furthest(new[rows], old[rows], repainted[rows]) for rows in bands(*repainted.shape)):
        yield f"pixels outside the mask differ by {furthest} from the photo"
    before = _transparency(photo)
    expected = before if before is None else fill_alpha(before, repainted)
    if not np.array_equal(_transparency(result), expected):  # None equals None alone
        yield "its transparency is not the photo's, filled by the mask"
    if result.icc != photo.icc:
        yield "its colour profile is not the photo's"


def _furthest(new: np.ndarray, old: np.ndarray, repainted: np.ndarray) -> int:
    outside = repainted == 0
    return int((np.maximum(new, old) - np.minimum(new, old))[outside].max(initial=0))


def _colours(picture: Picture) -> np.ndarray:
    return picture.pixels if picture.deep is None else picture.deep[..., :3]


def _transparency(picture: Picture) -> np.ndarray | None:
    if picture.deep is None or picture.alpha is None:
        return picture.alpha
    return picture.deep[..., 3]
