"""Unmixed colours in the soft edge of a mask: a repaint blends with those of the kept side alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from darkroom.imaging.compositing import to_working_crop
from darkroom.imaging.crops import CropPlanner
from darkroom.imaging.edit import Edit
from darkroom.imaging.layers import Layers, in_band, is_band
from darkroom.stages.inpaint import Inpaint
from darkroom.stages.invert import Invert
from darkroom.stages.refine import Refine
from support.fake_models import edit_of, stage_models
from support.strategies import SIZES, masks


def matted(mask: np.ndarray) -> Edit:
    """An edit with a mask, and layers of noise in its band."""
    edit = edit_of(*mask.shape, mask)
    sides = (in_band(edit_of(*mask.shape, seed=seed).image, edit.mask) for seed in (1, 2))
    return replace(edit, layers=Layers(*sides))


@settings(max_examples=100, deadline=None)
@given(st.data(), SIZES, st.sampled_from(["mask", "regions", "photo"]))
def test_a_repaint_shows_nothing_of_the_replaced_side(data, size, crop):
    """What the photo has in the band is a mixture of both sides: it must not matter."""
    before = matted(data.draw(masks(*size)))
    band, repaint = is_band(before.mask), Inpaint(prompt="x", crop=crop)
    other = np.where(band[..., None], 255 - before.image, before.image)
    after, from_other = (
        repaint.apply(replace(before, original=each, image=each), stage_models()) for each in (before.image, other)
    )
    np.testing.assert_array_equal(after.image, from_other.image)
    np.testing.assert_array_equal(after.image[before.mask == 0], before.image[before.mask == 0])
    np.testing.assert_array_equal(after.layers.outside, before.layers.outside)
    assert not after.layers.inside[~band].any()
    if crop != "regions":  # crops of neighbouring regions may overlap
        share = before.mask[..., None] / 255
        mixed = before.layers.outside * (1 - share) + after.layers.inside * share
        np.testing.assert_allclose(after.image[band], mixed[band], atol=0.51)


def test_the_model_does_not_see_the_rim_that_is_kept():
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 32:] = 255
    crop = CropPlanner(mask.shape, 64, 8).photo()
    seen = [to_working_crop(edit_of(64, 64).image, mask, crop, grow).mask for grow in (0, 4)]
    assert not seen[0][:, :32].any() and seen[0][:, 32:].all()
    assert not seen[1][:, :28].any() and seen[1][:, 28:].all()
    plain = edit_of(64, 64, mask)
    before = replace(plain, layers=Layers(*[np.zeros_like(plain.image)] * 2))
    hidden = []
    for edit in (plain, before):
        models = stage_models()
        Inpaint(prompt="x", crop="photo").apply(edit, models)
        hidden.append(models.diffusion.calls[-1][0].mask.mean())
    assert hidden[1] == hidden[0] + 4 / 64


def test_a_blend_of_its_own_ignores_the_layers():
    edit = matted(np.linspace(0, 1, 40)[None].repeat(30, 0))
    repaint = Inpaint(prompt="x", blend=3)
    after, without = (repaint.apply(each, stage_models()) for each in (edit, replace(edit, layers=None)))
    np.testing.assert_array_equal(after.image, without.image)
    assert after.layers is None


def test_inverting_swaps_the_sides_and_other_stages_forget_them():
    edit = matted(np.linspace(0, 1, 40)[None].repeat(30, 0))
    inverted = Invert().apply(edit, stage_models())
    np.testing.assert_array_equal(inverted.layers.inside, edit.layers.outside)
    np.testing.assert_array_equal(inverted.layers.outside, edit.layers.inside)
    assert Refine(grow=1).apply(edit, stage_models()).layers is None
