"""A painted picture made to suit its surroundings; and how much the edge of a repaint shows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from darkroom.imaging.harmonise import harmonised
from darkroom.imaging.seam import seam_figures, seams

WAYS = pytest.mark.parametrize("how", ["mean_std", "histogram", "poisson"])


def scene(height: int = 200, width: int = 260, seed: int = 0) -> np.ndarray:
    """Something like a photo: clouds of all sizes, in the middle greys."""
    rng = np.random.default_rng(seed)
    layers = [
        ndimage.gaussian_filter(rng.normal(size=(height, width, 3)), (sigma, sigma, 0)) * sigma for sigma in (1, 5, 25)
    ]
    return np.clip(128 + 40 * sum(layers), 30, 225).astype(np.uint8)


def disc(height: int = 200, width: int = 260, row: int = 100, column: int = 120, radius: float = 50) -> np.ndarray:
    rows, columns = np.ogrid[:height, :width]
    return np.hypot(rows - row, columns - column) < radius


@WAYS
@pytest.mark.parametrize("shift", [0, 40, -120], ids=["inside", "at the edge", "in the corner"])
def test_a_cast_is_taken_out(how, shift):
    """What the model painted is right but for its colours, which are off all over, as an autoencoder's may be."""
    photo, mask = scene(), disc(row=100 + shift, column=120 + shift)
    truth = np.where(mask[..., None], scene(seed=1), photo)
    painted = np.clip(truth * [0.9, 1.0, 0.85] + [20, -10, 5], 0, 255).astype(np.uint8)
    result = harmonised(photo, mask, painted, how).astype(int)
    error = np.abs(result - truth)[mask].mean()
    assert error < 0.35 * np.abs(painted.astype(int) - truth)[mask].mean()


@WAYS
def test_colours_that_the_ring_has_not_keep_their_contrast(how):
    photo = np.full((120, 120, 3), 90, np.uint8) + scene(120, 120) // 16
    painted = photo + np.uint8(12)
    mask = disc(120, 120, 60, 60, 30)
    painted[50:70, 50:70], painted[55:65, 55:65] = [200, 40, 40], [40, 60, 210]
    result = harmonised(photo, mask, painted, how).astype(int)
    assert np.linalg.norm(result[52, 52] - result[60, 60]) > 0.8 * np.linalg.norm(
        np.subtract([200, 40, 40], [40, 60, 210])
    )


def test_poisson_leaves_no_step_at_the_edge_and_the_gradients_inside():
    photo, mask = scene(), disc()
    painted = np.clip(scene() + np.array([30, -25, 10]), 0, 255).astype(np.uint8)
    result = harmonised(photo, mask, painted, "poisson")
    assert np.abs(result.astype(int) - photo)[mask].max() <= 2
    large = harmonised(*(np.repeat(np.repeat(each, 4, 0), 4, 1) for each in (photo, mask, painted)), "poisson")
    assert np.abs(large[::4, ::4].astype(int) - photo)[mask].mean() <= 2  # solved on a coarse grid


@WAYS
def test_without_a_ring_to_learn_from_nothing_changes(how):
    photo, painted = scene(seed=0), scene(seed=1)
    for mask in (np.ones(photo.shape[:2], bool), ~disc(radius=4)):
        np.testing.assert_array_equal(harmonised(photo, mask, painted, how), painted)


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 70), st.integers(1, 70), st.sampled_from(["mean_std", "histogram", "poisson"]))
def test_any_mask_and_any_pictures_give_a_picture(data, height, width, how):
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    photo, painted = (
        rng.integers(low, low + 1 + spread, (height, width, 3)).astype(np.uint8)
        for low, spread in ((data.draw(st.sampled_from([0, 120, 255])), 0), (0, data.draw(st.sampled_from([0, 255]))))
    )
    mask = rng.random((height, width)) < data.draw(st.sampled_from([0.01, 0.5, 0.99]))
    result = harmonised(photo, mask, painted, how)
    assert result.shape == photo.shape and result.dtype == np.uint8


def test_the_seam_is_the_mean_difference_across_the_edge_in_lab():
    """Greys of 119 and 187 have an L* of 50.03 and 75.88 by the definitions of sRGB and CIE Lab; a and b are 0."""
    image = np.full((20, 20, 3), 119, np.uint8)
    touched = np.zeros((20, 20), bool)
    touched[5:15, 5:15] = True
    assert seams([image], touched) == [0]
    image[touched] = 187
    assert seams([image], touched) == [pytest.approx(75.88 - 50.03, abs=0.02)]
    image[:, :10][touched[:, :10]] = 119  # the left half of it is as it was
    assert seams([image], touched) == [pytest.approx((75.88 - 50.03) / 2, abs=0.02)]


def test_what_lies_along_the_edge_is_no_seam_of_the_repaint():
    image = np.zeros((20, 20, 3), np.uint8)
    image[:, 10:] = 255
    alpha = np.zeros((20, 20), np.uint8)
    alpha[:, 10:] = 128
    assert seam_figures(image, image, alpha) == {"seam": 100.0, "seam_before": 100.0}
    assert seam_figures(image, image, np.full((20, 20), 9, np.uint8)) == {}
