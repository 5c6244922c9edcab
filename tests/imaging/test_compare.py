"""How far pictures are apart, held against the definition written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from darkroom.imaging.compare import Difference, SizesDiffer, compare

C1, C2 = 6.5025, 58.5225  # (0.01 x 255)^2 and (0.03 x 255)^2


def plain(level: int, height: int = 20, width: int = 30) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def ssim_by_definition(one: np.ndarray, other: np.ndarray) -> float:
    """Wang et al. 2004, equations 13 to 17, pixel by pixel: weighted sums over a window of 11 x 11."""
    steps = [math.exp(-(step**2) / (2 * 1.5**2)) for step in range(-5, 6)]
    window = np.outer(steps, steps) / sum(steps) ** 2
    values = []
    for channel in range(3):
        x_all, y_all = (np.pad(each[..., channel].astype(float), 5, mode="symmetric") for each in (one, other))
        for row in range(one.shape[0]):
            for column in range(one.shape[1]):
                x, y = (each[row : row + 11, column : column + 11] for each in (x_all, y_all))
                mean_x, mean_y = (window * x).sum(), (window * y).sum()
                variances = (window * (x - mean_x) ** 2).sum() + (window * (y - mean_y) ** 2).sum()
                covariance = (window * (x - mean_x) * (y - mean_y)).sum()
                likeness = (2 * mean_x * mean_y + C1) * (2 * covariance + C2)
                values.append(likeness / ((mean_x**2 + mean_y**2 + C1) * (variances + C2)))
    return math.fsum(values) / len(values)


def test_levels_that_differ_everywhere() -> None:
    """Without structure only the luminance term is left: (2 x 100 x 110 + C1) / (100^2 + 110^2 + C1)."""
    assert compare(plain(100), plain(110)) == Difference(10, 10.0, pytest.approx(22006.5025 / 22106.5025))
    assert compare(plain(0), plain(255)) == Difference(255, 255.0, pytest.approx(C1 / (255**2 + C1)))


def test_one_value_of_one_pixel() -> None:
    changed = plain(7)
    changed[3, 4, 1] = 0
    difference = compare(plain(7), changed)
    assert (difference.max, difference.mean) == (7, 7 / 1800) and 0.9 < difference.ssim < 1


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (14, 12), (600, 1)])
def test_ssim_is_what_its_authors_define(size: tuple[int, int]) -> None:
    """Also where the window is larger than the picture, and where a picture is worked on in several parts."""
    random = np.random.default_rng(size[0])
    one = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    other = np.clip(one + random.normal(0, 40, one.shape), 0, 255).astype(np.uint8)
    assert compare(one, other).ssim == pytest.approx(ssim_by_definition(one, other), abs=1e-9)


PICTURES = st.tuples(st.integers(1, 15), st.integers(1, 15)).flatmap(
    lambda size: st.tuples(*[arrays(np.uint8, (*size, 3))] * 2)
)


@given(PICTURES)
def test_bounds_identity_and_symmetry(pair: tuple[np.ndarray, np.ndarray]) -> None:
    one, other = pair
    difference = compare(one, other)
    assert difference == compare(other, one)
    assert compare(one, one.copy()) == Difference(0, 0.0, 1.0)
    assert 0 <= difference.mean <= difference.max <= 255 and -1 <= difference.ssim <= 1
    assert (difference.max == 0) == np.array_equal(one, other)


def test_pictures_of_different_sizes_are_refused() -> None:
    with pytest.raises(SizesDiffer, match="30 x 20 px and 20 x 30 px: only pictures of the same size"):
        compare(plain(0), plain(0, 30, 20))
