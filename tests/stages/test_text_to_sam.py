"""Stages that join what CLIPSeg finds, or a place, with what SAM cuts out: `snap`, `auto`."""

from __future__ import annotations

import numpy as np
import pytest

from darkroom.errors import PhotoError
from darkroom.imaging.edit import Edit
from darkroom.imaging.masks import to_uint8
from darkroom.stages.auto import Auto
from darkroom.stages.snap import Snap
from darkroom.stages.text import Text
from miniature.examples import EXAMPLES, FLEET
from support.fake_models import ColourSam, FakeModels, edit_of, stage_models

SMALL, MIDDLE, LARGE = (slice(4, 12), slice(4, 20)), (slice(24, 48), slice(28, 52)), (slice(56, 80), slice(40, 92))


def things() -> Edit:
    """Three rectangles on a ground, 80 x 100 px, each of its own colour, so that ColourSam's masks are known."""
    photo = np.zeros((80, 100, 3), np.uint8)
    for number, where in enumerate((SMALL, MIDDLE, LARGE), 1):
        photo[where] = 60 * number
    return Edit(photo, photo)


def only(*where: tuple[slice, slice]) -> np.ndarray:
    mask = np.zeros((80, 100), np.float32)
    for each in where:
        mask[each] = 1
    return mask


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a > 127) & b).sum() / ((a > 127) | b).sum())


class Blots:
    """A CLIPSeg that gives the heats it was made with, whatever the photo."""

    def __init__(self, **heats: np.ndarray) -> None:
        self.heats = heats

    def heatmaps(self, image, phrases):
        return np.array([self.heats[phrase] for phrase in phrases], np.float32).reshape(-1, *image.shape[:2])


def models(**heats: np.ndarray) -> FakeModels:
    fakes = stage_models(sam=ColourSam())
    fakes.clipseg = Blots(**heats)
    return fakes


def blot(row: int, column: int, radius: float, heat: float = 0.9) -> np.ndarray:
    rows, columns = np.ogrid[:80, :100]
    return (heat * (np.hypot(rows - row, columns - column) <= radius)).astype(np.float32)


def test_snap_gives_a_coarse_heat_the_edges_of_the_thing_under_it():
    heat = blot(36, 40, 13)  # reaches out of the square, misses its corners
    edit = Snap(phrase="it").apply(things(), models(it=heat))
    np.testing.assert_array_equal(edit.mask, to_uint8(only(MIDDLE)))
    np.testing.assert_array_equal(edit.artifacts["heat"], to_uint8(heat))


def test_snap_takes_the_candidate_that_the_heat_speaks_for_not_the_one_that_sam_trusts():
    heat = only((slice(24, 36), slice(28, 52))) * 0.8
    mask = Snap(phrase="top").apply(things(), models(top=heat)).mask
    np.testing.assert_array_equal(mask, to_uint8(only((slice(24, 36), slice(28, 52)))))


def test_snap_takes_as_many_things_as_asked_the_warmest_first_and_no_crumbs():
    heat = blot(68, 66, 12) + blot(36, 40, 9) + blot(8, 12, 1)
    for objects, where in ((1, [LARGE]), (2, [LARGE, MIDDLE]), (9, [LARGE, MIDDLE])):
        mask = Snap(phrase="it", objects=objects).apply(things(), models(it=heat)).mask
        np.testing.assert_array_equal(mask, to_uint8(only(*where)))


def test_snap_leaves_what_is_unwanted_to_others():
    heats = models(horse=blot(68, 66, 12) + blot(36, 40, 9, 0.8), zebra=blot(68, 66, 12, 0.95))
    np.testing.assert_array_equal(Snap(phrase="horse").apply(things(), heats).mask, to_uint8(only(LARGE)))
    mask = Snap(phrase="horse", without="zebra").apply(things(), heats).mask
    np.testing.assert_array_equal(mask, to_uint8(only(MIDDLE)))


def test_snap_of_nothing_is_an_empty_mask():
    edit = Snap(phrase="it").apply(things(), models(it=blot(36, 40, 13, 0.49)))
    assert not edit.mask.any() and edit.artifacts["heat"].max() == 125


