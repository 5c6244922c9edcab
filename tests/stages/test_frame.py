"""`frame`: the subject has the share and the place that were asked for, to the pixel, and the edit does not change."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pydantic import ValidationError

from darkroom.errors import PhotoError
from darkroom.imaging.edit import Edit
from darkroom.imaging.framing import Framing, framed_grey
from darkroom.stages.frame import Frame
from support.fake_models import edit_of, stage_models


def subject(x0: int, y0: int, x1: int, y1: int, width: int = 300, height: int = 200) -> Edit:
    mask = np.zeros((height, width), np.uint8)
    mask[y0:y1, x0:x1] = 255
    return edit_of(height, width, mask)


def framing(edit: Edit, **parameters: object) -> Framing:
    stage = Frame(**parameters)
    after = stage.apply(edit, stage_models())
    assert after.image is edit.image and after.mask is edit.mask and after.repainted is edit.repainted
    return stage.framing(after.figures)


def box(frame: Framing, mask: np.ndarray) -> tuple[int, int, int, int]:
    """Where the subject is in the framed picture: x0, y0, x1, y1."""
    grey = framed_grey(frame, mask) > 127
    rows, columns = np.flatnonzero(grey.any(axis=1)), np.flatnonzero(grey.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


@pytest.mark.parametrize("given", [{"size": [320, 240]}, {"size": [90, 160]}, {"aspect": "4:5"}, {"aspect": "16:9"}])
@pytest.mark.parametrize("sides", [(40, 60, 140, 110), (200, 20, 240, 180), (5, 145, 95, 195)])
def test_share_and_place(given: dict, sides: tuple[int, int, int, int]) -> None:
    edit = subject(*sides)
    places = itertools.product(("left", "centre", "right"), ("top", "centre", "bottom"))
    for horizontal, vertical in places:
        asked = {
            "share": 0.6,
            "padding": 0.1,
            "horizontal": horizontal,
            "vertical": vertical,
            "fill": "black",
            "max_scale": 3,
        }
        frame = framing(edit, **given, **asked)
        x0, y0, x1, y1 = box(frame, edit.mask)
        width, height = frame.width, frame.height
        share = ((x1 - x0) / width, (y1 - y0) / height)
        assert max(share) == pytest.approx(0.6, abs=1.5 / min(width, height))
        across = {"left": x0 - 0.1 * width, "right": 0.9 * width - x1, "centre": (x0 + x1 - width) / 2}
        down = {"top": y0 - 0.1 * height, "bottom": 0.9 * height - y1, "centre": (y0 + y1 - height) / 2}
        assert abs(across[horizontal]) <= 1 and abs(down[vertical]) <= 1


def test_padding_alone_leaves_that_much() -> None:
    edit = subject(100, 80, 200, 120)
    x0, y0, x1, y1 = box(framing(edit, size=[200, 200], padding=0.1), edit.mask)
    assert (x0, x1) == (20, 180) and (y0, y1) == (68, 132)


def test_without_share_and_padding_it_is_the_largest_part_of_the_photo() -> None:
    left, right = subject(10, 80, 60, 120), subject(250, 80, 300, 120)
    assert framing(left, aspect="1:1") == Framing(0, 0, 1, 200, 200)
    assert framing(right, aspect="1:1") == Framing(100, 0, 1, 200, 200)
    assert framing(subject(140, 80, 180, 120), aspect="1:1") == Framing(60, 0, 1, 200, 200)
    assert framing(left, size=[100, 100]) == Framing(0, 0, 0.5, 100, 100)
    assert framing(left, size=[300, 200]) == Framing(0, 0, 1, 300, 200)
    assert framing(edit_of(200, 300), aspect="1:2") == Framing(100, 0, 1, 100, 200)


def test_after_a_repaint_the_subject_is_what_was_kept() -> None:
    edit = subject(100, 80, 200, 120)
    repainted = edit.with_image(edit.image, 255 - edit.mask)
    asked = {"size": [200, 200], "share": 0.5}
    assert framing(repainted, **asked) == framing(edit, **asked)


def test_faint_pixels_do_not_count_as_subject() -> None:
    edit = subject(100, 80, 200, 120)
    edit.mask[0, 0] = 30
    assert framing(edit, aspect="1:1", share=0.5) == framing(subject(100, 80, 200, 120), aspect="1:1", share=0.5)


def test_inside_moves_and_shrinks_the_frame_until_it_fits_into_the_photo() -> None:
    edit = subject(2, 80, 62, 120)
    out, inside = (framing(edit, aspect="1:1", share=0.5, inside=inside) for inside in (False, True))
    assert (out.x, out.y) == (-28, 40) and (inside.x, inside.y) == (0, 40)
    large = framing(edit, aspect="1:1", share=0.25, inside=True)
    assert (large.x, large.y, large.width, large.height) == (0, 0, 200, 200)
    figures = Frame(aspect="1:1", share=0.5).apply(edit, stage_models()).figures
    assert figures["outside"] == pytest.approx(28 / 120, abs=1e-4)


def test_a_subject_that_the_photo_cuts_off_is_not_continued_beyond_the_border() -> None:
    bottom = framing(subject(100, 100, 160, 200), size=[100, 100], padding=0.1, vertical="top")
    assert bottom.y + 100 / bottom.scale == pytest.approx(200) and bottom.x == pytest.approx(130 - 62.5)
    left = framing(subject(0, 80, 60, 120), aspect="1:1", share=0.5, horizontal="right")
    assert (left.x, left.y) == (0, 40)
    both = framing(subject(0, 80, 300, 120), aspect="3:2", share=0.5)
    assert (both.x, both.width) == (-150, 600)


def test_a_photo_that_would_be_enlarged_too_much_fails() -> None:
    with pytest.raises(PhotoError, match=r"would enlarge it 2\.5 times, more than `max_scale`, 2: use a smaller"):
        framing(subject(100, 80, 200, 120), size=[500, 500], share=0.5)
    assert framing(subject(100, 80, 200, 120), size=[500, 500], share=0.5, max_scale=2.5).scale == 2.5
    with pytest.raises(PhotoError, match="at most 20000 px a side"):
        framing(subject(100, 80, 240, 120), aspect="20:1", share=0.01, fill="mirror", horizontal="left", vertical="top")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "give either `size` or `aspect`"),
        ({"size": [10, 10], "aspect": "1:1"}, "give either `size` or `aspect`"),
        ({"size": [10]}, "whole numbers from 1 to 20000; got"),
        ({"size": [10, 30_000]}, "whole numbers from 1 to 20000; got"),
        ({"size": [10, True]}, "whole numbers from 1 to 20000; got"),
        ({"aspect": "4/5"}, "width:height such as 4:5"),
        ({"aspect": "1:0"}, "width:height such as 4:5"),
        ({"aspect": "100:1"}, "at most 20:1"),
        ({"aspect": "nan:1"}, "width:height such as 4:5"),
        ({"aspect": "1:1", "fill": "wite"}, "should be edge, mirror, transparent, or a colour such as white"),
        ({"aspect": "1:1", "fill": "#ffffff80"}, "should be edge, mirror, transparent, or a colour such as white"),
        ({"aspect": "1:1", "share": 0.9, "padding": 0.1}, "`share` is at most 0.8"),
    ],
)
def test_wrong_parameters(parameters: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Frame(**parameters)
