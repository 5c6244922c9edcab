"""The op `subject`: the mask is what the model found, and a run says when GrabCut stands in for a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom import resources
from darkroom.models import Memory, ModelNames, Models, weights
from darkroom.stages.subject import Subject
from support.fake_models import FakeModels, edit_of
from support.in_process import CliInProcess
from support.onnx_graphs import colour_graph
from support.runs import CAR, journal, pixels


class Half:
    """Finds the left half, and keeps the photos that it was shown."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def find(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        self.seen.append(image)
        mask = np.zeros(image.shape[:2], np.uint8)
        mask[:, : mask.shape[1] // 2] = 200
        return mask, 0.75


def test_the_mask_is_soft_and_new_and_has_a_confidence() -> None:
    models = FakeModels(subject=Half())
    edit = Subject().apply(edit_of(6, 8, np.full((6, 8), 255, np.uint8)), models)
    assert edit.mask is not None and np.unique(edit.mask).tolist() == [0, 200]
    assert edit.confidence == 0.75 and edit.figures == {"confidence": 0.75}


def test_the_model_sees_a_transparent_photo_over_white() -> None:
    models = FakeModels(subject=Half())
    edit = replace(edit_of(6, 8), alpha=np.zeros((6, 8), np.uint8))
    Subject().apply(edit, models)
    assert (models.subject.seen[0] == 255).all()


def test_it_takes_the_largest_thing_with_its_soft_edge_and_all_if_asked() -> None:
    mask = np.zeros((40, 90), np.uint8)
    mask[10:30, 10:40], mask[12:28, 12:38] = 60, 255
    mask[10:30, 60:80], mask[12:28, 62:78] = 60, 200

    class Two(Half):
        def find(self, image: np.ndarray) -> tuple[np.ndarray, float]:
            return mask, 0.9

    models, edit = FakeModels(subject=Two()), edit_of(40, 90)
    one, both = (Subject(keep_largest=count).apply(edit, models).mask for count in (1, None))
    np.testing.assert_array_equal(one[:, :50], mask[:, :50])
    assert not one[:, 50:].any()
    np.testing.assert_array_equal(both, mask)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for weights, the only one; empty."""
    monkeypatch.setattr(weights, "weight_folders", lambda: [tmp_path / "weights"])
    monkeypatch.setattr(weights, "_rembg_folders", lambda name: [])
    return tmp_path / "weights"


def chosen(name: str = "auto") -> Models:
    return Models(ModelNames(subject=name), Memory(), "cpu")


def test_auto_is_the_small_network_if_its_file_is_here(nowhere: Path) -> None:
    colour_graph(nowhere / "u2netp.onnx", 0)
    models = chosen()
    assert models.resolved_settings()["models"]["subject"] == "u2netp"
    assert list(Subject().warnings(models)) == [] and models.describe(["subject"])["weights"]["subject"]["libraries"]


def test_else_auto_is_grabcut_and_says_what_would_be_better(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = chosen()
    assert models.resolved_settings()["models"]["subject"] == "grabcut"
    ((_, line),) = Subject().warnings(models)
    assert line.endswith("which is rough; to use a network: make weights")
    monkeypatch.setattr(weights, "CHECKOUT", None)
    ((_, line),) = Subject().warnings(chosen())
    assert "curl -L --create-dirs -o " in line and line.endswith("/u2netp.onnx")
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    monkeypatch.setattr(resources, "CHECKOUT", None)
    ((_, line),) = Subject().warnings(chosen())
    assert "pip install 'darkroom[subject]' && curl" in line
    assert list(Subject().warnings(chosen("grabcut"))) == []
    models.require(["subject"])


def test_a_file_that_appears_during_a_run_changes_nothing(nowhere: Path) -> None:
    models = chosen()
    before = models.identity("subject")
    colour_graph(nowhere / "u2netp.onnx", 0)
    assert models.identity("subject") == before and chosen().identity("subject") != before


RECIPE = "dataset: {images: photo.png}\nstages: {subject: {}, refine: {feather: 2}, invert: {}, erase: {}}\n"


def test_a_run_with_grabcut_says_so_once_and_resumes_with_it(nowhere: Path, quick_cli: CliInProcess) -> None:
    """Also when the network's file is there in the meantime: a run is finished as it was begun."""
    image = np.full((90, 120, 3), (40, 90, 160), np.uint8)
    image[30:60, 40:80] = (200, 40, 30)
    Image.fromarray(image).save(quick_cli.folder / "photo.png")
    (quick_cli.folder / "mine.yaml").write_text(RECIPE)
    done = quick_cli("recipe=mine.yaml", "until=refine")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("to use a network: make weights") == 1 and "; subject=grabcut" in done.stdout
    folder = quick_cli.run_folder()
    assert (pixels(folder / journal(folder)[0]["mask"]) == 255).sum() == 30 * 40
    colour_graph(nowhere / "u2netp.onnx", 0)
    assert quick_cli(f"resume={folder}").returncode == 0
    assert quick_cli(f"verify={folder}").returncode == 0
    assert quick_cli(f"reproduce={folder}").returncode == 0


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16"])
def test_photos_of_any_kind(mode: str, quick_cli: CliInProcess) -> None:
    """Grey, transparent, in a palette, grey with 16 bits; with the real network."""
    with Image.open(CAR) as car:
        grey = car.convert("L")
        photo = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else car.convert(mode)
        photo.save(quick_cli.folder / "photo.png")
    (quick_cli.folder / "mine.yaml").write_text(RECIPE)
    done = quick_cli("recipe=mine.yaml", "until=invert", "models.subject=u2netp")
    assert done.returncode == 0, done.stderr
    folder = quick_cli.run_folder()
    mask = pixels(folder / journal(folder)[0]["mask"])
    assert mask[360, 330] == 0 and mask[20, 20] == 255
