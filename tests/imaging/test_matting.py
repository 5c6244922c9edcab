"""Parts of the matting: the guided filter, rows at full size, and bands."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from darkroom.imaging import bands
from darkroom.imaging.matting import _edge_distance, enlarged_rows, guided_alpha, guided_coefficients
from darkroom.imaging.strands import strands_alpha
from darkroom.imaging.unmixing import unmixed


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).random(shape, np.float32)


def test_the_guided_filter_finds_a_linear_function_of_colour():
    image, slope = noise(40, 50, 3), np.array([0.5, -0.2, 0.3], np.float32)
    target = image @ slope + np.float32(0.1)
    found, offset = guided_coefficients(image, target, 4, 1e-6)
    np.testing.assert_allclose(found, np.broadcast_to(slope, found.shape), atol=1e-3)
    np.testing.assert_allclose((found * image).sum(-1) + offset, target, atol=1e-3)


def test_the_guided_filter_ignores_what_has_no_weight():
    image, weights = noise(40, 50, 3), np.ones((40, 50), np.float32)
    target, weights[10:30] = image[..., 0].copy(), 0
    wrong = np.where(weights > 0, target, 7).astype(np.float32)
    one, other = (guided_coefficients(image, each, 4, 1e-4, weights) for each in (target, wrong))
    np.testing.assert_array_equal(one[0], other[0])


@pytest.mark.parametrize("how", [cv2.INTER_LINEAR, cv2.INTER_NEAREST])
def test_rows_are_enlarged_the_same_alone_and_together(how):
    small = noise(13, 17, 3)
    whole = enlarged_rows(small, (61, 83), slice(0, 61), how)
    np.testing.assert_array_equal(whole[20:33], enlarged_rows(small, (61, 83), slice(20, 33), how))
    if how == cv2.INTER_LINEAR:
        np.testing.assert_allclose(whole, cv2.resize(small, (83, 61), interpolation=how), atol=0.05)


def test_the_result_does_not_depend_on_the_size_of_the_bands(monkeypatch):
    image = (noise(300, 1500, 3) * 255).astype(np.uint8)
    mask = np.zeros((300, 1500), np.uint8)
    cv2.circle(mask, (700, 150), 90, 255, -1)
    alpha = guided_alpha(image, mask, 0.02)
    layers = unmixed(image, alpha)
    monkeypatch.setattr(bands, "_PIXELS", 7000)
    np.testing.assert_array_equal(guided_alpha(image, mask, 0.02), alpha)
    for side in ("inside", "outside"):
        np.testing.assert_array_equal(getattr(unmixed(image, alpha), side), getattr(layers, side))


def test_the_result_does_not_depend_on_the_number_of_threads():
    image = (noise(500, 700, 3) * 255).astype(np.uint8)
    mask = np.zeros((500, 700), np.uint8)
    cv2.circle(mask, (350, 250), 140, 255, -1)
    before, found = cv2.getNumThreads(), []
    try:
        for count in (1, 2, 4):
            cv2.setNumThreads(count)
            alphas = guided_alpha(image, mask, 0.02), strands_alpha(image, mask, 0.02)
            found.append((_edge_distance(mask > 0), *alphas))
    finally:
        cv2.setNumThreads(before)
    for again in found[1:]:
        for one, other in zip(again, found[0], strict=True):
            np.testing.assert_array_equal(one, other)
