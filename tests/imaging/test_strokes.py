"""A painted mask has the pixels under the brush, and no others."""

from __future__ import annotations

from itertools import pairwise
from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from darkroom.imaging.strokes import Stroke, painted

SIZE = (40, 56)  # height, width

_coordinate = st.floats(-30, 90).map(lambda value: round(value, 2)) | st.integers(-5, 60).map(float)
_strokes = st.builds(
    Stroke,
    points=st.lists(st.tuples(_coordinate, _coordinate), min_size=1, max_size=5).map(tuple),
    radius=st.floats(0.5, 25).map(lambda value: round(value, 2)),
    erase=st.booleans(),
)


def distances(stroke: Stroke) -> np.ndarray:
    """How far each pixel's centre is from the stroke's line, (H, W) px: the nearest of its points."""
    centres = np.stack(np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0])), axis=-1) + 0.5
    points = np.array(stroke.points)
    nearest = np.linalg.norm(centres - points[0], axis=-1)
    for start, end in pairwise(points):
        way = end - start
        share = np.clip(((centres - start) @ way) / max(way @ way, 1e-300), 0, 1)[..., None]
        nearest = np.minimum(nearest, np.linalg.norm(centres - (start + share * way), axis=-1))
    return nearest


@given(st.lists(_strokes, min_size=1, max_size=4), st.sampled_from([0, 64, 10**9]), st.sampled_from([1, 30, 50_000]))
def test_the_last_stroke_over_a_pixel_decides(strokes: list[Stroke], sparse: int, runs: int) -> None:
    with patch.multiple("darkroom.imaging.strokes", _SPARSE=sparse, _MOST_RUNS=runs, _MOST_LINES=runs):
        made = painted(np.zeros(SIZE, np.uint8), strokes)
    expected, clear = np.zeros(SIZE, np.uint8), np.ones(SIZE, bool)
    for stroke in strokes:
        far = distances(stroke)
        expected[far <= stroke.radius] = 0 if stroke.erase else 255
        clear &= np.abs(far - stroke.radius) > 1e-6  # of pixels on the very edge either is right
    assert np.array_equal(made[clear], expected[clear])


@given(st.lists(_strokes, max_size=4), st.integers(0, 4))
def test_strokes_one_by_one_are_strokes_at_once(strokes: list[Stroke], first: int) -> None:
    empty = np.zeros(SIZE, np.uint8)
    halfway = painted(empty, strokes[:first])
    before = halfway.copy()
    assert np.array_equal(painted(halfway, strokes[first:]), painted(empty, strokes))
    assert np.array_equal(halfway, before) and not empty.any(), "the mask that is painted on stays as it was"


def test_a_dab_of_radius_one_and_a_half_in_the_middle_of_a_pixel_has_nine_pixels() -> None:
    made = painted(np.zeros((7, 7), np.uint8), [Stroke(((3.5, 3.5),), 1.5)])
    assert made.sum() == 9 * 255 and (made[2:5, 2:5] == 255).all()
