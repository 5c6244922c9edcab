"""`engine=ray` on real local clusters: the run folder is that of a local run, whatever happens to the workers."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from support.runs import ROOT, Cli, environment

RECIPE = """
dataset: {images: photos}
stages:
  thing: {op: grabcut, box: [8, 8, 30, 24], iterations: 1}
  subject: {op: gate, coverage: [0.01, 0.9], outlier: 3, policy: flag}
  paint: {seed: [3, 4, 5]}
"""
_SOME_FAILED = 3
_DRAWN = ("run.log", "contact_sheet.jpg", "index.html", "run.json", ".hydra/config.yaml", ".hydra/hydra.yaml")


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


class DeadlyCli(Cli):
    """With the op of `support.deadly`."""

    def command(self, *words: str) -> list[str]:
        return [sys.executable, str(ROOT / "tests/support/deadly.py"), *words]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """In a folder with a recipe and five photos, one of them broken and one without anything to find."""
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    monkeypatch.setenv("RAY_worker_niceness", "0")  # with Ray's own, 15, its workers starve beside other tests
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/0.png").write_bytes(b"\x89PNG, but no more of it")
    for number in range(1, 5):
        pixels = np.full((32, 40, 3), 60, np.uint8)
        if number != 3:
            pixels[10:22, 10:26] = (200, 30 * number, 60)
        Image.fromarray(pixels).save(tmp_path / f"photos/{number}.png")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return DeadlyCli(tmp_path)


def run(cli: Cli, outputs: str, *words: str, code: int = _SOME_FAILED) -> Path:
    """Run the recipe; returns the only run folder in `outputs`."""
    process = cli("recipe=recipe.yaml", f"outputs={outputs}", "device=cpu", *words)
    assert process.returncode == code, process.stderr + process.stdout
    (folder,) = (path for path in (cli.folder / outputs).iterdir() if path.name != ".store")
    return folder


def actors(folder: Path) -> Sequence[dict[str, Any]]:
    return json.loads((folder / "run.json").read_bytes())["work"]["actors"]


@pytest.mark.fault(
    "Ray", "a photo kills its worker once, another whenever it is painted", "only the latter is given up"
)
def test_the_run_folder_is_that_of_a_local_run_whatever_dies(cli: Cli) -> None:
    (cli.folder / "deaths").mkdir()
    for photo, times in {"1.png": 1, "4.png": 99}.items():
        (cli.folder / "deaths" / photo).write_text(str(times))
    words = (f"stages.paint.deaths={cli.folder / 'deaths'}", "dataset.exclude=4.png")
    ray = run(cli, "ray", "engine=ray", *words[:1])
    (cli.folder / "deaths/1.png").unlink()
    local, found = contents(run(cli, "local", *words)), contents(ray)
    lost = [line for line in found["journal"] if line["photo"] == "4.png"]
    assert [line["status"] for line in lost] == ["failed"] * 3
    assert all("2 workers died while computing it" in line["error"] for line in lost)
    assert found["journal"][: -len(lost)] == local["journal"]
    assert {name: found[name] for name in local if "/" in name} == {name: local[name] for name in local if "/" in name}
    assert sum(actor["died"] for actor in actors(ray)) == 3
    assert sum(actor["computed"].get("paint", 0) for actor in actors(ray)) == 6


@pytest.mark.slow
@pytest.mark.fault(
    "Ray",
    "Ctrl-C, and later `kill -9` of the process that holds the run",
    "resumed to the same bytes, with Ray or with engine=local",
)
def test_stopped_and_resumed_the_bytes_are_the_same(cli: Cli) -> None:
    local = contents(run(cli, "local", "stages.paint.pause=0.5"))
    words = ("recipe=recipe.yaml", "device=cpu", "engine=ray", "stages.paint.pause=0.5")
    for number, stop in ((2, signal.SIGINT), (5, signal.SIGKILL)):
        process = cli.start(*words)
        folder = cli.wait_for_pictures(process, number)
        process.send_signal(stop)
        process.communicate()
        assert process.returncode == (130 if stop == signal.SIGINT else -9)
        words = (f"resume={folder}",)
    assert cli(*words, "engine=local").returncode == _SOME_FAILED
    assert contents(folder) == local
    assert not [line for line in processes() if str(cli.folder) in line]


@pytest.mark.slow
def test_one_photo_is_divided_by_its_seeds_and_by_the_jobs_of_a_sweep(cli: Cli) -> None:
    words = ("-m", "dataset.only=2.png", "stages.paint.pause=0,0.01", "stages.subject.outlier=null")
    local, ray = run(cli, "local", *words, code=0), run(cli, "ray", *words, "engine=ray", code=0)
    jobs = sorted(path.name for path in local.iterdir() if path.is_dir())
    assert len(jobs) == 2
    for job in jobs:
        assert contents(ray / job) == contents(local / job)
    made = [actor["computed"] for actor in actors(ray / jobs[0])]
    assert sum(each.get("paint", 0) for each in made) == 6
    assert sum(each.get("grabcut", 0) for each in made) == 1


def processes() -> Sequence[str]:
    return [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
