"""Unmixed colours outlive the process: from the store and from a run folder come the same pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

from support.in_process import command_line
from support.runs import CAR, journal

STAGES = {
    "car": {"op": "sam", "points": [[330, 360]]},
    "matte": None,
    "invert": None,
    "inpaint": {"prompt": "red desert of Mars", "seed": [0, 1], "steps": 2},
    "back": {"op": "invert"},
    "background": {"gradient": ["white", "navy"]},
}


def run(folder: Path, name: str) -> Path:
    recipe = {"dataset": {"images": str(CAR)}, "stages": STAGES}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    assert command_line(folder, "recipe=recipe.yaml", "models=miniature", f"outputs={folder / name}") == 0
    (found,) = (folder / name).glob("*_recipe")
    return found


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "results").iterdir()}


def test_a_resume_without_the_store_continues_from_the_layers_in_the_folder(tmp_path: Path) -> None:
    whole = run(tmp_path, "outputs")
    expected, (first, second) = results(whole), journal(whole)
    sides = [path for line in (first, second) for path in line["files"] if path.endswith(("inside.png", "outside.png"))]
    assert {"car/2_matte_inside.png", "car/3_invert_outside.png"} <= set(sides)
    shutil.rmtree(tmp_path / "outputs" / ".store")
    for path in set(second["files"]) - set(first["files"]):
        (whole / path).unlink()
    facts = json.loads((whole / "run.json").read_text())
    (whole / "run.json").write_text(json.dumps({**facts, "status": "interrupted"}))
    (whole / "journal.jsonl").write_text(json.dumps(first) + "\n")
    assert command_line(tmp_path, f"resume={whole}") == 0
    assert results(whole) == expected
    facts = json.loads((whole / "run.json").read_text())
    assert "matte" not in facts["work"]["computed"] and facts["work"]["computed"]["inpaint"] == 1
    for word in ("verify", "reproduce"):
        assert command_line(tmp_path, f"{word}={whole}") == 0


def test_from_the_store_come_the_same_bytes(tmp_path: Path) -> None:
    expected = results(run(tmp_path, "one"))
    shutil.copytree(tmp_path / "one" / ".store", tmp_path / "two" / ".store")
    again = run(tmp_path, "two")
    assert results(again) == expected
    assert not json.loads((again / "run.json").read_text())["work"]["computed"]
