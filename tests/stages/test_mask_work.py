"""`refine`, `invert` and `combine` on shapes whose areas are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from darkroom.errors import EmptyMask, PhotoError
from darkroom.imaging.compositing import inward_ramp
from darkroom.imaging.masks import to_float, to_uint8
from darkroom.stages import STAGES
from darkroom.stages.refine import feathered, grown
from support.fake_models import edit_of, stage_models

STEP = 1 / 255  # of a mask's values
FULL = np.full((2, 2), 255, np.uint8)

SOFT = arrays.arrays(np.float32, (7, 9), elements=st.integers(0, 255).map(lambda v: np.float32(v / 255)))
HARD = arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=20))


def run(op: str, mask: np.ndarray, **parameters) -> np.ndarray:
    """The mask that an op makes of another, (H, W) float32 in [0, 1]."""
    made = STAGES[op](**parameters).apply(edit_of(*mask.shape, mask), stage_models()).mask
    assert made.dtype == np.uint8
    return to_float(made)


def disc(radius: float, size: int = 201) -> np.ndarray:
    rows, columns = np.ogrid[:size, :size]
    return np.hypot(rows - size // 2, columns - size // 2) <= radius


def pieces(*areas: int) -> np.ndarray:
    """Rows of so many white pixels, two rows apart."""
    mask = np.zeros((2 * len(areas), max(areas)), bool)
    for index, area in enumerate(areas):
        mask[2 * index, :area] = True
    return mask


@given(SOFT)
def test_inverting_twice_gives_the_mask_back(mask):
    mask[0, 0], mask[-1, -1] = 1, 0  # neither it nor its inverse is empty
    np.testing.assert_allclose(run("invert", run("invert", mask)), mask, atol=1e-7)


@given(HARD, st.floats(0, 6))
def test_growing_then_shrinking_closes_and_the_reverse_opens(mask, distance):
    closed = run("refine", run("refine", mask, grow=distance), grow=-distance) == 1
    opened = run("refine", run("refine", mask, grow=-distance), grow=distance) == 1
    assert (closed >= mask).all() and (opened <= mask).all()
    np.testing.assert_array_equal(run("refine", mask, close=distance) == 1, closed)
    np.testing.assert_array_equal(run("refine", mask, open=distance) == 1, opened)


@pytest.mark.parametrize("grow", [-20, -3.5, 0, 5, 40])
def test_growth_is_round_and_as_wide_as_said(grow):
    assert run("refine", disc(45), grow=grow).sum() == pytest.approx(np.pi * (45 + grow) ** 2, rel=0.03)


def test_what_touches_the_border_does_not_shrink_from_it():
    mask = np.zeros((20, 20))
    mask[:, :10] = 1
    shrunk = run("refine", mask, grow=-3)
    assert shrunk[:, :7].all() and not shrunk[:, 7:].any()


def test_feather_lies_outside_and_falls_evenly():
    mask = np.zeros((1, 12))
    mask[0, :4] = 1
    feathered = run("refine", mask, feather=3)[0, 2:9]
    np.testing.assert_allclose(feathered, [1, 1, 0.75, 0.5, 0.25, 0, 0], atol=STEP)


@given(HARD, st.sampled_from([0.5, 1, 2.2, 3, 25]), st.integers(0, 15))
def test_distances_are_exact_wherever_the_mask_lies_in_picture_and_memory(mask, width, shift):
    wide = np.zeros((mask.shape[0] + 60, mask.shape[1] + 60), bool)[shift:, 2 * shift :]
    wide[20 : 20 + mask.shape[0], 20 : 20 + mask.shape[1]] = mask
    rows, columns = np.indices(wide.shape)
    squares = [(rows - row) ** 2 + (columns - column) ** 2 for row, column in np.argwhere(wide)]
    distance = np.sqrt(np.min(squares, axis=0).astype(np.float32)) if squares else np.full(wide.shape, np.inf)
    np.testing.assert_array_equal(grown(wide, width), distance <= width)
    np.testing.assert_array_equal(feathered(wide, width), np.clip(1 - distance / np.float32(width + 1), 0, 1))
    np.testing.assert_array_equal(inward_ramp(np.uint8(255) * ~wide, width), to_uint8(distance / np.float32(width + 1)))


def test_blur_softens_only_where_the_threshold_is_null():
    soft = run("refine", disc(50), blur=4, threshold=None)
    assert 0.45 < soft[100, 150] < 0.6 and soft[100, 100] > 0.999 and soft[0, 0] == 0
    np.testing.assert_array_equal(run("refine", disc(50), blur=4), soft >= 0.5)


def test_closing_and_opening_take_cracks_and_whiskers():
    cracked, hairy = disc(40), disc(40)
    cracked[100, :] = False
    hairy[100, :] = True
    assert run("refine", cracked, close=2)[100, 70:130].all()
    assert not run("refine", hairy, open=2)[100, :55].any()


def test_holes_are_filled_but_not_bays():
    mask = disc(40) & ~disc(20)
    assert run("refine", mask, fill_holes=True).sum() == disc(40).sum()
    mask[100, :100] = False  # the hole is open to the outside now
    np.testing.assert_array_equal(run("refine", mask, fill_holes=True), mask)


@pytest.mark.parametrize(
    "parameters, kept",
    [
        ({}, [5, 2, 9, 2]),
        ({"keep_largest": 1}, [9]),
        ({"keep_largest": 3}, [5, 2, 9]),  # of equal pieces the upper one
        ({"keep_largest": 99}, [5, 2, 9, 2]),
        ({"min_area": 3}, [5, 9]),
        ({"min_area": 6, "keep_largest": 2}, [9]),
        ({"min_area": 10}, []),
    ],
)
def test_pieces_are_kept_by_their_area(parameters, kept):
    rows = run("refine", pieces(5, 2, 9, 2), **parameters).sum(axis=1)
    assert [area for area in rows if area] == kept


def test_each_piece_gets_its_box():
    mask = np.zeros((30, 40), bool)
    mask[2:9, 5] = mask[8, 5:12] = True  # an L
    mask[20:24, 30:33] = True
    boxes = np.zeros_like(mask)
    boxes[2:9, 5:12] = boxes[20:24, 30:33] = True
    np.testing.assert_array_equal(run("refine", mask, box=True), boxes)


@pytest.mark.parametrize("value", [0, 1])
def test_empty_and_full_masks_pass_through_all_steps(value):
    everything = {"blur": 1, "close": 2, "open": 2, "fill_holes": True, "min_area": 2, "keep_largest": 1, "box": True}
    mask = run("refine", np.full((11, 7), value), **everything, grow=-1, feather=2)
    assert (mask == value).all()


@pytest.mark.parametrize(
    "how, expected",
    [
        ("union", [0, 1, 1, 1, 0.5, 0.75]),
        ("intersection", [0, 0, 0, 1, 0, 0.5]),
        ("difference", [0, 1, 0, 0, 0.5, 0.125]),
    ],
)
def test_combine(how, expected):
    mask, other = np.array([[0, 1, 0, 1, 0.5, 0.5]]), np.array([[0, 0, 1, 1, 0, 0.75]])
    edit = edit_of(1, 6, mask, masks={"sky": to_uint8(other)})
    joined = STAGES["combine"](mask="sky", how=how).apply(edit, stage_models()).mask[0]
    np.testing.assert_allclose(to_float(joined), expected, atol=STEP)


def test_the_difference_of_any_two_greys_is_rounded_once():
    mask, other = (each.astype(np.uint8) for each in np.mgrid[:256, :256])
    edit = edit_of(256, 256, mask, masks={"sky": other})
    joined = STAGES["combine"](mask="sky", how="difference").apply(edit, stage_models()).mask
    np.testing.assert_array_equal(joined, np.rint(mask.astype(float) * (255.0 - other) / 255))


@pytest.mark.parametrize(
    "own, other, joined", [(0.9, 0.4, 0.4), (0.3, None, 0.3), (None, 0.7, 0.7), (None, None, None)]
)
def test_who_works_on_a_mask_hands_its_confidence_on(own, other, joined):
    edit = edit_of(2, 2, masks={"sky": FULL}, confidences={"sky": other}).with_mask(np.ones((2, 2)), own)
    assert STAGES["combine"](mask="sky").apply(edit, stage_models()).confidence == joined
    for stage in (STAGES["refine"](grow=1), STAGES["refine"](threshold=None), STAGES["invert"]()):
        made = stage.apply(edit, stage_models())
        assert made.confidence == own and made.figures.get("confidence") == own


def test_combine_names_its_need_and_says_what_there_is():
    stage = STAGES["combine"](mask="sly")
    assert stage.needed_masks() == ["sly"]
    with pytest.raises(PhotoError, match="no earlier stage 'sly' made a mask, did you mean 'sky'"):
        stage.apply(edit_of(2, 2, np.ones((2, 2)), masks={"sky": FULL}), stage_models())


def test_an_empty_mask_is_not_inverted_into_a_full_one():
    with pytest.raises(EmptyMask):
        run("invert", np.full((4, 5), 0.001, np.float32))  # less than one of 255 steps


def test_a_reduced_copy_gets_about_the_reduced_mask():
    mask, stage = disc(50, 402), STAGES["refine"](grow=40, feather=60, min_area=5000)
    full = stage.apply(edit_of(402, 402, to_uint8(mask)), stage_models()).mask[1::3, 1::3]
    small = stage.at_scale(1 / 3).apply(edit_of(134, 134, to_uint8(mask[1::3, 1::3])), stage_models()).mask
    assert np.abs(full.astype(int) - small).max() <= 20
    clicks = STAGES["sam"](points=[[100, 40]], boxes=[[8, 12, 16, 20]]).at_scale(0.5)
    assert clicks.points == ((50, 20),) and clicks.boxes == ((4, 6, 8, 10),)
    assert STAGES["sam"](points=[[0.5, 0.5]], units="fraction").at_scale(0.5).points == ((0.5, 0.5),)
