"""`darkroom.run`, as a notebook or another program calls it."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import hydra
import pytest
from PIL import Image

import darkroom
from support.runs import pixels

RECIPE = """
dataset: {images: photo.png}
stages:
  mask: {op: grabcut, box: [0.1, 0.1, 0.9, 0.9], units: fraction, iterations: 1}
  erase:
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a recipe and its photo."""
    picture = Image.radial_gradient("L").resize((48, 32)).convert("RGB")
    picture.save(tmp_path / "photo.png")
    (tmp_path / "mine.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_returns_folder_pictures_and_records(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    streams, handlers = (sys.stdout, sys.stderr), (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    result = darkroom.run("mine.yaml", ["device=cpu"])
    assert result.done and result.folder.parent == folder / "outputs"
    assert result.pictures == (result.folder / "results/photo.png",)
    assert pixels(result.pictures[0]).shape == (32, 48, 3)
    (record,) = result.records
    assert record["status"] == "done" and record["photo"] == "photo.png"
    assert capfd.readouterr() == ("", "") and (result.folder / "run.log").read_text()
    assert streams == (sys.stdout, sys.stderr)
    assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_it_runs_in_any_thread_and_in_several(folder: Path) -> None:
    results = []
    words = (["device=cpu", f"stages.erase.radius={radius}"] for radius in (1, 2, 3))
    threads = [
        threading.Thread(target=lambda w=word: results.append(darkroom.run(Path("mine.yaml"), w))) for word in words
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({result.folder for result in results}) == 3 and all(result.done for result in results)


@pytest.mark.parametrize(
    "recipe, overrides, expected",
    [
        ("mine.yaml", ["stages.erase.raduis=2"], "unknown key, did you mean 'radius'"),
        ("nowhere", [], "recipe 'nowhere' not found"),
        ("mine.yaml", ["stages.erase.radius=1,2"], "several values"),
        ("mine.yaml", ["hydra.run.dir=."], "Hydra's own settings"),
        ("mine.yaml", ["dry_run=true"], "dry_run"),
        ("mine.yaml", "name=x", "overrides: a list of KEY=VALUE"),
        ({"stages": {"erase": None}}, ["recipe=mine.yaml"], "the recipe is the first argument"),
        ({"dataset": {"images": "photo.png"}, "stages": {"erase": {"radius": 0}}}, [], "recipe: stages.erase"),
        ({"stages": "erase"}, [], "recipe: stages: should be a mapping"),
    ],
)
def test_a_wrong_call_is_one_clear_error(
    folder: Path, recipe: object, overrides: list[str] | str, expected: str
) -> None:
    with pytest.raises(darkroom.DarkroomError, match=expected):
        darkroom.run(recipe, overrides)  # type: ignore[arg-type]
    assert not (folder / "outputs").exists()


def test_a_recipe_may_be_a_mapping(folder: Path) -> None:
    stages = {"mask": {"op": "grabcut", "box": (1, 1, 40, 30), "iterations": 1}, "erase": None}
    result = darkroom.run({"name": "mine", "dataset": {"images": Path("photo.png")}, "stages": stages}, ["device=cpu"])
    assert result.done and result.folder.name.endswith("_mine")
    again = darkroom.run(result.folder / "recipe.yaml", ["device=cpu"])
    assert (pixels(again.pictures[0]) == pixels(result.pictures[0])).all()


@pytest.mark.parametrize("name", ["a b.yaml", r"a\b.yaml", 'it\'s ${oc.env:HOME}, "x".yaml', "ä=ö,(1).yaml"])
def test_the_path_of_a_recipe_may_hold_anything(folder: Path, name: str) -> None:
    (folder / name).write_text(RECIPE)
    assert darkroom.run(folder / name, ["device=cpu", "name=mine"]).done
    assert darkroom.run(name, ["device=cpu", "name=mine"]).done


def test_it_works_beside_another_program_that_uses_hydra(folder: Path) -> None:
    (folder / "conf").mkdir()
    (folder / "conf/other.yaml").write_text("a: 1\n")
    with hydra.initialize_config_dir(str(folder / "conf"), version_base="1.2"):
        assert darkroom.run("mine.yaml", ["device=cpu"]).done
        assert hydra.compose("other", ["a=2"]).a == 2


def test_a_photo_that_fails_is_in_the_records(folder: Path) -> None:
    (folder / "photo.png").write_bytes(b"no picture")
    result = darkroom.run("mine.yaml", ["device=cpu"])
    assert not result.done and not result.pictures and result.records[0]["error"] == "not a picture of a known format"
