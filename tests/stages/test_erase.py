"""`erase`: what is filled has no seam, and nothing else changes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from darkroom.errors import EmptyMask, PhotoError
from darkroom.imaging.edit import Edit
from darkroom.imaging.masks import to_uint8
from darkroom.stages.erase import Erase
from miniature.world import scene
from support.fake_models import edit_of, stage_models

METHODS = pytest.mark.parametrize("method", ["telea", "ns"])


def disc(height: int, width: int, row: int, column: int, radius: float, soft: float = 0) -> np.ndarray:
    rows, columns = np.ogrid[:height, :width]
    return np.clip((radius - np.hypot(rows - row, columns - column)) / max(soft, 1e-6), 0, 1).astype(np.float32)


@METHODS
def test_a_blot_on_a_sky_is_gone_without_a_trace(method):
    rows, columns = np.mgrid[:120, :160]
    sky = np.stack([90 + rows / 2, 120 + rows / 2, 200 + columns / 8], axis=-1).astype(np.uint8)
    blot = disc(120, 160, 50, 70, 7)
    photo = sky.copy()
    photo[blot > 0] = 255
    result = Erase(method=method).apply(Edit(photo, photo).with_mask(blot), stage_models()).image.astype(int)
    assert np.abs(result - sky).max() <= 4
    ring = cv2.dilate(blot, np.ones((3, 3))) > 0
    steps = [np.abs(np.diff(result, axis=axis)).max(axis=2)[ring[1:] if axis == 0 else ring[:, 1:]] for axis in (0, 1)]
    assert max(map(np.max, steps)) <= 5  # no step anywhere in it or at its rim


@METHODS
def test_nothing_outside_changes_and_soft_edges_blend(method):
    mask = np.maximum(disc(90, 70, 30, 0, 12, soft=6), disc(90, 70, 80, 60, 9, soft=3))
    edit = Erase(method=method).apply(edit_of(90, 70, mask), stage_models())
    alpha = to_uint8(mask)
    assert edit.outside_max_diff() == 0 and not np.array_equal(edit.image, edit.original)
    np.testing.assert_array_equal(edit.repainted, alpha)
    np.testing.assert_array_equal(edit.mask, edit_of(90, 70, mask).mask)
    hard = cv2.inpaint(edit.original, (alpha > 0).astype(np.uint8), 3, getattr(cv2, f"INPAINT_{method.upper()}"))
    share = alpha[..., None] / 255
    np.testing.assert_allclose(edit.image, hard * share + edit.original * (1 - share), atol=0.51)


def test_nothing_of_what_is_erased_is_left():
    mask = disc(60, 60, 30, 30, 9)
    photo = edit_of(60, 60).image
    other = np.where(mask[..., None] > 0, 255 - photo, photo)
    one, two = (Erase().apply(Edit(each, each).with_mask(mask), stage_models()).image for each in (photo, other))
    np.testing.assert_array_equal(one, two)


def test_it_works_on_what_earlier_passes_made():
    edit = edit_of(50, 50, disc(50, 50, 10, 10, 4))
    twice = Erase().apply(Erase().apply(edit, stage_models()).with_mask(disc(50, 50, 30, 30, 4)), stage_models())
    assert twice.repainted[10, 10] == twice.repainted[30, 30] == 255
    assert (twice.image[8:13, 8:13] != twice.original[8:13, 8:13]).any() and twice.outside_max_diff() == 0


def test_small_balls_in_scenes_are_closer_to_the_empty_places_than_a_flat_colour():
    """Scenes with and without their ball are known; shadows stay, as they are no part of the mask."""
    erased, flat = [], []
    for seed in (1, 5, 8, 10, 33):
        with_ball, empty = (scene(seed, 240, 160, "meadow", things, "day") for things in ([("ball", "red")], []))
        assert with_ball.objects[0].mask.mean() < 0.03
        mask = cv2.dilate(with_ball.objects[0].mask.astype(np.float32), np.ones((5, 5)))
        result = Erase().apply(Edit(with_ball.image, with_ball.image).with_mask(mask), stage_models()).image
        inside = mask > 0
        truth = empty.image[inside].astype(int)
        erased.append(np.abs(result[inside] - truth).mean())
        flat.append(np.abs(with_ball.image[~inside].mean(axis=0) - truth).mean())
    assert np.mean(erased) < 0.8 * np.mean(flat)


def test_empty_and_full_masks_are_told():
    with pytest.raises(EmptyMask, match="nothing to erase: the mask is empty"):
        Erase().apply(edit_of(9, 9, np.zeros((9, 9))), stage_models())
    with pytest.raises(PhotoError, match="nothing is left to fill it from"):
        Erase().apply(edit_of(9, 9, np.full((9, 9), 0.1)), stage_models())


@pytest.mark.parametrize("method", ["ns", "telea"])
@pytest.mark.parametrize("size", [(1, 500), (500, 1)])
def test_a_photo_of_one_row_gives_the_same_pixels_each_time(method: str, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    mask = np.zeros(size, np.uint8)
    mask.flat[200:300] = 255
    edit = Edit(image, image, mask=mask)
    results = {Erase(method=method).apply(edit, stage_models()).image.tobytes() for _ in range(30)}
    assert len(results) == 1
