"""Whole runs with a painter that is no Stable Diffusion, by the command line."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from support.in_process import CliInProcess
from support.runs import CAR, Cli, journal
from support.tiny_painters import write_painter

STAGES = {
    "car": {"op": "sam", "points": [[330, 300]]},
    "inpaint": {"prompt": "a boat", "seed": [0, 1, 2], "steps": 20, "guidance_scale": 3, "resolution": 128},
}


def words(folder: Path, kind: str = "flux2_klein") -> list[str]:
    """Write a recipe and a tiny checkpoint; returns the words that run it."""
    recipe = folder / "car.yaml"
    recipe.write_text(yaml.safe_dump({"dataset": {"images": str(CAR)}, "stages": STAGES}))
    checkpoint = folder / kind
    if not checkpoint.is_dir():
        write_painter(checkpoint, kind)
    mine = ["models.sam=miniature", "models.clipseg=miniature", "device=cpu"]
    return [f"recipe={recipe}", f"models={kind}", f"models.inpaint={checkpoint}", *mine]


def pictures(folder: Path) -> list[bytes]:
    return [np.asarray(Image.open(file)).tobytes() for file in sorted((folder / "results").iterdir())]


@pytest.mark.parametrize(
    ("kind", "preset", "given"),
    [
        ("flux2_klein", (4, 1), []),
        ("flux1_fill", (2, 30), ["stages.inpaint.steps=2"]),
        ("sd3", (2, 4.5), ["stages.inpaint.steps=2"]),
    ],
)
def test_a_run_changes_nothing_outside_the_mask_and_is_reproduced(
    tmp_path: Path, kind: str, preset: tuple[float, float], given: list[str]
) -> None:
    cli = CliInProcess(tmp_path)
    done = cli(*words(tmp_path, kind), *given)
    assert done.returncode == 0, done.stderr
    run = cli.run_folder()
    lines = journal(run)
    assert len(set(pictures(run))) == len(lines) == 3
    settings = yaml.safe_load((run / "recipe.yaml").read_text())["stages"]["inpaint"]
    assert (settings["steps"], settings["guidance_scale"], settings["strength"]) == (*preset, 1)
    photo, (mask, *_) = np.asarray(Image.open(CAR).convert("RGB")), sorted(run.rglob("*mask*.png"))
    kept = np.asarray(Image.open(mask)) == 0
    painted = np.asarray(Image.open(sorted((run / "results").iterdir())[0]).convert("RGB"))
    assert np.array_equal(painted[kept], photo[kept]) and not np.array_equal(painted, photo)
    again = cli(f"reproduce={run}")
    assert again.returncode == 0 and "3 of 3 pictures identical" in again.stdout + again.stderr


def test_what_it_lacks_ends_the_run_in_one_line(tmp_path: Path) -> None:
    cli = CliInProcess(tmp_path)
    refused = cli(*words(tmp_path), "speed=none", "stages.inpaint.soft_mask=true")
    assert refused.returncode != 0
    text = refused.stdout + refused.stderr
    assert "stages.inpaint.guidance_scale: this FLUX.2 Klein is distilled and would ignore 3" in text
    assert "command line: stages.inpaint.soft_mask: FLUX.2 Klein" in text and "Traceback" not in text
    assert not (tmp_path / "outputs").exists() or not cli.run_folders()


@pytest.mark.slow
def test_a_killed_run_is_resumed_with_the_same_bytes(tmp_path: Path) -> None:
    asked = words(tmp_path)
    whole, broken = CliInProcess(tmp_path / "whole"), Cli(tmp_path / "broken")
    for cli in (whole, broken):
        cli.folder.mkdir()
    assert whole(*asked).returncode == 0
    process = broken.start(*asked)
    run = broken.wait_for_pictures(process, 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert CliInProcess(broken.folder)(f"resume={run}").returncode == 0
    assert pictures(run) == pictures(whole.run_folder())
