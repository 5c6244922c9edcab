"""The loop: what is shared is done once, and a failure costs no more than it must."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import pixels, run
from PIL import Image

from pipeline.errors import PhotoError, SetupError
from pipeline.models import InpaintRequest

STAGES = {
    "heat": {"op": "text", "phrase": "a car", "threshold": 0.5},
    "inpaint": {"prompt": ["mars", "snow"], "seed": [1, 2], "steps": 1, "strength": 1},
}


class Painter:
    """Stands in for the diffusion model: fills the part with the seed as grey, and fails where it is told to."""

    native, multiple = 64, 8

    def __init__(self, failing_seed: int | None, error: Exception) -> None:
        self._failing_seed, self._error = failing_seed, error

    def inpaint(self, requests: Sequence[InpaintRequest]) -> list[np.ndarray]:
        if any(request.seed == self._failing_seed for request in requests):
            raise self._error
        return [np.full_like(request.image, request.seed) for request in requests]


class LeftHalf:
    """Stands in for CLIPSeg: sees everything in the left half. Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def heat(self, image: np.ndarray, phrases: Sequence[str]) -> np.ndarray:
        self.asked += 1
        heat = np.zeros((len(phrases), *image.shape[:2]), np.float32)
        heat[:, :, : image.shape[1] // 2] = 1
        return heat


class FakeModels:
    """What the stages ask, without any weights."""

    def __init__(self, failing_seed: int | None = None, error: Exception | None = None) -> None:
        self.diffusion = Painter(failing_seed, error or PhotoError("no picture"))
        self.clipseg = LeftHalf()

    def describe(self) -> dict:
        return {}


@pytest.fixture
def photos(tmp_path: Path) -> str:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        Image.fromarray(np.full((40, 60, 3), 100 + number, np.uint8)).save(folder / f"{number}.png")
    return str(folder)


def test_a_mask_is_made_once_for_all_its_repaints(photos: str, tmp_path: Path) -> None:
    models = FakeModels()
    lines = run({"dataset": {"images": photos}, "stages": STAGES}, models, tmp_path / "run")
    assert len(lines) == 8 and models.clipseg.asked == 2
    order = [(line["photo"], line["prompt"], line["seed"]) for line in lines]
    assert order == [(f"{n}.png", p, s) for n in range(2) for p in ("mars", "snow") for s in (1, 2)]
    for line in lines:
        result = pixels(tmp_path / "run" / line["result"])
        assert (result[:, :30] == line["seed"]).all() and (result[:, 30:] == 100 + int(line["photo"][0])).all()
        assert np.array_equal(pixels(tmp_path / "run" / line["mask"]) > 0, np.arange(60) < np.full((40, 1), 30))
    assert (pixels(tmp_path / "run/0/1_heat_heat.png")[:, :30] == 255).all()


def test_one_variant_that_fails_costs_one_picture(photos: str, tmp_path: Path) -> None:
    lines = run({"dataset": {"images": photos}, "stages": STAGES}, FakeModels(failing_seed=2), tmp_path / "run")
    assert [line["status"] for line in lines] == ["done", "failed"] * 4
    assert {line["error"] for line in lines} == {None, "no picture"}


def test_what_nobody_foresaw_costs_no_other_photo(photos: str, tmp_path: Path) -> None:
    models = FakeModels(failing_seed=2, error=ZeroDivisionError("by zero"))
    lines = run({"dataset": {"images": photos}, "stages": STAGES}, models, tmp_path / "run")
    assert [line["status"] for line in lines] == ["done", "failed"] * 4
    assert lines[1]["error"] == "unexpected ZeroDivisionError: by zero (traceback in run.log)"


def test_what_the_machine_lacks_stops_the_run(photos: str, tmp_path: Path) -> None:
    models = FakeModels(failing_seed=2, error=SetupError("no weights"))
    with pytest.raises(SetupError, match="no weights"):
        run({"dataset": {"images": photos}, "stages": STAGES}, models, tmp_path / "run")


def test_photos_of_the_same_name_keep_their_results_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for suffix in ("png", "bmp"):
            Image.new("RGB", (40, 40)).save(tmp_path / folder / f"x.{suffix}")
    config = {"dataset": {"images": f"{tmp_path}/**/x.*"}, "stages": STAGES}
    lines = run(config, FakeModels(), tmp_path / "run")
    assert len(lines) == 16 and len({line["result"] for line in lines}) == 16
