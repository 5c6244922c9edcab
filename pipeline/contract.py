"""The contract of paste-back, checked on files: what has not been repainted is the photo's, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.compositing import filled
from pipeline.dataset.photo import Picture


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
    outside = repainted == 0
    new, old = (_colours(each)[outside] for each in (result, photo))
    if furthest := (np.maximum(new, old) - np.minimum(new, old)).max(initial=0):
        yield f"pixels outside the mask differ by {furthest} from the photo"
    before = _transparency(photo)
    expected = before if before is None else filled(before, repainted)
    if not np.array_equal(_transparency(result), expected):  # None equals None alone
        yield "its transparency is not the photo's, filled by the mask"
    if result.icc != photo.icc:
        yield "its colour profile is not the photo's"


def _colours(picture: Picture) -> np.ndarray:
    return picture.pixels if picture.deep is None else picture.deep[..., :3]


def _transparency(picture: Picture) -> np.ndarray | None:
    if picture.deep is None or picture.alpha is None:
        return picture.alpha
    return picture.deep[..., 3]
