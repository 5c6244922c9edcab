"""The command line in its own process, and readers for run folders."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from darkroom.config.jobs import Job
from darkroom.config.recipe import parse
from darkroom.config.settings import Engine, Results
from darkroom.engine.run_job import run_jobs
from darkroom.models import Models
from darkroom.store import Store

ROOT = Path(__file__).resolve().parents[2]
CAR = ROOT / "examples/car.png"


def environment(*folders: Path, **variables: str) -> dict[str, str]:
    """The environment of a Python process that can import `darkroom`, `support` and the modules in `folders`."""
    paths = [ROOT, ROOT / "pipeline", ROOT / "tests", *folders]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), **variables}


class Cli:
    """`python run.py` in its own process, started from a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*words), cwd=cwd or self.folder, capture_output=True, text=True, timeout=300)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, str(ROOT / "run.py"), *words]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start the command without waiting. It reacts to Ctrl-C even if the tests run in the background."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def wait_for_pictures(self, process: subprocess.Popen[str], number: int) -> Path:
        """Wait until a journal has `number` lines; returns its run folder."""
        for _ in range(2400):
            found = list(self.folder.glob("outputs/*/journal.jsonl"))
            if found and found[0].read_bytes().count(b"\n") >= number:
                return found[0].parent
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        raise AssertionError("no pictures within two minutes")

    def run_folder(self) -> Path:
        """The only run folder."""
        (folder,) = self.run_folders()
        return folder

    def run_folders(self) -> list[Path]:
        """All run folders and sweeps, oldest first."""
        return sorted(path for path in (self.folder / "outputs").iterdir() if path.name != ".store")


def masks_only(cli: Cli, photos: int) -> list[str]:
    """Write a recipe without models and `photos` small photos; returns the words that run it."""
    folder = cli.folder / "photos"
    folder.mkdir()
    for number in range(photos):
        Image.new("RGB", (48, 32), (number, 99, 9)).save(folder / f"{number:03}.png")
    stages = "stages: {thing: {op: grabcut, box: [8, 8, 30, 24], iterations: 1}}"
    (cli.folder / "masks.yaml").write_text(f"dataset: {{images: photos}}\non_empty: keep\n{stages}\n")
    return ["recipe=masks.yaml"]


def journal(folder: Path) -> list[dict]:
    """The journal's lines."""
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def journal_line(photo: str, **facts: Any) -> dict[str, Any]:
    """A journal line with all its keys; keys not in `facts` are empty."""
    texts = ("result", "delivered", "mask", "source", "prompt", "negative_prompt", "seed", "outside_max_diff")
    nothing = dict.fromkeys((*texts, "seconds", "error", "digest")) | {"status": "done", "variant": "", "path": photo}
    lists = {key: [] for key in ("flags", "settings", "steps", "warnings")}
    return {
        "photo": photo,
        "folder": re.sub(r"\W+", "_", photo),
        **nothing,
        **lists,
        **{key: {} for key in ("outputs", "inputs", "item", "thumbnails", "files")},
        **facts,
    }


def run_facts(**facts: Any) -> dict[str, Any]:
    """A `run.json` with every key that a run has."""
    sections = {key: {} for key in ("config", "settled", "models", "environment")}
    texts = {"name": "test", "started": "2026-11-20T14:03:22.481+01:00", "status": "done"}
    return {**texts, "overrides": [], "warnings": [], **sections, **facts}


def pixels(path: Path) -> np.ndarray:
    """The pixels of a picture file, as stored."""
    with Image.open(path) as image:
        return np.asarray(image)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two masks; every value above 0 counts."""
    one, other = one > 0, other > 0
    return float((one & other).sum() / max(1, (one | other).sum()))


@dataclass(frozen=True)
class Asking:
    """Settings that use the given models."""

    of: Models
    dry_run: bool = False
    profile: bool = False
    results: Results = field(default_factory=Results)
    engine: Engine = field(default_factory=Engine)

    def models(self) -> Models:
        return self.of


def ready(config: dict, models: Models, folder: Path) -> Job:
    """A checked job for a recipe given as a mapping."""
    recipe = parse({"name": "test", **config}, "test")
    return Job(recipe, Asking(models), folder, {}, config, (), None)


def run(config: dict, models: Models, folder: Path) -> list[dict]:
    """Run a recipe given as a mapping in this process; returns the journal's lines."""
    run_jobs([ready(config, models, folder)], Store(folder.parent / ".store"))
    return journal(folder)
