"""The loop: what is shared is done once, and a failure costs no more than it must."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.errors import PhotoError, SetupError
from darkroom.imaging.edit import Edit
from darkroom.models import InpaintRequest
from darkroom.stages import STAGES as STAGES_OF_RECIPES
from darkroom.stages.base import Stage, stage
from support.fake_models import FakeModels, FlatDiffusion
from support.runs import environment, pixels, run

STAGES = {
    "heat": {"op": "text", "phrase": "a car", "threshold": 0.5},
    "inpaint": {"prompt": ["mars", "snow"], "seed": [1, 2], "steps": 1, "strength": 1},
}


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
    assert len(lines) == 8 and models.clipseg.calls == 2
    order = [(line["photo"], line["prompt"], line["seed"]) for line in lines]
    assert order == [(f"{n}.png", p, s) for n in range(2) for p in ("mars", "snow") for s in (1, 2)]
    for line in lines:
        result = pixels(tmp_path / "run" / line["result"])
        assert (result[:, :30] == line["seed"]).all() and (result[:, 30:] == 100 + int(line["photo"][0])).all()
        assert np.array_equal(pixels(tmp_path / "run" / line["mask"]) > 0, np.arange(60) < np.full((40, 1), 30))
    assert (pixels(tmp_path / "run/0/1_heat_heat.png")[:, :30] == 255).all()


def test_one_variant_that_fails_costs_one_picture(photos: str, tmp_path: Path) -> None:
    models = FakeModels(diffusion=FlatDiffusion(failing_seed=2))
    lines = run({"dataset": {"images": photos}, "stages": STAGES}, models, tmp_path / "run")
    assert [line["status"] for line in lines] == ["done", "failed"] * 4
    assert {line["error"] for line in lines} == {None, "no picture"}


def test_a_failure_repeats_no_other_batch_and_finished_pictures_are_on_the_disk(photos: str, tmp_path: Path) -> None:
    class Watched(FlatDiffusion):
        """Notes how many pictures are in the journal whenever it is asked."""

        def inpaint(self, requests: Sequence[InpaintRequest]) -> list[np.ndarray]:
            in_journal.append((tmp_path / "run/journal.jsonl").read_bytes().count(b"\n"))
            return super().inpaint(requests)

    in_journal: list[int] = []
    models = FakeModels()
    models.diffusion = Watched(failing_seed=5, error=PhotoError("no picture"), batch_size=2)
    stages = STAGES | {"inpaint": {**STAGES["inpaint"], "prompt": "mars", "seed": list(range(8))}}
    lines = run({"dataset": {"images": f"{photos}/0.png"}, "stages": stages}, models, tmp_path / "run")
    assert [line["status"] for line in lines] == ["done"] * 5 + ["failed"] + ["done"] * 2
    assert models.diffusion.calls == [2, 2, 2, 1, 1, 2]  # seeds 4 and 5 together, then each alone
    assert in_journal == [0, 2, 4, 4, 4, 6]


def test_what_nobody_foresaw_costs_no_other_photo(photos: str, tmp_path: Path) -> None:
    models = FakeModels(diffusion=FlatDiffusion(failing_seed=2, error=ZeroDivisionError("by zero")))
    lines = run({"dataset": {"images": photos}, "stages": STAGES}, models, tmp_path / "run")
    assert [line["status"] for line in lines] == ["done", "failed"] * 4
    assert lines[1]["error"] == "unexpected ZeroDivisionError: by zero (traceback in run.log)"


def test_what_the_machine_lacks_stops_the_run(photos: str, tmp_path: Path) -> None:
    models = FakeModels(diffusion=FlatDiffusion(failing_seed=2, error=SetupError("no weights")))
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


@pytest.mark.parametrize("policy, status", [("fail", "failed"), ("skip", "skipped"), ("keep", "done")])
@pytest.mark.parametrize(
    "stages",
    [
        {"m": {"op": "mask_file", "alpha": True}, "invert": None, "inpaint": STAGES["inpaint"]},
        {"m": {"op": "mask_file", "alpha": True}, "inpaint": STAGES["inpaint"]},
        {"m": {"op": "mask_file", "alpha": True}},
    ],
)
def test_an_empty_mask_is_never_a_full_repaint(policy: str, status: str, stages: dict, tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 60, 4), 255, np.uint8)).save(tmp_path / "opaque.png")
    config = {"dataset": {"images": str(tmp_path / "opaque.png")}, "stages": stages, "on_empty": policy}
    lines = run(config, FakeModels(), tmp_path / "run")
    assert len(lines) == (4 if "inpaint" in stages else 1) and {line["status"] for line in lines} == {status}
    for line in lines:
        if policy == "keep":
            assert np.array_equal(pixels(tmp_path / "run" / line["result"])[..., :3], np.full((40, 60, 3), 255))
            assert line["prompt"] is None and line["error"] is None  # nothing was painted
        else:
            assert "empty" in line["error"] and line["result"] is None


def test_an_empty_mask_may_be_filled_before_it_is_used(photos: str, tmp_path: Path) -> None:
    stages = {
        "heat": STAGES["heat"],
        "none": {"op": "refine", "min_area": 10**6},
        "join": {"op": "combine", "mask": "heat"},
        "inpaint": STAGES["inpaint"],
    }
    lines = run({"dataset": {"images": photos}, "stages": stages}, FakeModels(), tmp_path / "run")
    assert {line["status"] for line in lines} == {"done"}


def test_a_second_pass_that_finds_nothing_can_keep_the_first(photos: str, tmp_path: Path) -> None:
    stages = {
        **STAGES,
        "none": {"op": "refine", "min_area": 10**6},
        "again": {**STAGES["inpaint"], "op": "inpaint", "prompt": "x", "seed": 9},
    }
    config = {"dataset": {"images": f"{photos}/0.png"}, "stages": stages, "on_empty": "keep"}
    lines = run(config, FakeModels(), tmp_path / "run")
    assert [line["seed"] for line in lines] == [1, 2, 1, 2]
    assert all((pixels(tmp_path / "run" / line["result"])[:, :30] == line["seed"]).all() for line in lines)


@pytest.mark.parametrize("broken, reason", [("size", "another size"), ("outside", "outside the mask changed by 7")])
def test_a_result_that_breaks_the_contract_fails_and_is_not_written(
    broken: str, reason: str, photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @stage
    class Careless(Stage):
        """Changes what it must not."""

        def apply(self, edit: Edit, models: object) -> Edit:
            image = edit.image[1:] if broken == "size" else edit.image + np.uint8(7)
            return replace(edit, image=image)

    monkeypatch.setitem(STAGES_OF_RECIPES, "careless", Careless)
    config = {"dataset": {"images": photos}, "stages": {"careless": None}}
    lines = run(config, FakeModels(), tmp_path / "run")
    assert [line["status"] for line in lines] == ["failed", "failed"] and all(reason in x["error"] for x in lines)
    assert not list((tmp_path / "run").rglob("1_careless*"))


MEMORY = """
import json, sys, tracemalloc
from pathlib import Path
import numpy as np
from PIL import Image
from support.runs import ready
from support.fake_models import FakeModels
from darkroom.engine.run_job import run_jobs
from darkroom.store import Store

STAGES = json.loads(sys.argv[1])

def peak(number):
    folder = Path(str(number))
    folder.mkdir()
    for each in range(number):
        Image.fromarray(np.full((300, 400, 3), each, np.uint8)).save(folder / f"{each}.png")
    job = ready({"dataset": {"images": str(folder.absolute())}, "stages": STAGES}, FakeModels(), Path(f"run{number}"))
    tracemalloc.start()
    (done,) = run_jobs([job], Store(Path(f"store{number}")))
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert done.totals["done"] == 4 * number
    return size

peak(2)  # imports and caches
sys.exit(peak(36) > 1.7 * peak(12))
"""


def test_memory_does_not_grow_with_the_number_of_photos(tmp_path: Path) -> None:
    """In a process of its own: other tests leave things in memory. One photo's pixels are a tenth of the peak."""
    command = [sys.executable, "-c", MEMORY, json.dumps(STAGES)]
    assert subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, timeout=300).returncode == 0
