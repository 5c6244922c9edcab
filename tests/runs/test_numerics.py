"""The same photo, recipe and seed give the same bytes, in whatever company and in whatever process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from support.in_process import command_line
from support.runs import CAR, Cli

RECIPE = """
dataset: {images: photos}
stages:
  thing: {op: text, phrase: a car, threshold: null}
  refine: {threshold: 0.1, grow: 3, feather: 4}
  inpaint: {prompt: red desert of Mars, seed: [5, 0], steps: 2}
  again: {op: sam, points: [[40, 30]]}
  detail: {op: inpaint, prompt: [a ball, a tree], seed: 1, steps: 2, strength: 0.8}
"""
Pictures = Mapping[tuple[str, int, str], Mapping[str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos of different sizes, and a recipe whose every kind of stage passes something on."""
    folder = tmp_path_factory.mktemp("numerics")
    (folder / "photos").mkdir()
    with Image.open(CAR) as image:
        for name, size in (("a", (96, 72)), ("b", (80, 100)), ("c", (64, 64))):
            image.crop((100, 200, 600, 500)).resize(size).save(folder / f"photos/{name}.png")
    (folder / "mine.yaml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path) -> Pictures:
    """All 12 pictures, made in one go."""
    assert command_line(folder, "recipe=mine.yaml", "models=miniature", "outputs=whole") == 0
    return pictures(folder / "whole")


def pictures(outputs: Path) -> Pictures:
    """Photo, seed and prompt of each picture, and the digests of all that was made on the way: image and masks."""
    found = {}
    for path in outputs.rglob("journal.jsonl"):
        for line in map(json.loads, path.read_text().splitlines()):
            assert line["status"] == "done", line["error"]
            named = [
                (kind, each[kind]) for each in line["steps"] for kind in ("image", "mask", "repainted") if kind in each
            ]
            key = line["photo"][-5:], line["settings"][2]["seed"], line["prompt"]
            found[key] = {f"{number} {kind}": line["files"][file] for number, (kind, file) in enumerate(named)}
    return found


@pytest.mark.parametrize(
    "words",
    [
        ["stages.inpaint.seed=0", "stages.detail.prompt=a tree", "dataset.images=photos/b.png"],  # alone
        ["stages.inpaint.seed=[0,5]", "stages.detail.prompt=[a tree,a ball]"],  # another order
        ["dataset.images=[photos/c.png,photos/a.png]"],  # a shard, and another order of photos
        [
            "-m",
            "stages.inpaint.seed=0,5",
            "stages.detail.prompt=a ball,a tree",
            "dataset.images=photos/c.png,photos/b.png",
        ],
    ],
)
def test_company_and_order_change_nothing(words: list[str], folder: Path, whole: Pictures, tmp_path: Path) -> None:
    assert command_line(folder, *words, "recipe=mine.yaml", "models=miniature", f"outputs={tmp_path}") == 0
    found = pictures(tmp_path)
    assert found and found == {key: whole[key] for key in found}


def test_what_was_made_of_results_in_the_store_is_what_is_made_in_one_go(
    folder: Path, whole: Pictures, tmp_path: Path
) -> None:
    """Masks and pictures that come back from files are those that were passed on in memory."""
    words = ["recipe=mine.yaml", "models=miniature", f"outputs={tmp_path}"]
    for removed in (["~stages.refine", "~stages.inpaint", "~stages.again", "~stages.detail"], ["~stages.detail"], []):
        assert command_line(folder, *words, *removed) == 0
    found = pictures(max(path for path in tmp_path.iterdir() if path.name != ".store"))
    assert found == whole


@pytest.mark.slow  # test_run.py repeats the picture of another process
def test_another_process_changes_nothing(cli: Cli, folder: Path, whole: Pictures) -> None:
    words = ["stages.inpaint.seed=[0]", "dataset.images=photos/a.png", f"outputs={cli.folder}"]
    done = cli("recipe=mine.yaml", "models=miniature", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    found = pictures(cli.folder)
    assert len(found) == 2 and found == {key: whole[key] for key in found}
