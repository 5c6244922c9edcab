"""What the models cannot do, or will not heed, is told before a run, and stands in its record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.in_process import command_line
from support.runs import ROOT, journal

PLACE = "a desert of red sand with rocks, dunes and craters, a dusty sky above, two moons over the horizon, "
LONG = PLACE * 2 + "at dusk"
CUT = ", at dusk`"  # the miniatures read 30 tokens
RECIPE = """
dataset: {images: CAR}
stages:
  car: {op: sam, points: [[330, 300]]}
  mars: {op: inpaint, steps: 2, prompt: PROMPT}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    text = RECIPE.replace("CAR", str(ROOT / "examples/car.png"))
    (tmp_path / "own.yaml").write_text(text.replace("PROMPT", f'[snow, "{LONG}"]'))
    (tmp_path / "columns.yaml").write_text(text.replace("PROMPT", '"${item.text}"'))
    return tmp_path


def test_a_prompt_that_is_cut_is_a_warning_in_the_record(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(recipe, "recipe=own.yaml", "models=miniature") == 0
    (folder,) = recipe.glob("outputs/*_own")
    (line,) = json.loads((folder / "run.json").read_text())["warnings"]
    assert line.startswith("stages.mars.prompt: too long: ") and CUT in line
    assert [picture["warnings"] for picture in journal(folder)] == [[], [line]]
    assert capsys.readouterr().out.count(line) == 1
    words = ("recipe=own.yaml", "models=miniature", "stages.mars.prompt_syntax=compel")
    assert command_line(recipe, *words, "strict=true") == 0
    assert "warning" not in capsys.readouterr().out


def test_a_negative_prompt_that_guidance_turns_off_is_told(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("recipe=own.yaml", "models=miniature", "dry_run=true", "stages.mars.prompt=snow")
    for guidance, told in (("1", 1), ("1.5", 0)):
        assert (
            command_line(recipe, *words, "stages.mars.negative_prompt=rain", f"stages.mars.guidance_scale={guidance}")
            == 0
        )
        line = "warning: stages.mars.negative_prompt: has no effect: `guidance_scale` is 1, and must be above 1"
        assert capsys.readouterr().out.count(line) == told


def test_under_strict_it_is_an_error_before_anything_is_made(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("recipe=own.yaml", "models=miniature", "strict=true")
    for more in ((), ("dry_run=true",)):
        assert command_line(recipe, *words, *more) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "own.yaml: stages.mars.prompt: too long: " in line and CUT in line
    assert not list(recipe.glob("outputs/*"))


def test_prompts_of_a_manifest_are_looked_at_too(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"image": str(ROOT / "examples/car.png"), "text": text} for text in ("snow", LONG, f"{LONG}!")]
    (recipe / "photos.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ("recipe=columns.yaml", "models=miniature", "dataset.images=null", "dataset.manifest=photos.jsonl")
    assert command_line(recipe, *words, "dry_run=true") == 0
    assert capsys.readouterr().out.count("warning: stages.mars.prompt: ") == 2
    assert command_line(recipe, *words, "strict=true") == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_all_that_the_models_cannot_do_is_told_at_once(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The miniature is for inpainting, with 9 channels; and it reads no web UI's weights."""
    edit = "+stages.edit={op: diffedit_repaint, prompt: a zebra}"
    words = ("stages.mars.prompt='a (red:1.3) car'", "stages.mars.prompt_syntax=compel")
    assert command_line(recipe, "recipe=own.yaml", "models=miniature", edit, *words) == 2
    weight, channels = capsys.readouterr().err.splitlines()
    assert weight.startswith("command line: stages.mars.prompt: (red:1.3) is how web UIs write")
    assert "stages.edit: needs a text-to-image checkpoint, with 4 channels; models.inpaint has 9" in channels
    assert not list(recipe.glob("outputs/*"))


def test_a_dry_run_checks_each_row_and_leaves_out_a_refused_job(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"image": str(ROOT / "examples/car.png"), "text": text} for text in ("(snow:1.4)", "a [wet] road")]
    (recipe / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:1]))
    words = ("recipe=columns.yaml", "models=miniature", "dry_run=true", "dataset.images=null")
    sweep = ("-m", *words, "dataset.manifest=rows.jsonl", "stages.mars.prompt_syntax=plain,compel")
    assert command_line(recipe, *sweep) == 2
    told = capsys.readouterr()
    assert told.out.startswith("1 photo, 1 picture\n") and told.out.count("is how web UIs write a weight") == 1
    (line,) = told.err.splitlines()
    assert "stages.mars.prompt: (snow:1.4) is how web UIs write a weight; compel's way is (snow)1.4" in line
    (recipe / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert command_line(recipe, *words, "dataset.manifest=rows.jsonl", "stages.mars.prompt_syntax=compel") == 0
    told = capsys.readouterr()
    assert "2 photos, 1 picture\n" in told.out and "rows.jsonl:1: stages.mars.prompt: (snow:1.4)" in told.out
    assert "warning: stages.mars.prompt: `[wet]` is how web UIs give less weight" in told.out
    few = ("dry_run=false", "stages.mars.steps=2", "stages.mars.prompt_syntax=compel")
    assert command_line(recipe, *words[:2], *words[3:], "dataset.manifest=rows.jsonl", *few) == 3
    refused = journal(next(recipe.glob("outputs/*/journal.jsonl")).parent)[0]
    assert refused["status"] == "failed" and f"{refused['error']}\n" in told.out, "the run uses the same words"
