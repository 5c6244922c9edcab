"""The command line, in a process of its own: help, configuration, errors and exit codes. No model loads here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, Cli


def test_help_lists_recipes_and_verbs(cli: Cli) -> None:
    done = cli("--help")
    assert done.returncode == 0 and not done.stderr
    assert "car_on_mars      Keep the car, move it to Mars" in done.stdout
    assert "reproduce" not in done.stdout  # not before it exists
    assert "-m recipe=NAME" in done.stdout


def test_cfg_shows_every_parameter_from_any_folder_and_makes_nothing(cli: Cli) -> None:
    done = cli("recipe=car_on_mars", "--cfg", "job")
    assert done.returncode == 0, done.stderr
    for line in ("prompt: red desert of Mars, dusty sky", "guidance_scale:", "feather:", "choose: score", "seed:"):
        assert line in done.stdout
    assert str(ROOT / "examples/car.png") in done.stdout
    assert not list(cli.folder.iterdir())


def test_completion_knows_recipes_and_parameters(cli: Cli) -> None:
    def complete(line: str) -> str:
        environment = {**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))}
        command = cli.command("-sc", "query=bash")
        return subprocess.run(command, env=environment, cwd=cli.folder, capture_output=True, text=True).stdout

    assert "recipe=car_on_mars" in complete("python run.py recipe=car_on")
    assert "stages.inpaint.prompt=" in complete("python run.py recipe=car_on_mars stages.inpaint.pro")


@pytest.mark.parametrize(
    "words, expected",
    [
        ([], "say which recipe, recipe=NAME, valid: car_on_mars"),
        (["recipe=car_on_mrs"], "recipe 'car_on_mrs' not found, did you mean 'car_on_mars'?"),
        (["recipe=nowhere/mine.yaml"], "recipe 'nowhere/mine.yaml' not found"),
        (["recipe=car_on_mars", "stages.inpaint.promt=x"], "stages.inpaint.promt: unknown key, did you mean 'prompt'?"),
        (["recipe=car_on_mars", "stages.inpiant.prompt=x"], "did you mean 'inpaint'?"),
        (["recipe=car_on_mars", "outpts=x"], "outpts: unknown key, did you mean 'outputs'?"),
        (["recipe=car_on_mars", "+stages.inpaint.promt=x"], "stages.inpaint.promt: unknown key, did you mean"),
        (["recipe=car_on_mars", "stages.inpaint.steps=many"], "command line: stages.inpaint.steps: "),
        (["recipe=car_on_mars", "stages.inpaint.prompt=a, b"], "quote twice"),
        (["recipe=car_on_mars", "models=sdlx"], "command line: models=sdlx: did you mean 'sdxl'?"),
        (["recipe=car_on_mars", "dataset.images=nothing.png"], "dataset.images"),
        (["recipe=photo_preview"], "dataset: give either `images`"),
    ],
)
def test_usage_errors_are_one_line_and_leave_nothing_behind(cli: Cli, words: list[str], expected: str) -> None:
    done = cli(*words)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr and "HYDRA_FULL_ERROR" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3
    outputs = cli.folder / "outputs"
    assert not outputs.exists() or not list(outputs.iterdir())


def test_a_recipe_of_ones_own_with_spaces_in_its_path(cli: Cli) -> None:
    folder = cli.folder / "my recipes"
    folder.mkdir()
    (folder / "mine.yaml").write_text("base: car_on_mars\nstages: {inpaint: {seed: 41}}\n")
    done = cli("recipe='my recipes/mine.yaml'", "--cfg", "job")
    assert done.returncode == 0 and "seed: 41" in done.stdout and "name: mine" in done.stdout


def test_stages_can_be_left_out_and_added(cli: Cli) -> None:
    done = cli("recipe=car_on_mars", "~stages.invert", "+stages.last={op: invert}", "--cfg", "job")
    assert done.returncode == 0, done.stderr
    assert "invert:" not in done.stdout and "last:" in done.stdout


def test_an_output_folder_that_cannot_be_written(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = cli("recipe=car_on_mars", f"outputs={tmp_path}/file/below")
    assert done.returncode == 4
    assert str(tmp_path / "file") in done.stderr and "Traceback" not in done.stderr
