"""Runs the jobs of one command line, with their log, reports and summary."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from itertools import islice
from pathlib import Path

from darkroom.cluster.engine import on_cluster
from darkroom.config.jobs import Job, RefusedJob
from darkroom.config.settings import Settings
from darkroom.dataset.dataset import lines_left_out
from darkroom.engine.run_job import JobRun, run_jobs
from darkroom.engine.start import Started, in_this_process
from darkroom.errors import DarkroomError, OutputError
from darkroom.models import ModelKind
from darkroom.provenance.differences import recomputation_causes, unknown_cause
from darkroom.provenance.earlier_runs import earlier_runs
from darkroom.record import JOURNAL, SWEEP, read_facts, read_journal
from darkroom.record.naming import RESULTS
from darkroom.record.record import claim_folder
from darkroom.record.run_log import run_log
from darkroom.record.sweep import SweepEntry, outputs_folder, write_sweep
from darkroom.report import PAGE, contact_sheet, run_page, sweep_page, sweep_sheet
from darkroom.session.profile_files import profiled
from darkroom.store import FOLDER, Store
from darkroom.store.digests import remembered_digests
from darkroom.system.files import Folder, writing
from darkroom.system.locks import locked
from darkroom.system.profiling import spanned

_WARNINGS = 10  # shown
_RESULTS_ONLY = (
    "results.only=true: no photos, masks, steps and reports are kept; reproduce= will refuse this run, and verify= can "
    "check only that the results are as they were written"
)

Jobs = Sequence[Job | RefusedJob]


def run(jobs: Jobs, on_screen: bool = True) -> bool:
    """Run the jobs that can run, write the reports and log a summary.

    Args:
        jobs: one job, or all jobs of a sweep.
        on_screen: show log and progress in the terminal, too.

    Returns:
        whether no job was stopped and no picture failed.

    Raises:
        OutputError: results cannot be written, or another process works in the folder.
        SetupError: this machine lacks what the recipe needs.
    """
    ready, sweep = runnable(jobs), jobs[0].sweep
    folder = sweep or jobs[0].folder
    store = store_of(jobs)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    store.create()
    with _alone(folder):
        for job in ready:
            if not job.begun:
                claim_folder(job.folder, job.files)
        if sweep:  # written before anything else, so that a killed sweep can always be resumed
            _write_sweep(sweep, jobs, ())
        return _run(jobs, folder, store, on_screen)


def runnable(jobs: Jobs) -> list[Job]:
    """The jobs that have not been refused."""
    return [job for job in jobs if isinstance(job, Job)]


def store_of(jobs: Jobs) -> Store:
    """The store beside the run folder or the sweep of these jobs; it need not exist."""
    return Store(outputs_folder(jobs[0].sweep or jobs[0].folder) / FOLDER)


def _summary(job: Job) -> str:
    return job.settings.models().summary(job.recipe.models(), job.recipe.loras())


def _run(jobs: Jobs, folder: Path, store: Store, on_screen: bool) -> bool:
    ready, sweep = runnable(jobs), jobs[0].sweep
    wanted = any(job.settings.profile for job in ready)
    with run_log(folder, on_screen) as log, profiled(folder) if wanted else nullcontext():
        for summary in dict.fromkeys(map(_summary, ready)):
            log.info("%s", summary)
        if any(job.settings.results.only for job in ready):
            log.info("%s", _RESULTS_ONLY)
        _log_warnings(log, ready)
        try:
            with remembered_digests(store, save=True):
                runs = run_jobs(ready, store, on_screen, _start)
        except (KeyboardInterrupt, DarkroomError):
            with suppress(OutputError):  # a full disk may be the cause
                _report(jobs, sweep)
            raise
        _log_work(log, runs, store)
        reports = _final_report(jobs, sweep)
        _log_totals(log, jobs, runs)
        for name, path in {"sweep folder" if sweep else "run folder": folder, **reports}.items():
            log.info("%s %s", f"{name}:".ljust(14), path)
        return all(run.status == "done" for run in runs)


def _start(settings: Settings, store: Store, kinds: Sequence[ModelKind]) -> AbstractContextManager[Started]:
    """Start what the setting `engine` asks for."""
    start = on_cluster if settings.engine.kind == "ray" else in_this_process
    return start(settings, store, kinds)


def _log_warnings(log: logging.Logger, jobs: Sequence[Job]) -> None:
    for line in lines_left_out([job.recipe.dataset for job in jobs], set().union(*(job.columns for job in jobs))):
        log.info("%s", line)
    lines = list(dict.fromkeys(line for job in jobs for line in job.warnings))
    for line in lines[:_WARNINGS]:
        log.warning("warning: %s", line)
    if len(lines) > _WARNINGS:
        log.warning("warning: ... and %d more, in run.json", len(lines) - _WARNINGS)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lock the folder, and share a lock on its sweep, which nobody can then resume as a whole."""
    busy = "{}: another process is running here"
    with ExitStack() as stack:
        if (folder.parent / SWEEP).is_file():
            stack.enter_context(locked(folder.parent, shared=True, busy=busy.format(folder.parent)))
        stack.enter_context(locked(folder, busy=busy.format(folder)))
        yield


