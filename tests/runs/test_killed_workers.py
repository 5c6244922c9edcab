"""Real models, used by several workers: a run that is killed and resumed has the bytes of a run with one worker."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.in_process import CliInProcess
from support.run_content import finished
from support.runs import ROOT, Cli, journal


@pytest.mark.slow
def test_workers_that_are_killed_and_resumed_leave_the_bytes_of_one_worker(cli: Cli) -> None:
    photos, here = cli.folder / "photos", CliInProcess(cli.folder)
    photos.mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(ROOT / "examples/car.png", photos / name)
    (photos / "broken.png").write_bytes(b"\x89PNG, but no more of it")
    words = ("recipe=car_on_mars", "models=miniature", f"dataset.images={photos}", "stages.inpaint.seed=[0,1,2]")
    words = (*words, "stages.inpaint.steps=4", "results.what=[picture,cutout]", "results.format=jpeg")

    assert here(*words, "memory.workers=1", "outputs=one").returncode == 3
    process = cli.start(*words, "memory.workers=3")
    folder = cli.wait_for_pictures(process, 1)
    process.kill()
    process.communicate()
    done = here("resume=latest")
    assert done.returncode == 3, done.stderr
    one, several = content(next((cli.folder / "one").glob("2*"))), content(folder)
    assert one == several
    assert [line["status"] for line in journal(folder)] == ["done"] * 6 + ["failed"] * 3


def content(folder: Path) -> dict:
    """All that a run folder holds, save for what names the outputs folder or the number of workers."""
    found = finished(folder)
    del found["facts"]["overrides"]
    return {path: each for path, each in found.items() if not path.startswith((".hydra/", "recipe.yaml"))}
