"""The jobs of a command line: what is checked and ready, what was refused, and what a sweep varies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.errors import RecipeError
from pipeline.files import write_atomically, writing
from pipeline.recipe import Recipe
from pipeline.settings import Settings

SWEEP = "sweep.json"

_JOB = {"folder", "values", "status", "error"}


@dataclass(frozen=True)
class Ready:
    """A checked job: what to do, how, and where its results go.

    Attributes:
        recipe: what is done to which photos.
        settings: which models, and where they run.
        folder: the run folder.
        files: the composed recipe and Hydra's own snapshot, by path within the run folder.
        config: all keys of the configuration.
        words: the command line's.
        sweep: folder of the sweep that it is one of, if it runs together with the others.
        warnings: what of the recipe the models will not heed, a line each.
    """

    recipe: Recipe
    settings: Settings
    folder: Path
    files: Mapping[str, str]
    config: Mapping[str, Any]
    words: Sequence[str]
    sweep: Path | None
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Refused:
    """A job that cannot run.

    Attributes:
        folder: where its results would have gone.
        words: the command line's.
        code: the exit code that tells it.
        error: why.
        sweep: see `Ready`.
    """

    folder: Path
    words: Sequence[str]
    code: int
    error: str
    sweep: Path | None


def outputs_of(run_dir: Path) -> Path:
    """The outputs folder in which a run folder or a sweep lies, with the store; a sweep's runs lie one deeper."""
    in_sweep = any((run_dir.parent / name).is_file() for name in (SWEEP, "multirun.yaml"))
    return run_dir.parent.parent if in_sweep else run_dir.parent


def write_sweep(folder: Path, jobs: Sequence[Ready | Refused], status: Mapping[Path, str]) -> None:
    """Write `sweep.json`: which job has which values, and what became of it.

    Args:
        folder: the sweep's.
        jobs: all, in their order.
        status: of the run folders, as far as it is known; the others are `running`.

    Raises:
        OutputError: it cannot be written.
    """
    axes = _axes([each.words for each in jobs])
    started = datetime.now().astimezone().isoformat()
    with suppress(OSError, ValueError):
        started = json.loads((folder / SWEEP).read_bytes())["started"]
    facts = {
        "started": started,
        "axes": axes,
        "jobs": [_job(each, list(axes), status) for each in jobs],
    }
    with writing(folder / SWEEP):
        write_atomically(folder / SWEEP, json.dumps(facts, indent=2).encode() + b"\n")


def read_jobs(folder: Path) -> list[dict[str, Any]]:
    """The jobs that `sweep.json` tells of: `folder`, `values`, `status` and `error` of each.

    Raises:
        RecipeError: it is missing or damaged, or names folders elsewhere.
    """
    try:
        jobs = json.loads((folder / SWEEP).read_bytes())["jobs"]
        whole = all(set(job) >= _JOB and Path(job["folder"]).name == job["folder"] for job in jobs)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        whole = False
    if not whole or any((folder / job["folder"]).is_symlink() for job in jobs):
        raise RecipeError(f"{folder}: {SWEEP} is damaged")
    return jobs


def _job(job: Ready | Refused, axes: Sequence[str], status: Mapping[Path, str]) -> dict[str, Any]:
    given = _values(job.words)
    error = job.error if isinstance(job, Refused) else None
    return {
        "folder": job.folder.name,
        "values": {axis: given.get(axis, "") for axis in axes},
        "status": "failed" if error else status.get(job.folder, "running"),
        "error": error,
    }


def _axes(words: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """What differs between the jobs: key to its values, as on the command line, each once."""
    axes: dict[str, dict[str, None]] = {}
    for each in map(_values, words):
        for key, value in each.items():
            axes.setdefault(key, {})[value] = None
    return {key: list(values) for key, values in axes.items() if len(values) > 1}


def _values(words: Sequence[str]) -> dict[str, str]:
    return {key: _bare(value) for key, _, value in (word.partition("=") for word in words)}


def _bare(value: str) -> str:
    """A value without the quotes that Hydra's grammar asks for."""
    quote = value[:1]
    if quote in ("'", '"') and value.endswith(quote) and len(value) > 1:
        return value[1:-1].replace(f"\\{quote}", quote)
    return value
