"""Models that find phrases: each answers in its published layout, and other folders are refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from darkroom.errors import SetupError
from darkroom.models.finders import load_finder
from support.tiny_finders import write_grounding_dino, write_owlv2, write_sam3

PHOTO = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
WRITERS = pytest.mark.parametrize(
    "write", [write_sam3, write_owlv2, write_grounding_dino], ids=lambda one: one.__name__
)


class BoxFiller:
    """In place of SAM: the whole box is the object."""

    def masks(self, image, points, labels, box):
        masks = np.zeros((3, *image.shape[:2]), bool)
        x0, y0, x1, y1 = np.round(box).astype(int)
        masks[1, y0:y1, x0:x1] = True
        return masks, np.array([0.1, 0.9, 0.2])


@WRITERS
def test_objects_come_with_scores_and_masks_of_the_photos_size(write: Callable, tmp_path: Path) -> None:
    find = load_finder(write(tmp_path / "model"), "cpu", BoxFiller, nullcontext())
    both, cars, dogs = (find(PHOTO, phrases) for phrases in (["a car", "a dog"], ["a car"], ["a dog"]))
    assert len(cars.scores) and (np.diff(both.scores) <= 0).all()
    assert ((both.scores > 0) & (both.scores <= 1)).all()
    assert np.array_equal(cars.scores, find(PHOTO, ["a car"]).scores)
    assert both.scores[0] == max(cars.scores[0], dogs.scores[0])
    for number in range(len(cars.scores)):
        mask = cars.mask(number)
        assert mask.shape == (60, 90) and mask.dtype == bool
    strict = both.at_least(float(both.scores[0]), 5)
    assert 1 <= len(strict.scores) <= 5 and (strict.scores == both.scores[0]).all()


def test_sam3_encodes_a_photo_once_for_all_phrases(tmp_path: Path) -> None:
    find = load_finder(write_sam3(tmp_path / "model"), "cpu", BoxFiller, nullcontext())
    encoder, calls = find._network.vision_encoder, []
    encoder.register_forward_hook(lambda *_: calls.append(1))
    find(PHOTO, ["a car", "a dog"])
    find(PHOTO, ["a house"])
    assert len(calls) == 1


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no config\.json"):
        load_finder(tmp_path, "cpu", BoxFiller, nullcontext())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(SetupError, match=r"'bert'; models\.find takes grounding-dino, owlv2, sam3"):
        load_finder(tmp_path, "cpu", BoxFiller, nullcontext())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "owlv2"}))
    with pytest.raises(SetupError, match="cannot be read as owlv2 weights"):
        load_finder(tmp_path, "cpu", BoxFiller, nullcontext())
