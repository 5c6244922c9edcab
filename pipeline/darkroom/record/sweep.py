"""`sweep.json`: the jobs of a sweep, the values that distinguish them, and their status."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from darkroom.errors import RecordError
from darkroom.record.reading import read_sweep
from darkroom.record.schema import RUN, SWEEP, Config, JobLine, RunStatus, SweepFacts
from darkroom.system.files import Folder, writing


@dataclass(frozen=True)
class SweepEntry:
    """A job of a sweep.

    Attributes:
        folder: its run folder, in the sweep's folder.
        overrides: its command line.
        config: its composed configuration; unused where there is an error.
        files: texts that its run folder begins with, by path; unused where there is an error.
        error: why it cannot run; None where it can.
    """

    folder: Path
    overrides: Sequence[str]
    config: Mapping[str, Any]
    files: Mapping[str, str]
    error: str | None = None


def outputs_folder(run_folder: Path) -> Path:
    """The outputs folder, which also holds the store, of a run or sweep folder; a sweep's runs lie one level deeper."""
    return run_folder.parent.parent if (run_folder.parent / SWEEP).is_file() else run_folder.parent


def write_sweep(folder: Path, jobs: Sequence[SweepEntry], statuses: Mapping[Path, RunStatus]) -> None:
    """Write `sweep.json`: the values and the status of each job.

    A job without a run folder is written with everything that it needs to begin, so that a resume can begin it.

    Args:
        folder: the sweep's.
        jobs: all jobs, in order.
        statuses: known statuses by run folder; other jobs are `running`, or `waiting` if they have not begun.

    Raises:
        OutputError: the file cannot be written.
    """
    axes = _axes([job.overrides for job in jobs])
    started = datetime.now().astimezone().isoformat()
    with suppress(RecordError):
        started = read_sweep(folder)["started"]
    facts: SweepFacts = {
        "started": started,
        "axes": axes,
        "jobs": [_job_line(job, list(axes), statuses) for job in jobs],
    }
    with writing(folder / SWEEP):
        Folder(folder).write(SWEEP, json.dumps(facts, indent=2).encode() + b"\n")


def _job_line(job: SweepEntry, axes: Sequence[str], statuses: Mapping[Path, RunStatus]) -> JobLine:
    values = _values(job.overrides)
    line: JobLine = {
        "folder": job.folder.name,
        "values": {axis: values.get(axis, "") for axis in axes},
        "status": "failed",
        "error": job.error,
    }
    if job.error is None:
        begun = (job.folder / RUN).is_file()
        line["status"] = statuses.get(job.folder, "running" if begun else "waiting")
        if not begun:
            line["start"] = {
                "overrides": list(job.overrides),
                "config": cast(Config, dict(job.config)),
                "files": dict(job.files),
            }
    return line


def _axes(command_lines: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """The keys whose values differ between jobs, with their distinct values as written on the command line."""
    axes: dict[str, dict[str, None]] = {}
    for values in map(_values, command_lines):
        for key, value in values.items():
            axes.setdefault(key, {})[value] = None
    return {key: list(values) for key, values in axes.items() if len(values) > 1}


def _values(overrides: Sequence[str]) -> dict[str, str]:
    return {key: _unquoted(value) for key, _, value in (override.partition("=") for override in overrides)}


def _unquoted(value: str) -> str:
    """A value without the quotes of Hydra's override grammar."""
    quote = value[:1]
    if quote in ("'", '"') and value.endswith(quote) and len(value) > 1:
        return value[1:-1].replace(f"\\{quote}", quote)
    return value