def _write_sweep(sweep: Path, jobs: Jobs, begun: Sequence[Path]) -> None:
    write_sweep(sweep, [_sweep_job(job) for job in jobs], {folder: read_facts(folder)["status"] for folder in begun})


def _sweep_job(job: Job | RefusedJob) -> SweepEntry:
    if isinstance(job, RefusedJob):
        return SweepEntry(job.folder, job.words, {}, {}, job.error)
    return SweepEntry(job.folder, job.words, job.config, job.files)


def _final_report(jobs: Jobs, sweep: Path | None) -> dict[str, Path]:
    """`_report`. If it fails, the old page goes: to `resume=latest`, a run or sweep without a page has not ended.

    So does the page of the sweep of a run that was resumed by itself: the sweep's resume writes those of its runs.
    """
    try:
        return _report(jobs, sweep)
    except OutputError as error:
        folder = sweep or jobs[0].folder
        for place in [folder, *([folder.parent] if (folder.parent / SWEEP).is_file() else [])]:
            with suppress(OSError):
                Folder(place).remove(PAGE)
        raise OutputError(f"{error}; the results are complete, and resume=latest writes the reports") from None


@spanned("report")
def _report(jobs: Jobs, sweep: Path | None) -> dict[str, Path]:
    """Write contact sheets and pages; returns the paths that the summary names."""
    only = any(job.settings.results.only for job in runnable(jobs))
    begun = [job.folder for job in runnable(jobs) if (job.folder / JOURNAL).is_file()]
    reports = {}
    for folder in begun:
        reports = {"results": folder / RESULTS} if (folder / RESULTS).is_dir() else {}
        if not only and not (sweep and _is_shown_by_sweep(folder)):
            reports |= {"contact sheet": contact_sheet(folder), "report": run_page(folder)}
    if sweep:
        _write_sweep(sweep, jobs, begun)
        reports = {} if only else {"contact sheet": sweep_sheet(sweep), "report": sweep_page(sweep)}
    return reports


def _is_shown_by_sweep(folder: Path) -> bool:
    """Whether a run made one picture about which there is nothing to say.

    The page of its sweep says all about this picture, and the sheet shows it, as far as it fits (`sheet.MAX_HEIGHT`).
    """
    lines = list(islice(read_journal(folder, skip_damaged=True), 2))
    return len(lines) == 1 and lines[0]["status"] == "done" and not lines[0]["flags"]


def _log_totals(log: logging.Logger, jobs: Jobs, runs: Sequence[JobRun]) -> None:
    by_folder = {run.job.folder: run for run in runs}
    if len(jobs) == 1:
        log.info("photos: %d; %s", runs[0].totals["photos"], _pictures(runs[0].totals))
        return
    for job in jobs:
        if isinstance(job, RefusedJob):
            log.info("%s: not run: %s", job.folder.name, "; ".join(job.error.splitlines()))
        else:
            run = by_folder[job.folder]
            stopped = "stopped; " if run.status == "stopped" else ""
            log.info("%s: %s%s", job.folder.name, stopped, _pictures(run.totals))


def _pictures(totals: Mapping[str, int]) -> str:
    text = "pictures: {done} done, {failed} failed, {skipped} skipped".format_map(totals)
    return text + f"; {totals['flagged']} of them flagged" * bool(totals["flagged"])


def _log_work(log: logging.Logger, runs: Sequence[JobRun], store: Store) -> None:
    """Log how many results were computed and reused, and why results were recomputed."""
    computed = _total(runs, "computed")
    log.info("computed: %s; reused: %s", _counts(computed), _counts(_total(runs, "reused")))
    if computed and len(runs) == 1:
        facts = read_facts(runs[0].job.folder)
        earlier = (run for run in earlier_runs(store.folder.parent, facts["name"]) if run[0] != runs[0].job.folder)
        for folder, then in islice(earlier, 1):
            log.info("since %s:", folder.relative_to(store.folder.parent))
            for line in recomputation_causes(then, facts) or [unknown_cause(then, computed)]:
                log.info("    %s", line)


def _total(runs: Sequence[JobRun], kind: str) -> Counter[str]:
    """The number of results by op. Jobs that ran together share one `work`, which counts once."""
    total: Counter[str] = Counter()
    for work in {id(run.work): run.work for run in runs}.values():
        total.update(work.get(kind, {}))
    return total


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {op}" for op, number in counts.items() if number) or "nothing"
