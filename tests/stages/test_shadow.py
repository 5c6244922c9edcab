"""`shadow`: only the ground gets darker, at the feet and in the asked direction."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from darkroom.errors import EmptyMask, PhotoError
from darkroom.imaging.edit import Edit
from darkroom.imaging.shadows import Light, shadow
from darkroom.stages.background import Background
from darkroom.stages.shadow import Shadow
from support.fake_models import edit_of, stage_models

MODELS = stage_models()
TALL = 60  # px, the height of the box


def box(soft: float = 0) -> np.ndarray:
    """The share of a box in each pixel, (160, 240) uint8: it is in columns 105 to 134 and rows 50 to 109."""
    subject = np.zeros((160, 240), np.float32)
    subject[50:110, 105:135] = 255
    return np.rint(cv2.GaussianBlur(subject, (0, 0), soft) if soft else subject).astype(np.uint8)


def on_white(subject: np.ndarray) -> Edit:
    """An edit of noise whose background is white."""
    return Background(colour="white").apply(edit_of(*subject.shape, 255 - subject), MODELS)


def darkness(subject: np.ndarray, **parameters: float) -> np.ndarray:
    """How much darker white ground gets, (H, W) float from 0 to 1; 0 on the subject."""
    before = on_white(subject)
    after = Shadow(**parameters).apply(before, MODELS)
    return (before.image.astype(float) - after.image).mean(axis=2) / 255


def centroid(weights: np.ndarray) -> np.ndarray:
    """(row, column)."""
    rows, columns = np.indices(weights.shape)
    return np.array([(rows * weights).sum(), (columns * weights).sum()]) / weights.sum()


def test_no_bit_of_the_subject_changes_and_the_ground_only_gets_darker():
    before = on_white(box(soft=3))
    after = Shadow().apply(before, MODELS)
    np.testing.assert_array_equal(after.image[before.mask == 0], before.original[before.mask == 0])
    assert (after.image <= before.image).all() and (after.image < before.image).any()
    assert after.outside_max_diff() == 0 and after.mask is before.mask
    np.testing.assert_array_equal(after.repainted, before.repainted)


def test_in_the_soft_edge_the_shadow_lies_on_the_ground_and_not_on_the_subject():
    """The truth: subject over (ground, darkened), with the alpha and the colours that are known."""
    before = on_white(box(soft=3))
    after = Shadow(strength=0.9, contact=1, contact_size=0.1).apply(before, MODELS)
    share = before.mask[..., None] / 255
    edge = (before.mask > 0) & (before.mask < 255)
    light = Light(60, 0.5, 0.05, 0.9, 1, 0.1)
    ground = 255 * (1 - shadow(255 - before.mask, light))[..., None]
    truth = (1 - share) * before.layers.outside + share * ground
    assert (before.image[edge].astype(int) - after.image[edge]).max() > 60
    np.testing.assert_allclose(after.image[edge], truth[edge], atol=1.6)
    np.testing.assert_allclose(
        after.layers.inside[edge & (before.mask > 25)],
        np.broadcast_to(ground, after.image.shape)[edge & (before.mask > 25)],
        atol=11,
    )
    np.testing.assert_array_equal(after.layers.outside, before.layers.outside)
    mixed = (1 - share) * after.layers.outside + share * after.layers.inside
    np.testing.assert_allclose(after.image[edge], mixed[edge], atol=1.6)


def test_more_strength_is_darker_everywhere_and_none_is_nothing():
    shadows = [darkness(box(), strength=strength, contact=0) for strength in (0, 0.2, 0.5, 1)]
    assert not shadows[0].any()
    for one, other in itertools.pairwise(shadows):
        assert (other - one).min() >= -1 / 255 and other.sum() > 1.5 * one.sum()
    assert not darkness(box(), strength=0, contact=0).any() and not darkness(box(), length=0, contact=0).any()


@pytest.mark.parametrize("direction", [20, 60, 120, 180, 240, 300, 340])
def test_the_shadow_falls_in_the_asked_direction(direction: float):
    """That is, seen from the feet the middle of the shadow lies there."""
    found = shadow(box(), Light(direction, 1, 0.01, 1, 0, 0))
    row, column = centroid(found) - [109.5, 119.5]
    angle = np.degrees(np.arctan2(column, -row)) % 360
    assert abs((angle - direction + 180) % 360 - 180) < 4
    half = np.hypot(row, column) / TALL
    assert 0.35 < half < 0.5  # the foot is darker than the far end


@pytest.mark.parametrize("length", [0.5, 1, 1.2])
def test_the_shadow_has_the_asked_length(length: float):
    found = darkness(box(), direction=90, length=length, contact=0, softness=0.001)
    right = np.flatnonzero((found > 0.02).any(axis=0)).max()
    assert abs(right - (134 + length * TALL)) <= 2


def test_a_shadow_gets_softer_with_distance():
    def edge_width(found: np.ndarray, row: int) -> int:
        line = found[row] / found[row].max()
        return int(((line > 0.1) & (line < 0.9)).sum())

    soft = darkness(box(), direction=180, length=0.8, contact=0, softness=0.08)
    hard = darkness(box(), direction=180, length=0.8, contact=0, softness=0)
    assert edge_width(soft, 113) <= 10 < 14 <= edge_width(soft, 145)
    assert edge_width(hard, 145) <= 6


def test_the_contact_shadow_is_dark_at_the_feet_and_nowhere_else():
    found = darkness(box(), strength=0, contact=0.8, contact_size=0.03)
    assert found[110, 110:130].min() > 0.6
    assert found[110:, 110:130].mean() > 5 * found[:100].mean()
    assert found[:60].max() < 0.05 and found[130:].max() < 0.05
    raised = box()
    raised[100:110, 112:128] = 0  # two legs
    under = darkness(raised, strength=0, contact=0.8, contact_size=0.03)
    assert under[110, 108] > 1.4 * under[110, 120] > 0.1  # beneath its belly it is dim


def test_wheels_at_different_heights_all_stand_on_the_ground():
    """A car that comes towards the camera: the shadow begins at both wheels, not at the lowest one alone."""
    car = np.zeros((200, 300), np.uint8)
    car[60:120, 60:240] = 255
    cv2.circle(car, (90, 120), 15, 255, -1)
    cv2.circle(car, (210, 140), 15, 255, -1)
    car[100:140, 200:220] = 255
    found = darkness(car, strength=0, contact=1, contact_size=0.03)
    assert found[137, 90] > 0.5 and found[157, 210] > 0.5
    assert found[157, 90] < 0.1


def test_things_side_by_side_have_their_own_ground():
    two = np.zeros((160, 240), np.uint8)
    two[40:80, 30:60] = 255
    two[60:150, 150:190] = 255
    found = darkness(two, strength=0, contact=1)
    assert found[80, 45] > 0.5 and found[150, 170] > 0.5 and found[150, 45] < 0.05
    found = darkness(two, direction=180, length=0.3, contact=0)
    assert found[85, 45] > 0.2


def test_specks_of_a_mask_do_not_move_the_ground():
    speck = box()
    speck[155:157, 20:22] = 255
    for parameters in ({"strength": 0.0}, {"contact": 0.0}):
        one, other = darkness(box(), **parameters), darkness(speck, **parameters)
        assert np.abs(one - other)[:150].max() < 0.02


def test_without_layers_a_hard_mask_has_a_shadow_on_any_ground():
    photo = np.full((160, 240, 3), 180, np.uint8)
    edit = Edit(photo, photo).with_mask(255 - box())
    after = Shadow(strength=0.5).apply(edit, MODELS)
    assert after.layers is None and after.outside_max_diff() == 0
    np.testing.assert_array_equal(after.image[box() > 0], 180)
    assert (after.image != 180).any()
    np.testing.assert_array_equal(after.repainted, edit.mask)  # the box is the subject for frames and cut-outs


def test_on_transparent_ground_the_shadow_is_transparent_black():
    subject = box(soft=2)
    edit = edit_of(160, 240, 255 - subject, alpha=subject)
    after = Shadow(strength=0.5, contact=0).apply(edit, MODELS)
    clear = (subject == 0) & (after.opacity > 0)
    assert clear.sum() > 200 and not after.image[clear].any() and after.opacity[clear].max() <= 128
    np.testing.assert_array_equal(after.opacity, subject + after.repainted)
    np.testing.assert_array_equal(after.image[subject == 255], edit.image[subject == 255])


def test_on_a_transparent_photo_with_a_new_background_it_is_as_on_an_opaque_one():
    subject = box(soft=2)
    opaque, see_through = edit_of(160, 240, 255 - subject), edit_of(160, 240, 255 - subject, alpha=subject)
    one, other = (
        Shadow().apply(Background(colour="white").apply(edit, MODELS), MODELS) for edit in (opaque, see_through)
    )
    assert (other.opacity == 255).all()
    assert np.abs(one.image.astype(int) - other.image).max() <= 1


def test_the_photos_border_clips_the_shadow():
    for rows, columns in [
        (slice(100, 160), slice(200, 240)),
        (slice(0, 160), slice(0, 40)),
        (slice(0, 50), slice(90, 140)),
    ]:
        subject = np.zeros((160, 240), np.uint8)
        subject[rows, columns] = 255
        before = on_white(subject)
        after = Shadow(length=2, softness=0.3).apply(before, MODELS)
        assert after.image.shape == before.image.shape and after.outside_max_diff() == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (1, 3000)])
def test_tiny_and_narrow_photos(size: tuple[int, int]):
    mask = np.full(size, 255, np.uint8)
    mask[0, 0] = 0
    if mask.any():
        edit = edit_of(*size, mask)
        assert Shadow().apply(edit, MODELS).outside_max_diff() == 0
    else:
        with pytest.raises(EmptyMask):
            Shadow().apply(edit_of(*size, mask), MODELS)


def test_empty_and_full_masks_are_told():
    with pytest.raises(EmptyMask, match="no ground for a shadow: the mask is empty"):
        Shadow().apply(edit_of(9, 9, np.zeros((9, 9), np.uint8)), MODELS)
    with pytest.raises(PhotoError, match="the mask covers the whole photo; find the subject and `invert`"):
        Shadow().apply(edit_of(9, 9, np.full((9, 9), 255, np.uint8)), MODELS)


def test_large_photos_get_the_same_shadow_as_small_ones():
    large = cv2.resize(box(), None, fx=10, fy=10, interpolation=cv2.INTER_NEAREST)
    light = Light(60, 0.5, 0.05, 0.4, 0.7, 0.02)
    one, other = shadow(box(), light), shadow(large, light)
    assert max(other.shape) <= 1600
    small = cv2.resize(other, one.shape[::-1], interpolation=cv2.INTER_AREA)
    away = cv2.dilate(box(), np.ones((5, 5))) == 0
    assert np.abs(one - small)[away].max() < 0.12 and np.abs(one - small)[away].mean() < 0.003


def test_its_result_is_the_same_in_bands(monkeypatch: pytest.MonkeyPatch):
    before = on_white(box(soft=3))
    whole = Shadow().apply(before, MODELS)
    monkeypatch.setattr("darkroom.imaging.bands._PIXELS", 1000)
    banded = Shadow().apply(before, MODELS)
    np.testing.assert_array_equal(whole.image, banded.image)
    np.testing.assert_array_equal(whole.layers.inside, banded.layers.inside)
