"""Command lines and runs in this process, on the miniature models or on fake ones."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from darkroom.cli.main import main
from darkroom.config.jobs import Job
from darkroom.config.recipe import parse
from darkroom.config.settings import Results
from darkroom.engine.run_job import run_jobs
from darkroom.session.session import run as run_session
from darkroom.store import Store
from support.fake_models import FakeModels
from support.runs import Asking, Cli, journal, ready

LEFT = {"op": "text", "phrase": "the left half", "threshold": 0.5}


def command_line(folder: Path, *words: str) -> int:
    """Run `darkroom WORDS` from a folder; returns the exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(words)


class CliInProcess(Cli):
    """Like `Cli`, but in this process: fifty times faster, for tests that do not need their own process."""

    def __call__(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
            code = command_line(cwd or self.folder, *words)
        return subprocess.CompletedProcess(self.command(*words), code, out.getvalue(), err.getvalue())


def job(folder: Path, config: Mapping[str, Any], models: FakeModels, *words: str, sweep: Path | None = None) -> Job:
    """A checked job whose folder Hydra has made."""
    folder.mkdir(parents=True)
    config = {"name": "test", "on_empty": "fail", **config}
    return Job(parse(config, "test"), Asking(models), folder, {}, config, words, sweep)


def session(outputs: Path, config: Mapping[str, Any], models: FakeModels) -> Path:
    """Run a recipe as the command line does; returns the run folder."""
    checked = job(outputs / f"run{len(list(outputs.glob('run*')))}", config, models)
    run_session([checked])
    return checked.folder


def deliver(photos: Path, stages: dict, folder: Path, on_empty: str = "fail", **results: str | int) -> list[dict]:
    """Run a recipe on fake models with these settings for results; returns the journal's lines."""
    dataset = {"manifest" if photos.suffix else "images": str(photos)}
    config = {"dataset": dataset, "stages": stages, "on_empty": on_empty}
    settings = Asking(FakeModels(), results=Results(**results))
    run_jobs([replace(ready(config, settings.of, folder), settings=settings)], Store(folder.parent / ".store"))
    return journal(folder)
