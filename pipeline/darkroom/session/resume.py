"""Run folders to checked jobs, to resume a run or a sweep that was stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from darkroom.config.jobs import Job, RefusedJob
from darkroom.config.recipe import Recipe, check_dataset, parse
from darkroom.config.settings import Results, Settings
from darkroom.errors import RecipeError, RecordError, collect_errors
from darkroom.planning.preflight import check, check_outputs
from darkroom.record import RUN, SWEEP, keeps_results_only, read_facts, read_sweep, resolved_config
from darkroom.record.result_names import check_names
from darkroom.record.schema import JobLine, ModelRecord, Start
from darkroom.report import PAGE
from darkroom.system.files import Folder


class GivenNow(NamedTuple):
    """What the command line says of a run that is resumed.

    Attributes:
        certificate: absolute path of the C2PA certificate; a record from a stranger may name any.
        key: absolute path of its key.
        engine: `local` or `ray`; None for what the run began with.
    """

    certificate: str | None = None
    key: str | None = None
    engine: str | None = None


_NOTHING = GivenNow()


def jobs_to_resume(folder: Path, given: GivenNow = _NOTHING) -> list[Job | RefusedJob]:
    """The job of a run folder, or all jobs of a sweep, with the settings that they began with.

    A damaged run of a sweep is refused; the others are resumed.

    Args:
        folder: the run or sweep folder.
        given: what the user says now.

    Raises:
        RecordError: the folder holds no run, its record is damaged, or a model's weights are no longer the same.
        RecipeError: this version of Darkroom cannot run the recorded recipe, or it would sign pictures with other
            credentials than these.
    """
    if not (folder / SWEEP).is_file():
        return [_begun(folder, None, given)]
    jobs = [_job_of_sweep(folder, line, given) for line in read_sweep(folder)["jobs"]]
    if not jobs:
        raise RecordError(f"{folder / SWEEP}: holds no runs")
    return jobs


def latest_stopped(outputs: Path) -> Path:
    """The folder of the latest run or sweep that has not finished, or has written no report.

    Raises:
        RecordError: there is none.
    """
    found = [folder for folder in newest_first(outputs) if not folder.is_symlink()]
    stopped = {folder: started for folder in found if (started := _stopped(folder))}
    if not stopped:
        reason = "; all of them finished; resume=RUN_DIR retries failed pictures" if found else ""
        raise RecordError(f"{outputs}: holds no run that was stopped{reason}")
    return max(stopped, key=stopped.__getitem__).absolute()


def newest_first(outputs: Path) -> list[Path]:
    """The run and sweep folders in a folder; their names begin with the time."""
    return sorted((path.parent for name in (RUN, SWEEP) for path in outputs.glob(f"*/{name}")), reverse=True)


def _job_of_sweep(sweep: Path, line: JobLine, given: GivenNow) -> Job | RefusedJob:
    folder, error = sweep / line["folder"], line["error"] or f"has no {RUN}; start a new run"
    try:
        if Folder(folder).holds(RUN):
            return _begun(folder, sweep, given)
        if "start" in line:
            return _waiting(folder, sweep, line["start"], given)
    except RecordError as damaged:
        error = str(damaged)
    words = tuple(f"{key}={value}" for key, value in line["values"].items())
    return RefusedJob(folder, words, error, sweep)


def _begun(folder: Path, sweep: Path | None, given: GivenNow) -> Job:
    """The job of a run folder, as it was recorded."""
    facts = read_facts(folder)
    config = resolved_config(facts)
    recipe, settings, warnings = _checked(config, f"{folder / RUN}: config", given)
    now, then = settings.models().describe(recipe.models(), recipe.loras()), facts["models"]
    _check_same(now["weights"], then.get("weights", {}), f"{folder}: models.")
    _check_same(now.get("loras", {}), then.get("loras", {}), f"{folder}: models.loras.")
    return Job(recipe, settings, folder, {}, config, tuple(facts["overrides"]), sweep, warnings, begun=True)


def _check_same(now: Mapping[str, Any], then: Mapping[str, ModelRecord], prefix: str) -> None:
    """Raise `RecordError` for a model that is not the one that the run began with."""
    for name, model in now.items():
        recorded = then.get(name) or ModelRecord()
        if model["weights"] != recorded.get("weights"):
            advice = "is not the model that the run began with; start a new run, which reuses what is still valid"
            raise RecordError(f"{prefix}{name}={recorded.get('name')} {advice}")


def _waiting(folder: Path, sweep: Path, start: Start, given: GivenNow) -> Job:
    """The job of a sweep that was stopped before the job began."""
    recipe, settings, warnings = _checked(start["config"], f"{sweep / SWEEP}: {folder.name}", given)
    words = tuple(start["overrides"])
    return Job(recipe, settings, folder, start["files"], start["config"], words, sweep, warnings)


def _checked(config: Mapping[str, Any], source: str, given: GivenNow) -> tuple[Recipe, Settings, tuple[str, ...]]:
    """Recipe and settings of a record, checked like new ones, and the warnings."""
    if given.engine:
        config = {**config, "engine": {"kind": given.engine, "cpus": "auto"}}
    recipe, settings = collect_errors(lambda: parse(config, source), lambda: Settings.parse(config))
    _check_credentials(settings.results, source, (given.certificate, given.key))
    check_dataset(recipe, source)
    check_outputs(recipe, settings.results)
    check_names(recipe, settings.results)
    return recipe, settings, check(recipe, settings.models(), settings.strict, source)


def _check_credentials(results: Results, source: str, given: tuple[str | None, str | None]) -> None:
    recorded = (results.c2pa_certificate, results.c2pa_key)
    if recorded == given:
        return
    if recorded == (None, None):
        raise RecipeError(f"command line: results.c2pa_key: {source}: this run does not sign its pictures")
    words = f"results.c2pa_certificate={recorded[0]} results.c2pa_key={recorded[1]}"
    raise RecipeError(f"{source}: signs pictures; if certificate and key are yours, give them again: {words}")


def _stopped(folder: Path) -> datetime | None:
    """The start time of a run or sweep that has not finished; None for any other folder."""
    try:
        if Folder(folder).holds(RUN):
            facts = read_facts(folder)
            started, statuses, runs = facts["started"], [str(facts["status"])], [folder]
        else:
            sweep = read_sweep(folder)
            started, statuses = sweep["started"], [str(job["status"]) for job in sweep["jobs"]]
            runs = [folder / job["folder"] for job in sweep["jobs"]]
        if all(status in ("done", "failed") for status in statuses) and not _lacks_page(folder, runs):
            return None
    except RecordError:
        return None
    return datetime.fromisoformat(started).astimezone()


def _lacks_page(folder: Path, runs: Sequence[Path]) -> bool:
    """Whether the page of a run, or of a sweep with these runs, was to be written and is not there."""
    if Folder(folder).holds(PAGE):
        return False
    begun = [run for run in runs if Folder(run).holds(RUN)]
    return bool(begun) and not any(keeps_results_only(read_facts(run)) for run in begun)
