"""The jobs of a command line: what is checked and ready, what was refused, and what a sweep varies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from darkroom.config.recipe import Recipe
from darkroom.config.settings import Settings
from darkroom.errors import RecordError
from darkroom.record.schema import RUN, SWEEP, JobLine, SweepFacts, read_sweep
from darkroom.system.files import Folder, writing


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
        begun: its folder holds what an earlier attempt has left.
    """

    recipe: Recipe
    settings: Settings
    folder: Path
    files: Mapping[str, str]
    config: Mapping[str, Any]
    words: Sequence[str]
    sweep: Path | None
    warnings: Sequence[str] = ()
    begun: bool = False


@dataclass(frozen=True)
class Refused:
    """A job that cannot run.

    Attributes:
        folder: where its results would have gone.
        words: the command line's.
        code: the exit code.
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

    A job that has no run folder yet is written down with all that it needs to begin, so that a resume can begin it.

    Args:
        folder: the sweep's.
        jobs: all, in their order.
        status: of the run folders, as far as it is known; the others are `running`, or `waiting` to begin.

    Raises:
        OutputError: it cannot be written.
    """
    axes = _axes([each.words for each in jobs])
    started = datetime.now().astimezone().isoformat()
    with suppress(RecordError):
        started = read_sweep(folder)["started"]
    facts: SweepFacts = {
        "started": started,
        "axes": axes,
        "jobs": [_job(each, list(axes), status) for each in jobs],
    }
    with writing(folder / SWEEP):
        Folder(folder).write(SWEEP, json.dumps(facts, indent=2).encode() + b"\n")


def _job(job: Ready | Refused, axes: Sequence[str], status: Mapping[Path, str]) -> JobLine:
    given = _values(job.words)
    line: JobLine = {
        "folder": job.folder.name,
        "values": {axis: given.get(axis, "") for axis in axes},
        "status": "failed",
        "error": job.error if isinstance(job, Refused) else None,
    }
    if isinstance(job, Ready):
        begun = (job.folder / RUN).is_file()
        line["status"] = status.get(job.folder, "running" if begun else "waiting")
        if not begun:
            line["start"] = {"overrides": list(job.words), "config": dict(job.config), "files": dict(job.files)}
    return line


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
