"""Large pictures become small as by Pillow's filters alone, to a level or two."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from darkroom.imaging.reducing import reduced

BILINEAR = Image.Resampling.BILINEAR


@pytest.mark.parametrize("shape", [(403, 611, 3), (611, 403), (700, 330, 3)])
def test_a_reduced_picture_is_that_of_the_filter_and_does_not_move(shape: tuple[int, ...]) -> None:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    picture = (127 + 60 * np.sin(rows / 37) + 60 * np.cos(columns / 23)).astype(np.uint8)
    picture = picture if len(shape) == 2 else np.dstack([picture, 255 - picture, picture // 2])
    expected = np.asarray(Image.fromarray(picture).resize((40, 30), BILINEAR), int)
    assert np.abs(reduced(picture, (40, 30), BILINEAR).astype(int) - expected).max() <= 3
    as_float = reduced(picture[..., 0] if len(shape) == 3 else picture, (40, 30), BILINEAR, as_float=True)
    assert np.abs(as_float * 255 - (expected[..., 0] if len(shape) == 3 else expected)).max() <= 3


@given(st.integers(0, 96), st.integers(0, 130), st.integers(9, 20))
def test_a_single_pixel_stays_above_0(row: int, column: int, side: int) -> None:
    """In the place where it is, also at the edges, which no whole number of squares may fill."""
    mask = np.zeros((97, 131), np.uint8)
    mask[row, column] = 1
    share = reduced(mask, (side, side), BILINEAR, as_float=True)
    assert share[row * side // 97, column * side // 131] > 0
    assert share.sum() == pytest.approx(side * side / (97 * 131 * 255), rel=0.6)
