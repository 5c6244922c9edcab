"""`matte`: alpha and unmixed colours near the edge of a mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.eval_photos import iou
from darkroom.errors import PhotoError
from darkroom.imaging.codec import read_photo
from darkroom.imaging.edit import Edit
from darkroom.imaging.layers import is_band
from darkroom.imaging.strands import REACH
from darkroom.models import Memory, ModelNames, Models
from darkroom.stages.invert import Invert
from darkroom.stages.mask_file import read_mask
from darkroom.stages.matte import Matte
from darkroom.stages.refine import Refine
from miniature.edge_scenes import EdgeScene, edge_scene, mask_as_sam_makes_it
from support.fake_models import edit_of, stage_models
from support.runs import ROOT
from support.strategies import masks

NEW = np.array([30, 200, 60], np.float32)  # a background
SIZES = st.tuples(st.integers(1, 70), st.integers(1, 70))


@pytest.fixture(scope="module", params=["hair", "plain"])
def scene(request) -> EdgeScene:
    return edge_scene(request.param, 500)


def edit_with(scene: EdgeScene, **more) -> Edit:
    return Edit(scene.photo, scene.photo, **more).with_mask(mask_as_sam_makes_it(scene.alpha, 500), 0.7)


def matted(edit: Edit, **parameters) -> Edit:
    return Matte(**parameters).apply(edit, stage_models())


def error(scene: EdgeScene, edit: Edit) -> float:
    """The mean absolute error of the subject on `NEW`, where its true edge is."""
    share, truth = edit.mask[..., None] / 255, scene.alpha[..., None]
    colours = (
        edit.image if edit.layers is None else np.where(is_band(edit.mask)[..., None], edit.layers.inside, edit.image)
    )
    shown, right = (a * picture + (1 - a) * NEW for a, picture in ((share, colours), (truth, scene.inside)))
    return np.abs(shown - right)[(scene.alpha > 0) & (scene.alpha < 1)].mean()


@pytest.mark.parametrize(("kind", "band"), [("fur", 0.01), ("spokes", 0.04), ("plain", 0.01), ("hair", 0.04)])
def test_it_has_less_than_two_thirds_of_the_error_of_a_feather(kind, band):
    scene = edge_scene(kind, 500)
    edit = edit_with(scene)
    feathers = [Refine(grow=-width, feather=2 * width) for width in (1, 2, 4)]
    best = min(error(scene, feather.apply(edit, stage_models())) for feather in feathers)
    assert error(scene, matted(edit, band=band)) < 0.66 * best


def test_strands_halve_the_error_of_a_feather_around_hair_and_are_better_than_a_wide_band():
    scene = edge_scene("hair", 501)
    edit = edit_with(scene)
    best = min(error(scene, Refine(grow=-each, feather=2 * each).apply(edit, stage_models())) for each in (0, 1, 2, 4))
    found, wide = (error(scene, matted(edit, **each)) for each in ({"strands": True}, {"band": 0.04}))
    assert found < 0.5 * best and found < 0.8 * wide


@pytest.mark.parametrize("kind", ["fur", "spokes", "plain"])
def test_strands_are_no_worse_than_the_narrow_band_around_other_edges(kind):
    scene = edge_scene(kind, 501)
    edit = edit_with(scene)
    assert error(scene, matted(edit, strands=True)) < 1.05 * error(scene, matted(edit))


def test_strands_reach_beyond_the_band_where_there_is_hair_and_nowhere_else():
    for kind, reaches in (("hair", True), ("plain", False)):
        before = edit_with(edge_scene(kind, 501))
        after = matted(before, strands=True).mask
        far = Refine(grow=round(0.012 * 768) + 2).apply(before, stage_models()).mask == 0
        farther = Refine(grow=round(REACH * 768) + 2).apply(before, stage_models()).mask == 0

        assert ((after[far] > 128).sum() > 1000) == reaches and (reaches or not after[far].any())
        assert not after[farther].any()


def test_strands_do_little_harm_to_a_photograph_without_any():
    photo = read_photo(ROOT / "examples" / "coffee.jpg").pixels
    truth, _ = read_mask(ROOT / "benchmarks" / "photo_masks" / "examples" / "coffee.png", photo.shape[1::-1])
    edit = Edit(photo, photo).with_mask(truth)
    wide, strands = (
        iou(matted(edit, **each).mask >= 128, truth >= 128) for each in ({"band": 0.04}, {"strands": True})
    )

    assert strands > 0.985 and 1 - strands < 0.8 * (1 - wide)


def test_strands_are_found_by_colours_alone():
    models = Models(ModelNames(matting="closed_form"), Memory(), "cpu")
    assert [key for key, _ in Matte(strands=True).refusals(models)] == ["strands"]
    assert not list(Matte(strands=True).refusals(stage_models())) and not list(Matte().refusals(models))


def test_colours_are_found_in_the_band_only_and_mix_to_the_photo(scene):
    edit = matted(edit_with(scene))
    band = is_band(edit.mask)
    assert band.any() and not edit.layers.inside[~band].any() and not edit.layers.outside[~band].any()
    share = edit.mask[..., None] / 255
    mixed = (1 - share) * edit.layers.outside + share * edit.layers.inside
    off = np.abs(mixed - edit.image)[band]
    assert np.quantile(off, 0.9) <= 1 and off.mean() < 2  # colours that would be below 0 or above 255 are clipped


def test_far_from_the_edge_the_mask_stays_hard(scene):
    before = edit_with(scene)
    after = matted(before, band=0.02)
    reach = int(0.02 * 768) + 1
    sure = [Refine(grow=grow).apply(before, stage_models()).mask for grow in (-reach, reach)]
    assert (after.mask[sure[0] == 255] == 255).all() and (after.mask[sure[1] == 0] == 0).all()


def test_the_matte_of_the_inverted_mask_is_the_inverted_matte(scene):
    edit = edit_with(scene)
    one, other = (Invert().apply(matted(edit), stage_models()), matted(Invert().apply(edit, stage_models())))
    assert np.abs(one.mask.astype(int) - other.mask).max() <= 1
    same = one.mask == other.mask
    for side in ("inside", "outside"):
        assert np.abs(getattr(one.layers, side).astype(int) - getattr(other.layers, side))[same].max() <= 1


def test_the_confidence_is_passed_on_and_nothing_else_changes(scene):
    before = edit_with(scene)
    after = matted(before)
    assert after.confidence == 0.7 and after.image is before.image and before.layers is None


def test_a_transparent_photo_is_seen_over_white(scene):
    alpha = np.zeros(scene.photo.shape[:2], np.uint8)
    alpha[:, :300] = 255
    hidden = edit_with(scene, alpha=alpha)
    white = np.where(alpha[..., None] > 0, scene.photo, np.uint8(255))
    np.testing.assert_array_equal(matted(hidden).mask, matted(replace(hidden, original=white, image=white)).mask)


@pytest.mark.parametrize("value", [0, 255])
def test_a_mask_without_an_edge_stays_as_it_is(value):
    edit = matted(edit_of(40, 60, np.full((40, 60), value, np.uint8)))
    assert (edit.mask == value).all() and not edit.layers.inside.any() and not edit.layers.outside.any()


@settings(max_examples=60, deadline=None)
@given(st.data(), SIZES, st.booleans())
def test_any_photo_and_mask_give_alpha_and_colours(data, size, strands):
    edit = matted(edit_of(*size, data.draw(masks(*size))), strands=strands)
    assert edit.mask.shape == size and edit.mask.dtype == np.uint8
    assert edit.layers.inside.shape == edit.layers.outside.shape == (*size, 3)
    assert not edit.layers.inside[~is_band(edit.mask)].any()


def test_it_needs_a_mask():
    with pytest.raises(PhotoError, match="there is no mask yet"):
        matted(edit_of(8, 8))