@pytest.mark.parametrize(
    "parameters, where",
    [
        ({}, [MIDDLE]),
        ({"point": [90, 60]}, [LARGE]),
        ({"point": [99, 0]}, [MIDDLE]),  # on nothing: what is nearest to it
        ({"point": [0, 0.1], "units": "fraction"}, [SMALL]),
        ({"choose": "largest"}, [LARGE]),
        ({"choose": "largest", "max_area": 0.1}, [MIDDLE]),
        ({"choose": "smallest"}, [SMALL]),
        ({"choose": "smallest", "min_area": 0.02}, [MIDDLE]),
        ({"choose": "largest", "objects": 2}, [LARGE, MIDDLE]),
        ({"choose": "largest", "objects": 9}, [LARGE, MIDDLE, SMALL]),
        ({"choose": "largest", "grid": 1}, [MIDDLE]),  # the one click is in the middle
        ({"choose": "text", "phrase": "it"}, [SMALL]),
        ({"choose": "text", "phrase": "it", "without": "small"}, [LARGE]),
        ({"choose": "text", "phrase": "it", "min_heat": 0.91}, []),
        ({"choose": "largest", "min_score": 0.91}, []),
    ],
)
def test_auto_chooses_by_size_place_or_text(parameters, where):
    heats = models(it=only(SMALL) * 0.9 + only(LARGE) * 0.25, small=only(SMALL) * 0.9)
    edit = Auto(**{"min_score": 0.8, **parameters}).apply(things(), heats)
    np.testing.assert_array_equal(edit.mask, to_uint8(only(*where)))


def test_auto_shows_all_that_it_chose_from_each_thing_once():
    segments = Auto(min_score=0.8, max_area=1).apply(things(), models()).artifacts["segments"]
    assert segments.shape == (80, 100)
    greys = [np.unique(segments[each]).tolist() for each in (LARGE, MIDDLE, SMALL)]
    assert greys == [[128], [191], [255]] and segments[0, 0] == 64  # the ground is one of four, the largest


def test_auto_keeps_of_masks_that_are_alike_the_one_that_sam_trusts_most():
    half = Auto(min_score=0.45, same=0.4, choose="smallest").apply(things(), models()).mask
    np.testing.assert_array_equal(half, to_uint8(only(SMALL)))  # its upper half is the same thing to an IoU of 0.4
    half = Auto(min_score=0.45, same=0.9, choose="smallest", min_area=0).apply(things(), models()).mask
    assert 0 < np.count_nonzero(half) < only(SMALL).sum()


def test_auto_refuses_a_point_outside_the_photo():
    with pytest.raises(PhotoError, match=r"the click \[100, 3\] lies outside the photo, which is 100 x 80 px"):
        Auto(point=[100, 3]).apply(things(), models())


def test_with_the_true_models_snap_has_the_edges_that_text_lacks(models):
    """On example pictures whose truth is known; with slack, since the miniature weights may be exchanged."""
    plain, snapped = [], []
    for example in (EXAMPLES["car.png"], FLEET["zebra.jpg"], FLEET["car_and_tree.jpg"]):
        picture, truth = example.scene().image, example.main().mask
        edit, phrase = Edit(picture, picture), f"a {example.objects[0][0]}"
        plain.append(iou(Text(phrase=phrase, threshold="otsu").apply(edit, models).mask, truth))
        snapped.append(iou(Snap(phrase=phrase, threshold="otsu").apply(edit, models).mask, truth))
    assert np.mean(snapped) > 0.85
    assert 1 - np.mean(snapped) < 0.75 * (1 - np.mean(plain))  # a quarter of what was amiss is mended


def test_with_the_true_models_auto_finds_the_thing_in_the_middle_and_finds_it_again(models):
    example = FLEET["zebra.jpg"]
    picture, truth = example.scene().image, example.main().mask
    masks = [Auto(**how).apply(Edit(picture, picture), models).mask for how in ({}, {}, {"choose": "largest"})]
    assert iou(masks[0], truth) > 0.7 and iou(masks[2], truth) > 0.7
    np.testing.assert_array_equal(masks[0], masks[1])


def test_an_edit_is_never_written_to(models):
    edit = edit_of(60, 80)
    before = edit.image.copy()
    Auto(choose="text", phrase="a car", grid=4, min_heat=0, min_area=0, max_area=1).apply(edit, models)
    Snap(phrase="a car", threshold="otsu").apply(edit, models)
    np.testing.assert_array_equal(edit.image, before)
