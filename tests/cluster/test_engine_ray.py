"""`engine=ray` on real local clusters: the run folder is that of a local run, whatever happens to the workers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support.runs import Cli

RECIPE = """
dataset: {images: photos}
stages:
  thing: {op: grabcut, box: [8, 8, 30, 24], iterations: 1}
  subject: {op: gate, coverage: [0.01, 0.9], outlier: 3, policy: flag}
  invert:
  background: {colour: ["red", "#00ff00", "blue"]}
"""
_SOME_FAILED = 3
_DRAWN = ("run.log", "contact_sheet.png", "index.html", "run.json", ".hydra/config.yaml", ".hydra/hydra.yaml")


def contents(folder: Path) -> dict[str, Any]:
    """All that a run folder holds, save for times, places and the words of the command line."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    lines = [json.loads(line) for line in files.pop("journal.jsonl").splitlines()]
    for line in lines:
        for timed in (line, *line["steps"]):
            timed.pop("seconds")
    facts = json.loads(files["run.json"])
    facts = {key: facts[key] for key in ("name", "status", "totals", "usual", "depends_on", "dataset_fingerprint")}
    kept = {name: content for name, content in files.items() if name not in (*_DRAWN, ".hydra/overrides.yaml")}
    return {**kept, "names": sorted(files), "journal": lines, "facts": facts}


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """In a folder with a recipe and five photos, one of them broken and one without anything to find."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/0.png").write_bytes(b"\x89PNG, but no more of it")
    for number in range(1, 5):
        pixels = np.full((32, 40, 3), 60, np.uint8)
        if number != 3:
            pixels[10:22, 10:26] = (200, 30 * number, 60)
        Image.fromarray(pixels).save(tmp_path / f"photos/{number}.png")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return Cli(tmp_path)


def run(cli: Cli, outputs: str, *words: str, code: int = _SOME_FAILED) -> Path:
    """Run the recipe; returns the only run folder in `outputs`."""
    process = cli("recipe=recipe.yaml", f"outputs={outputs}", "device=cpu", *words)
    assert process.returncode == code, process.stderr + process.stdout
    (folder,) = (path for path in (cli.folder / outputs).iterdir() if path.name != ".store")
    return folder


def actors(folder: Path) -> Sequence[dict[str, Any]]:
    return json.loads((folder / "run.json").read_bytes())["work"]["actors"]


def test_the_run_folder_is_that_of_a_local_run(cli: Cli) -> None:
    local, ray = run(cli, "local"), run(cli, "ray", "engine=ray", "engine.cpus=1")
    assert contents(ray) == contents(local)
    made = [actor["computed"] for actor in actors(ray)]
    assert made and sum(each.get("background", 0) for each in made) == 9
