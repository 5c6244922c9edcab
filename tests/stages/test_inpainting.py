"""Promise 2: whatever is painted, nothing outside the mask changes. And the model gets the right crop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_fakes import FakeModels, edit_of

from pipeline.compositing import LARGEST_ASPECT, cut, paste, plan_crop, to_alpha
from pipeline.errors import EmptyMask, PhotoError
from pipeline.stages.inpaint import Inpaint
from pipeline.stages.refine import Refine

SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90)).filter(lambda s: max(s) <= LARGEST_ASPECT * min(s))


@st.composite
def masks(draw: st.DrawFn, height: int, width: int) -> np.ndarray:
    """A mask with some white: one pixel, a rectangle, everything, or soft noise; perhaps feathered."""
    mask = np.zeros((height, width), np.float32)
    y0, x0 = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    y1, x1 = draw(st.integers(y0 + 1, height)), draw(st.integers(x0 + 1, width))
    kind = draw(st.sampled_from(["pixel", "rectangle", "full", "soft"]))
    if kind == "soft":
        noise = np.random.default_rng(draw(st.integers(0, 99))).random((height, width), np.float32)
        mask[y0:y1, x0:x1] = noise[y0:y1, x0:x1]
    elif kind == "full":
        mask[:] = 1
    elif kind == "rectangle":
        mask[y0:y1, x0:x1] = 1
    mask[y0, x0] = 1
    if kind in ("pixel", "rectangle"):
        feather = draw(st.sampled_from([0, 1.5, 7]))
        mask = Refine(feather=feather).apply(edit_of(height, width, mask), FakeModels()).mask
    return mask


@settings(max_examples=300, deadline=None)
@given(st.data(), SIZES, st.booleans(), st.sampled_from([1, 1.5, 4]), st.integers(1, 3))
def test_nothing_outside_the_mask_changes_in_any_number_of_passes(data, size, crop, context, passes):
    edit = edit_of(*size)
    before = edit.original.copy()
    touched = np.zeros(size, np.uint8)
    for seed in range(passes):
        edit = edit.with_mask(data.draw(masks(*size)))
        edit = Inpaint(prompt="x", seed=seed, crop=crop, context=context).apply(edit, FakeModels())
        touched = np.maximum(touched, to_alpha(edit.mask))
    np.testing.assert_array_equal(edit.original, before)  # nobody wrote to it
    assert edit.image.shape == before.shape and edit.image.dtype == np.uint8
    np.testing.assert_array_equal(edit.image[touched == 0], before[touched == 0])
    np.testing.assert_array_equal(edit.repainted, touched)
    assert edit.outside_max_diff() == 0


@settings(max_examples=100, deadline=None)
@given(st.data(), SIZES)
def test_where_the_mask_is_white_nothing_of_the_old_picture_is_left(data, size):
    mask = data.draw(masks(*size))
    one, other = (Inpaint(prompt="x").apply(edit_of(*size, mask, seed=s), FakeModels()) for s in (1, 2))
    np.testing.assert_array_equal(one.image[mask == 1], other.image[mask == 1])


@settings(max_examples=300, deadline=None)
@given(
    st.data(),
    SIZES.map(lambda size: (size[0] * 9, size[1] * 9)),
    st.floats(1, 5),
    st.sampled_from([64, 128, 512, 1024]),
    st.sampled_from([8, 16]),
)
def test_a_crop_lies_inside_holds_the_mask_and_keeps_its_shape(data, size, context, native, multiple):
    height, width = size
    y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    y1, x1 = data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width))
    alpha = np.zeros(size, np.uint8)
    alpha[y0:y1, x0:x1] = 1
    try:
        crop = plan_crop(alpha, context, native, multiple)
    except PhotoError:
        assert max(y1 - y0, x1 - x0) * context > LARGEST_ASPECT * min(size) * 0.99
        return
    assert 0 <= crop.x0 <= x0 < x1 <= crop.x1 <= width
    assert 0 <= crop.y0 <= y0 < y1 <= crop.y1 <= height
    assert crop.width % multiple == crop.height % multiple == 0
    columns, rows = crop.x1 - crop.x0, crop.y1 - crop.y0
    assert columns >= min(width, (x1 - x0) * context) and rows >= min(height, (y1 - y0) * context)
    scale = native / (columns * rows) ** 0.5
    assert abs(crop.width - columns * scale) <= multiple / 2
    assert abs(crop.height - rows * scale) <= multiple / 2


def test_a_mask_in_the_middle_is_in_the_middle_of_its_crop():
    alpha = np.zeros((1000, 1500), np.uint8)
    alpha[400:600, 600:900] = 255
    crop = plan_crop(alpha, 2.0, 1024, 8)
    assert (crop.x0, crop.y0, crop.x1, crop.y1) == (450, 300, 1050, 700)
    assert (crop.width, crop.height) == (1256, 840)  # 3 : 2 in 1024 x 1024 pixels


def test_small_things_are_not_enlarged_more_than_four_times():
    alpha = np.zeros((1000, 1000), np.uint8)
    alpha[500, 500] = 255
    crop = plan_crop(alpha, 1.5, 1024, 8)
    assert (crop.x1 - crop.x0, crop.width) == (256, 1024)


def test_the_model_sees_nothing_of_what_a_soft_edge_blends_out():
    soft = np.zeros((64, 64), np.float32)
    soft[20:40, 20:40] = 0.01
    alpha = to_alpha(soft)
    same_size = plan_crop(alpha, None, 64, 8)
    np.testing.assert_array_equal(cut(edit_of(64, 64).image, alpha, same_size)[1], alpha > 0)
    for native in (24, 200):  # reduced, enlarged: never smaller than the region itself
        crop = plan_crop(alpha, None, native, 8)
        _, mask = cut(edit_of(64, 64).image, alpha, crop)
        ys, xs = (
            ((np.arange(20, 40) + 0.5) * native / 64).astype(int),
            slice(20 * native // 64 + 1, 39 * native // 64),
        )
        assert mask[ys, xs].all()


def test_a_picture_of_the_same_size_comes_back_as_it_is_and_half_grey_is_half_way():
    image, picture = np.full((8, 8, 3), 10, np.uint8), np.full((8, 8, 3), 210, np.uint8)
    alpha = np.repeat(np.array([0, 255, 128, 1], np.uint8), 2)[None].repeat(8, 0)
    result = paste(image, alpha, plan_crop(alpha, None, 8, 8), picture)
    assert result[0, ::2, 0].tolist() == [10, 210, 110, 11]


def test_variants_run_as_one_batch_and_equal_single_ones():
    edit, models = edit_of(40, 50, np.eye(40, 50)), FakeModels()
    stages = Inpaint(prompt=["a", "b", "a"], seed=[3, 4, 3]).variants()
    assert [(each.prompt, each.seed) for each in stages] == [("a", 3), ("a", 4), ("b", 3), ("b", 4)]
    together = Inpaint.apply_together(stages, [edit] * len(stages), models)
    assert [len(call) for call in models.diffusion.calls] == [4]
    for one, stage in zip(together, stages, strict=True):
        np.testing.assert_array_equal(one.image, stage.apply(edit, models).image)


def test_parameters_reach_the_model():
    models = FakeModels(native=128)
    given = {"negative_prompt": "", "seed": 2**63 - 1, "steps": 4, "guidance_scale": 0, "strength": 0.5}
    stage = Inpaint(prompt=1984, scheduler="euler", resolution=64, crop="photo", **given)
    stage.apply(edit_of(40, 40, np.ones((40, 40))), models)
    request = models.diffusion.calls[0][0]
    assert request.prompt == "1984" and request.scheduler == "euler" and request.image.shape == (64, 64, 3)
    assert {name: getattr(request, name) for name in given} == given


@pytest.mark.parametrize("mask", [np.zeros((9, 9)), np.full((9, 9), 0.001)])
def test_an_empty_mask_is_never_a_full_repaint(mask):
    with pytest.raises(EmptyMask, match="nothing to repaint"):
        Inpaint(prompt="x").apply(edit_of(9, 9, mask), FakeModels())


def test_a_part_too_narrow_is_refused_with_its_size():
    with pytest.raises(PhotoError, match="1 x 5000 px, more than 8 times as long as wide"):
        Inpaint(prompt="x").apply(edit_of(5000, 1, np.ones((5000, 1))), FakeModels())


def test_a_mask_stage_must_come_first():
    with pytest.raises(PhotoError, match="there is no mask yet"):
        Inpaint(prompt="x").apply(edit_of(9, 9), FakeModels())
