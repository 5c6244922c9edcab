"""Stages that find something: `sam`, `text`, `clip_diff`, `grabcut`, `mask_file`."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from darkroom.errors import PhotoError
from darkroom.imaging.edit import Edit
from darkroom.imaging.masks import to_uint8
from darkroom.stages.clip_diff import ClipDiff
from darkroom.stages.grabcut import GrabCut
from darkroom.stages.heatmap import find_heatmap
from darkroom.stages.mask_file import MaskFile
from darkroom.stages.sam import Sam
from darkroom.stages.text import Text
from support.fake_models import edit_of, stage_models


def area(radius: int) -> int:
    rows, columns = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return int((np.hypot(rows, columns) <= radius).sum())


@pytest.mark.parametrize("choose, radius", [("score", 8), ("smallest", 4), ("largest", 16)])
def test_sam_chooses_among_three(choose, radius):
    mask = Sam(points=[50, 60], choose=choose).apply(edit_of(100, 120), stage_models()).mask
    assert np.count_nonzero(mask) == area(radius) and mask[60, 50] == 255


@pytest.mark.parametrize(
    "parameters, calls",
    [
        ({"points": [[10, 20], [30, 40]]}, [([[10, 20], [30, 40]], [1, 1], None)]),
        (
            {"points": [[10, 20], [30, 40]], "separate": True},
            [([[10, 20]], [1], None), ([[30, 40]], [1], None)],
        ),
        ({"points": [10, 20], "negative": [30, 40]}, [([[10, 20], [30, 40]], [1, 0], None)]),
        ({"boxes": [1, 2, 30, 40]}, [([], [], [1, 2, 30, 40])]),
        (  # a click in a box belongs to it, the others show one thing more
            {"boxes": [[0, 0, 9, 9], [50, 50, 60, 60]], "points": [[5, 5], [90, 9]]},
            [([[5, 5]], [1], [0, 0, 9, 9]), ([], [], [50, 50, 60, 60]), ([[90, 9]], [1], None)],
        ),
        (
            {"points": [[0.5, 1]], "boxes": [0, 0, 0.5, 0.5], "units": "fraction"},
            [([], [], [0, 0, 50, 40]), ([[50, 79]], [1], None)],
        ),
    ],
)
def test_sam_is_asked_once_for_each_object(parameters, calls):
    models = stage_models()
    Sam(**parameters).apply(edit_of(80, 100), models)
    assert models.sam.calls == calls


@pytest.mark.parametrize(
    "parameters, words",
    [
        ({"points": [100, 3]}, r"the click \[100, 3\] lies outside the photo, which is 100 x 80 px"),
        ({"points": [3, 3], "negative": [3, 80]}, r"the click \[3, 80\] lies outside"),
        (
            {"boxes": [0, 0, 101, 80]},
            r"the box \[0, 0, 101, 80\] reaches outside the photo, which is 100 x 80 px",
        ),
    ],
)
def test_sam_refuses_what_lies_outside(parameters, words):
    with pytest.raises(PhotoError, match=words):
        Sam(**parameters).apply(edit_of(80, 100), stage_models())


def test_text_takes_the_hottest_phrase_and_keeps_the_heat():
    edit = Text(phrase=["0-3:0.6", "2-5:0.4"], threshold=0.5).apply(edit_of(2, 6), stage_models())
    assert edit.mask[0].tolist() == [255, 255, 255, 0, 0, 0]
    assert edit.artifacts["heat"][0].tolist() == [153, 153, 153, 102, 102, 0]
    soft = Text(phrase="0-3:0.6", threshold=None).apply(edit, stage_models())
    np.testing.assert_array_equal(soft.mask, soft.artifacts["heat"])


@pytest.mark.parametrize(
    "combine, expected",
    [
        ("probability", [0.8, 0.6, 0, 0.2, 0]),
        ("logit", [0.8, 0.8, 4 / 13, 0.2, 0]),  # odds 4 against 9 in the third column; a cold one takes nothing away
        ("softmax", [0.8, 4 / 5.25, 4 / 14, 0.2, 0]),
    ],
)
def test_what_is_unwanted_is_taken_away_in_the_space_asked_for(combine, expected):
    """Columns: wanted alone; unwanted but unlikely; both, the unwanted more so; wanted but cold; unwanted alone."""
    stage = Text(phrase=["0-3:0.8", "3-4:0.2"], without=["1-2:0.2", "2-3:0.9", "4-5:0.9"], combine=combine)
    edit = edit_of(1, 5)
    heat = find_heatmap(stage_models(), edit.image, stage.phrase, stage.without, combine)
    np.testing.assert_allclose(heat[0], expected, atol=1e-6)
    np.testing.assert_array_equal(stage.apply(edit, stage_models()).artifacts["heat"], to_uint8(heat))


def test_in_softmax_wanted_phrases_add_up_and_certainty_is_no_accident():
    edit = edit_of(1, 4)
    heat = Text(phrase=["0-2:0.5", "0-2:0.5", "2-3:1"], without="2-4:1", combine="softmax").apply(edit, stage_models())
    assert heat.artifacts["heat"][0].tolist() == [170, 170, 127, 0]


@pytest.mark.parametrize(
    "threshold, white",
    [(0.4, 6), ("0.4", 6), (0, 9), ("otsu", 3), ("p70", 3), ("p45.5", 6), ("p0", 9), ("p100", 1)],
)
def test_a_threshold_is_a_heat_a_share_of_the_photo_or_a_gap_between_warm_and_cold(threshold, white):
    """Ten columns: one of 0.91, two of 0.9, three of 0.4, three of 0.3 and a cold one."""
    phrases = ["0-1:0.91", "1-3:0.9", "3-6:0.4", "6-9:0.3"]
    mask = Text(phrase=phrases, threshold=threshold).apply(edit_of(1, 10), stage_models()).mask
    assert mask[0].tolist() == [255] * white + [0] * (10 - white)


@pytest.mark.parametrize("phrase", ["0-10:0", "0-10:0.7"])
def test_where_all_is_equally_warm_otsu_finds_nothing(phrase):
    assert not Text(phrase=phrase, threshold="otsu").apply(edit_of(1, 10), stage_models()).mask.any()


def test_clip_diff_subtracts_and_stops_at_zero():
    edit = ClipDiff(source="0-4:0.75", target=["2-4:0.25", "3-6:0.5"], threshold=0.5).apply(
        edit_of(2, 6), stage_models()
    )
    assert edit.artifacts["heat"][0].tolist() == [191, 191, 128, 64, 0, 0]
    assert edit.mask[0].tolist() == [255, 255, 255, 0, 0, 0]


def a_ball_on_grass(size: int = 300) -> tuple[Edit, np.ndarray]:
    rng = np.random.default_rng(0)
    rows, columns = np.ogrid[:size, :size]
    ball = np.hypot(rows - size * 0.55, columns - size * 0.45) < size * 0.2
    photo = np.where(ball[..., None], [190, 60, 40], [70, 130, 60]) + rng.normal(0, 18, (size, size, 3))
    photo = np.clip(photo, 0, 255).astype(np.uint8)
    return Edit(photo, photo), ball


@pytest.mark.parametrize("working_size", [100, 300])
def test_grabcut_finds_a_ball_and_finds_it_again(working_size):
    edit, ball = a_ball_on_grass()
    stage = GrabCut(box=[0.2, 0.3, 0.7, 0.8], units="fraction", working_size=working_size)
    mask = stage.apply(edit, stage_models()).mask == 255
    assert (mask & ball).sum() / (mask | ball).sum() > 0.97
    cv2.setRNGSeed(99)  # what ran before has no say
    np.testing.assert_array_equal(stage.apply(edit, stage_models()).mask == 255, mask)


def test_grabcut_believes_clicks():
    edit, ball = a_ball_on_grass()
    stage = GrabCut(box=[30, 60, 250, 270], negative=[135, 165], points=[60, 100], iterations=1)
    mask = stage.apply(edit, stage_models()).mask
    assert ball[165, 135] and not mask[165, 135]
    assert not ball[100, 60] and mask[100, 60]


@pytest.mark.parametrize("box", [[0, 0, 300, 300], [10, 10, 10.2, 10.2]])
def test_grabcut_needs_an_inside_and_an_outside(box):
    with pytest.raises(PhotoError, match="leave some outside"):
        GrabCut(box=box).apply(edit_of(300, 300), stage_models())


@pytest.mark.parametrize(
    "pixels, expected",
    [
        (np.array([[0, 51, 255]], np.uint8), [0, 51, 255]),
        (np.array([[0, 13107, 65535]], np.uint16), [0, 51, 255]),  # Pillow alone would make it 0, 1, 1
        (np.array([[False, True, True]]), [0, 255, 255]),
        (np.array([[[0, 0, 0], [51, 51, 51], [255, 255, 255]]], np.uint8), [0, 51, 255]),
    ],
)
def test_mask_file_reads_what_people_draw(tmp_path, pixels, expected):
    Image.fromarray(pixels).save(tmp_path / "a.b.png")
    Image.fromarray(pixels).save(tmp_path / "other.png")
    stage = MaskFile(folder=str(tmp_path))
    assert [path.name for path in stage.input_files("a.b.jpg")] == ["a.b.png"]
    assert stage.apply(edit_of(1, 3, name="a.b.jpg"), stage_models()).mask[0].tolist() == expected


@pytest.mark.parametrize("name", ["reds/car.jpg", "/reds/car.jpg", "../reds/car.jpg"])
def test_mask_file_follows_the_photos_folders_but_not_out_of_its_own(tmp_path, name):
    (tmp_path / "reds").mkdir()
    (tmp_path / "reds/car.png").touch()
    (tmp_path / "car.png").touch()
    assert MaskFile(folder=str(tmp_path)).input_files(name) == [tmp_path / "reds/car.png"]


def test_mask_file_takes_transparency():
    alpha = np.array([[0, 204, 255]], np.uint8)
    mask = MaskFile(alpha=True).apply(edit_of(1, 3, alpha=alpha), stage_models()).mask
    assert mask[0].tolist() == [255, 51, 0]
    with pytest.raises(PhotoError, match="the photo has no transparency"):
        MaskFile(alpha=True).apply(edit_of(1, 3), stage_models())


def test_mask_file_says_what_is_wrong_with_a_file(tmp_path):
    stage, edit = MaskFile(folder=str(tmp_path)), edit_of(1, 3, name="car.jpg")
    with pytest.raises(PhotoError, match=r"one mask .*car\.png .* found none"):
        stage.apply(edit, stage_models())
    Image.new("L", (2, 4)).save(tmp_path / "car.png")
    with pytest.raises(PhotoError, match=r"car\.png is 2 x 4 px, but the photo is 3 x 1 px"):
        stage.apply(edit, stage_models())
    (tmp_path / "car.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    with pytest.raises(PhotoError, match=r"car\.png cannot be read"):
        stage.apply(edit, stage_models())
    Image.new("L", (3, 1)).save(tmp_path / "car.TIF")
    with pytest.raises(PhotoError, match=r"found car\.TIF and car\.png"):
        stage.apply(edit, stage_models())
