"""The page on how a repaint is made to fit holds what `make eval-repaint` measures."""

from __future__ import annotations

import re
from typing import get_args

import numpy as np

from darkroom.imaging.harmonise import Harmoniser
from miniature.evaluate_repaint import PAGE, SMALL, at_best, holes, likeness, small_objects, small_table
from miniature.world import PALETTE


def numbers(name: str) -> list[float]:
    """Those of a row of the page."""
    (cells,) = re.findall(rf"^\| `{name}` \|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [float(cell.strip().rstrip("%")) for cell in cells.split("|")]


def test_small_objects_come_out_better_from_a_crop_than_from_the_whole_photo():
    """As far as the crop goes: what the model makes of it is its own part."""
    assert numbers("crop: mask")[3] >= numbers("crop: photo")[3] + 3, "run: make eval-repaint"


def test_every_way_to_harmonise_was_measured():
    seams = {how: numbers(f"harmonise: {how}")[0] for how in get_args(Harmoniser)}
    assert seams["poisson"] == min(seams.values()) < seams["none"]


def test_the_cases_are_small_objects_of_another_colour_and_holes_in_empty_scenes():
    (case,) = small_objects(1)
    assert SMALL[0] < case.thing.mask.mean() < SMALL[1] and case.thing.colour != case.colour
    assert (case.edit.mask[case.thing.mask] == 255).all() and case.edit.mask.mean() < 0.1 * 255
    assert case.colour in case.prompt and case.thing.kind in case.prompt
    edit, place = next(holes(1))
    assert 0.05 * 255 < edit.mask.mean() < 0.3 * 255 and place


def test_the_judges_tell_right_from_wrong():
    (case,) = small_objects(1)
    tinted, gone = case.picture.image.copy(), case.picture.image.copy()
    tinted[case.thing.mask] = tinted[case.thing.mask] // 8 + np.array(PALETTE[case.colour]) * 7 // 8
    x0, y0, x1, y1 = case.thing.box
    gone[y0:y1, x0:x1] = gone[:1, :1]
    judged = [(case.kind_is_right(image), case.colour_is_right(image)) for image in (case.picture.image, tinted, gone)]
    assert judged[0] == (True, False) and judged[1][1] and not judged[2][0]
    (_, _, row) = small_table([case], {"mask": [case.edit]})
    assert row.startswith("| `crop: mask` | 100% | 0% | 0% | ")
    photo, mask = (at_best(case, crop) for crop in ("photo", "mask"))
    assert likeness(case, mask) > likeness(case, photo) + 3
    np.testing.assert_array_equal(mask[case.edit.mask == 0], case.picture.image[case.edit.mask == 0])
