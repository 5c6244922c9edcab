"""What changes while a run is at work, or between its attempts, neither loses nor mixes up anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.engine.run_job import run_jobs
from darkroom.models import InpaintRequest
from darkroom.provenance.verify import verify
from darkroom.store import Store
from support.fake_models import FakeModels, FlatDiffusion
from support.runs import journal, pixels, ready

STAGES = {
    "heat": {"op": "text", "phrase": "a car", "threshold": 0.5},
    "inpaint": {"prompt": "mars", "seed": [1, 2], "steps": 1, "strength": 1},
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        Image.fromarray(np.full((40, 60, 3), 100 + number, np.uint8)).save(folder / f"{number}.png")
    return folder


def attempt(photos: Path, stages: dict, models: FakeModels, name: str = "run", resume: bool = False) -> list[dict]:
    """Run or resume a recipe over the photos, beside them; returns the journal's lines."""
    folder = photos.parent / name
    job = ready({"dataset": {"images": str(photos)}, "stages": stages}, models, folder)
    run_jobs([replace(job, begun=resume)], store(photos))
    return journal(folder)


def store(photos: Path) -> Store:
    return Store(photos.parent / ".store")


def test_a_resume_keeps_the_pictures_of_a_photo_that_is_no_longer_there(photos: Path) -> None:
    before = attempt(photos, STAGES, FakeModels())
    (photos / "0.png").unlink()
    after = attempt(photos, STAGES, FakeModels(), resume=True)
    assert sorted(line["result"] for line in after) == sorted(line["result"] for line in before)
    assert verify(photos.parent / "run").pictures == 4 and not verify(photos.parent / "run").problems


def test_an_interrupted_resume_hides_nothing_that_was_finished(photos: Path) -> None:
    class Impatient(FakeModels):
        """Is interrupted at its first picture."""

        @property
        def clipseg(self) -> None:
            raise KeyboardInterrupt

        @clipseg.setter
        def clipseg(self, _: object) -> None:
            pass

    before = attempt(photos, STAGES, FakeModels())
    (photos / "!.png").write_bytes((photos / "0.png").read_bytes() + b"x")  # a new one, which comes first
    with pytest.raises(KeyboardInterrupt):
        attempt(photos, STAGES, Impatient(), resume=True)
    lines = journal(photos.parent / "run")
    assert {line["result"] for line in before} <= {line["result"] for line in lines}
    assert not verify(photos.parent / "run").problems


def test_what_a_smaller_batch_has_made_is_not_taken_for_what_its_key_says(photos: Path) -> None:
    class Shrinking(FakeModels):
        """Runs out of memory over its first batch; its pictures tell the size of their batch."""

        def __init__(self, shrinks: bool) -> None:
            super().__init__(diffusion=FlatDiffusion(batch_size=2))
            self.diffusion.inpaint = self._inpaint
            self._shrinks = shrinks

        def _inpaint(self, requests: Sequence[InpaintRequest]) -> list[np.ndarray]:
            if self._shrinks:
                self.diffusion.batch_size = 1
            return [np.full_like(request.image, self.diffusion.batch_size) for request in requests]

    attempt(photos, STAGES, Shrinking(True))
    attempt(photos, STAGES, Shrinking(False), resume=True)
    for line in attempt(photos, STAGES, Shrinking(False), "fresh"):
        assert (pixels(photos.parent / "fresh" / line["result"])[:, :30] == 2).all()


def test_a_mask_file_that_changes_under_way_costs_its_photo_and_no_later_run(photos: Path) -> None:
    masks = photos.parent / "masks"
    masks.mkdir()
    for number in range(2):
        Image.new("L", (60, 40), 255).save(masks / f"{number}.png")

    class Meddling(FakeModels):
        """Changes a mask while the first stage is at work."""

        def __init__(self) -> None:
            super().__init__()
            self.clipseg.heatmaps = self._heatmaps

        def _heatmaps(self, image: np.ndarray, phrases: Sequence[str]) -> np.ndarray:
            Image.new("L", (60, 40), 100).save(masks / "0.png")
            return np.ones((len(phrases), *image.shape[:2]), np.float32)

    stages = {"heat": STAGES["heat"], "drawn": {"op": "mask_file", "folder": str(masks)}, "inpaint": STAGES["inpaint"]}
    lines = attempt(photos, stages, Meddling())
    assert [line["status"] for line in lines] == ["failed", "failed", "done", "done"]
    assert "changed during the run" in lines[0]["error"]
    Image.new("L", (60, 40), 255).save(masks / "0.png")
    again = attempt(photos, stages, FakeModels(), "again")
    assert (pixels(photos.parent / "again" / again[0]["mask"]) == 255).all()


def test_a_strangers_run_folder_puts_nothing_into_the_store(photos: Path) -> None:
    attempt(photos, STAGES, FakeModels(), "stranger")
    keys = [step["key"] for line in journal(photos.parent / "stranger") for step in line["steps"]]
    (photos.parent / ".store").rename(photos.parent / "gone")
    attempt(photos, STAGES, FakeModels(), "stranger", resume=True)
    assert not any(store(photos).has(key) for key in keys)


def test_names_of_photos_never_meet_those_of_a_runs_own_files(photos: Path) -> None:
    for name in ("run.json.png", "index.html.png", "journal.jsonl.png", "thumbnails.png", "contact_sheet.jpg.jpg"):
        Image.new("RGB", (60, 40)).save(photos / name)
    assert {line["status"] for line in attempt(photos, STAGES, FakeModels())} == {"done"}
    assert (photos.parent / "run" / "run.json").is_file()
