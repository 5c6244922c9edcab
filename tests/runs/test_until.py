"""`until=STAGE`: the recipe ends behind that stage, the masks are shown, and the run after it makes nothing twice."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.provenance.verify import verify
from darkroom.record import read_facts
from support.in_process import command_line
from support.runs import CAR, journal, pixels

RECIPE = """
dataset: {images: photos}
stages:
  thing: {op: sam, points: [[40, 30]]}
  refine: {grow: 2}
  none: null
  size: {op: gate, coverage: [0, 0.001], policy: flag}
  inpaint: {prompt: mars, seed: [0, 1], steps: 2}
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with two photos and a recipe."""
    (tmp_path / "photos").mkdir()
    with Image.open(CAR) as image:
        for name, box in (("a", (300, 300, 396, 372)), ("b", (200, 280, 296, 352))):
            image.crop(box).save(tmp_path / f"photos/{name}.png")
    (tmp_path / "mine.yaml").write_text(RECIPE)
    return tmp_path


def runs(here: Path) -> list[Path]:
    return sorted(here.glob("outputs/*_mine"))


def test_it_stops_behind_the_stage_and_a_whole_run_takes_its_masks(here: Path) -> None:
    assert command_line(here, "recipe=mine.yaml", "models=miniature", "until=refine") == 0
    (folder,) = runs(here)
    for line in journal(folder):
        assert [step["stage"] for step in line["settings"]] == ["thing", "refine"]
        assert (line["status"], line["result"], line["prompt"]) == ("done", line["source"], None)
        assert pixels(folder / line["mask"]).any()
    facts = read_facts(folder)
    assert facts["config"]["until"] == "refine" and list(facts["models"]["weights"]) == ["sam"]
    assert not verify(folder).problems
    assert command_line(here, "recipe=mine.yaml", "models=miniature") == 0
    assert read_facts(runs(here)[1])["work"]["computed"] == {"gate": 2, "inpaint": 4}


def test_only_what_the_report_shows_has_thumbnails(here: Path) -> None:
    (here / "mine.yaml").write_text(RECIPE.partition("  inpaint:")[0] + "  erase:\n  again: {op: erase, radius: 5}\n")
    assert command_line(here, "recipe=mine.yaml", "models=miniature", "limit=1") == 0
    small = {path.name for path in (runs(here)[0] / "thumbnails").rglob("*.*")}
    assert small == {"0_photo.jpg", "5_again.jpg", "5_again_mask.png"}
    assert command_line(here, "recipe=mine.yaml", "models=miniature", "limit=1", "until=thing") == 0
    folder = runs(here)[1]
    (line,) = journal(folder)
    mask = Image.fromarray(pixels(folder / line["mask"]))
    assert not read_facts(folder)["work"]["computed"]
    assert np.array_equal(pixels(folder / line["thumbnails"]["mask"]), np.asarray(mask))  # a small photo: not reduced


def test_no_weights_of_later_stages_are_asked_for(here: Path) -> None:
    words = ("recipe=mine.yaml", "models=miniature", f"models.inpaint={here}/nowhere")
    assert command_line(here, *words) == 2 and command_line(here, *words, "until=size") == 0
    (folder,) = runs(here)
    assert command_line(here, f"reproduce={folder}") == 0
    assert command_line(here, f"resume={folder}") == 0


@pytest.mark.parametrize(
    "word, told",
    [
        ("until=refin", "command line: until: no stage is called 'refin', did you mean 'refine'?"),
        ("until=none", "command line: until: no stage is called 'none', "),
        ("until=[a]", "command line: until: no stage is called '['a']', valid: thing, refine, size, inpaint"),
        ("untill=refine", "command line: untill: unknown key, did you mean 'until'?"),
    ],
)
def test_a_stage_that_is_not_there(word: str, told: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(here, "recipe=mine.yaml", "models=miniature", word) == 2
    assert capsys.readouterr().err.startswith(told) and not list(here.glob("outputs/*"))


def test_dry_runs_and_sweeps(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("-m", "recipe=mine.yaml", "models=miniature", "stages.refine.grow=2,4", "until=size,refine")
    assert command_line(here, *words, "dry_run=true") == 0
    told = capsys.readouterr().out
    assert told.startswith("4 jobs; 8 photos, 8 pictures\n") and "inpaint" not in told
    assert re.search(r"gate +4 to compute +0 in the store", told)
    assert command_line(here, *words) == 0
    (sweep,) = here.glob("outputs/*_sweep")
    assert json.loads((sweep / "sweep.json").read_text())["axes"]["until"] == ["size", "refine"]
    flags = [[bool(line["flags"]) for line in journal(folder)] for folder in sorted(sweep.glob("*_mine"))]
    assert flags == [[True] * 2, [False] * 2] * 2
    assert read_facts(next(sweep.glob("0_mine")))["work"]["computed"] == {"sam": 2, "refine": 4, "gate": 4}
