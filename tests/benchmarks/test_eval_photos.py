"""The figures of `make eval-photos` mean what they say."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import eval_photos
from benchmarks.eval_photos import boundary_f, found, iou, outline, photos_with_masks
from darkroom.errors import SetupError
from darkroom.models import Memory, ModelNames, Models
from darkroom.stages.mask_file import read_mask
from support.runs import ROOT

SIZE = (80, 100)


def rectangle(left: int, right: int, top: int = 20, bottom: int = 60) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def test_the_truth_itself_scores_one() -> None:
    truth = rectangle(10, 50)
    assert iou(truth, truth) == boundary_f(truth, truth, 0) == 1


def test_a_shifted_outline_counts_within_the_tolerance_only() -> None:
    truth, shifted = rectangle(10, 50), rectangle(14, 54)
    assert boundary_f(shifted, truth, 4) == 1
    assert 0.4 < boundary_f(shifted, truth, 3) < 0.8  # most of top and bottom agree, the sides do not


def test_a_second_thing_costs_precision_and_not_recall() -> None:
    truth = rectangle(10, 30)
    both = truth | rectangle(60, 80)
    precision = outline(truth).sum() / outline(both).sum()
    assert boundary_f(both, truth, 2) == pytest.approx(2 * precision / (precision + 1), abs=0.01)
    assert iou(both, truth) == 0.5


def test_nothing_found_scores_zero_and_rightly_nothing_scores_one() -> None:
    nothing = np.zeros(SIZE, bool)
    assert iou(nothing, rectangle(10, 30)) == boundary_f(nothing, rectangle(10, 30), 5) == 0
    assert iou(nothing, nothing) == boundary_f(nothing, nothing, 5) == 1


def test_photos_without_a_true_mask_are_named(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for name in ("car.jpg", "dog.png", "masks/car.png"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    pairs, without = photos_with_masks(tmp_path, masks)
    assert pairs == [(tmp_path / "car.jpg", masks / "car.png")]
    assert without == [tmp_path / "dog.png"]


def test_a_folder_without_masks_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "car.png")
    monkeypatch.setattr(sys, "argv", ["eval_photos", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"no photo in .* has a true mask in .*masks"):
        eval_photos.main()


@pytest.mark.parametrize(("model", "least"), [("u2netp", 0.98), ("grabcut", 0.95)])
def test_the_cup_in_a_photograph_is_found(model: str, least: float) -> None:
    models = Models(ModelNames(subject=model), Memory(), "cpu")
    try:
        mask, _ = found(ROOT / "examples/coffee.jpg", "{subject: {}}", models)
    except SetupError as missing:
        pytest.skip(str(missing))
    truth, _ = read_mask(ROOT / "benchmarks/photo_masks/examples/coffee.png", mask.shape[::-1])
    assert iou(mask, truth >= 128) >= least
