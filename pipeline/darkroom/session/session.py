"""One command line's work as a person sees it: log, runs, reports, summary."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from darkroom.config.jobs import Ready, Refused
from darkroom.dataset.dataset import stray_lines
from darkroom.engine.run_job import Run, perform
from darkroom.errors import DarkroomError, OutputError
from darkroom.provenance.differences import recomputation_causes, unknown_cause
from darkroom.provenance.earlier_runs import earlier_runs
from darkroom.record import JOURNAL, SWEEP, read_facts
from darkroom.record.naming import RESULTS
from darkroom.record.record import claim_folder
from darkroom.record.run_log import run_log
from darkroom.record.sweep import SweepJob, outputs_folder, write_sweep
from darkroom.report import contact_sheet, run_page, sweep_page, sweep_sheet
from darkroom.session.dry_run import dry_run
from darkroom.store import FOLDER, Store
from darkroom.system.files import locked

_WARNINGS = 10  # that are shown


def run(jobs: Sequence[Ready | Refused]) -> bool:
    """Run what is ready, write the reports and tell what came of it.

    Args:
        jobs: the command line's; one, where there is no sweep.

    Returns:
        whether every picture is there.

    Raises:
        OutputError: results cannot be written, or another process works in the folder.
    """
    ready = [each for each in jobs if isinstance(each, Ready)]
    sweep = jobs[0].sweep
    folder = sweep or ready[0].folder
    store = Store(outputs_folder(folder) / FOLDER)
    if any(each.settings.dry_run for each in ready):
        print(dry_run(ready, store))
        for path in (*(each.folder for each in ready), outputs_folder(folder)):
            with suppress(OSError):
                path.rmdir()  # Hydra made it; only an empty folder can go
        return True
    store.claim()
    with _alone(folder):
        for each in ready:
            if not each.begun:
                claim_folder(each.folder, each.files)
        if sweep:  # before anything else is written, so that whatever comes it can be resumed
            write_sweep(sweep, list(map(_sweep_job, jobs)), {})
        return _run(jobs, folder, store)


def _run(jobs: Sequence[Ready | Refused], folder: Path, store: Store) -> bool:
    ready, sweep = [each for each in jobs if isinstance(each, Ready)], jobs[0].sweep
    with run_log(folder) as log:
        for summary in dict.fromkeys(each.settings.models().summary for each in ready):
            log.info("%s", summary)
        _tell_warnings(log, ready)
        try:
            runs = perform(ready, store)
        except (KeyboardInterrupt, DarkroomError):
            with suppress(OutputError):  # the disk may be what is wrong
                _report(jobs, sweep)
            raise
        _tell_work(log, runs, store)
        reports = _report(jobs, sweep)
        _tell_totals(log, jobs, runs)
        log.info("%s folder:  %s", "sweep" if sweep else "run", folder)
        for name, path in reports.items():
            log.info("%s %s", f"{name}:".ljust(14), path)
        return all(each.status == "done" for each in runs)


def _tell_warnings(log: logging.Logger, jobs: Sequence[Ready]) -> None:
    for line in stray_lines(each.recipe.dataset for each in jobs):
        log.info("%s", line)
    lines = list(dict.fromkeys(line for each in jobs for line in each.warnings))
    for line in lines[:_WARNINGS]:
        log.warning("warning: %s", line)
    if len(lines) > _WARNINGS:
        log.warning("warning: ... and %d more, in run.json", len(lines) - _WARNINGS)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other run may work in the folder meanwhile, nor in the sweep that it is one of."""
    busy = "{}: another run is at work here"
    with ExitStack() as stack:
        if (folder.parent / SWEEP).is_file():
            stack.enter_context(locked(folder.parent, shared=True, busy=busy.format(folder.parent)))
        stack.enter_context(locked(folder, busy=busy.format(folder)))
        yield


def _report(jobs: Sequence[Ready | Refused], sweep: Path | None) -> dict[str, Path]:
    """Contact sheets and pages of what is there; returns those to look at first."""
    begun = [each.folder for each in jobs if isinstance(each, Ready) and (each.folder / JOURNAL).is_file()]
    reports = {}
    for folder in begun:
        reports = {"results": folder / RESULTS} if (folder / RESULTS).is_dir() else {}
        reports |= {"contact sheet": contact_sheet(folder), "report": run_page(folder)}
    if sweep:
        write_sweep(sweep, list(map(_sweep_job, jobs)), {folder: read_facts(folder)["status"] for folder in begun})
        reports = {"contact sheet": sweep_sheet(sweep), "report": sweep_page(sweep)}
    return reports


def _sweep_job(job: Ready | Refused) -> SweepJob:
    if isinstance(job, Refused):
        return SweepJob(job.folder, job.words, {}, {}, job.error)
    return SweepJob(job.folder, job.words, job.config, job.files)


def _tell_totals(log: logging.Logger, jobs: Sequence[Ready | Refused], runs: Sequence[Run]) -> None:
    by_folder = {each.ready.folder: each for each in runs}
    if len(jobs) == 1:
        log.info("photos: %d; %s", runs[0].totals["photos"], _pictures(runs[0].totals))
        return
    for each in jobs:
        if isinstance(each, Refused):
            log.info("%s: not run: %s", each.folder.name, "; ".join(str(each.error).splitlines()))
        else:
            run = by_folder[each.folder]
            stopped = "stopped; " if run.status == "stopped" else ""
            log.info("%s: %s%s", each.folder.name, stopped, _pictures(run.totals))


def _pictures(totals: Mapping[str, int]) -> str:
    told = "pictures: {done} done, {failed} failed, {skipped} skipped".format_map(totals)
    return told + f"; {totals['flagged']} of them flagged" * bool(totals["flagged"])


def _tell_work(log: logging.Logger, runs: Sequence[Run], store: Store) -> None:
    """What was computed, what was there already, and why the rest was not."""
    computed = sum((Counter(work.get("computed")) for work in _works(runs)), Counter())
    reused = sum((Counter(work.get("reused")) for work in _works(runs)), Counter())
    log.info("computed: %s; reused: %s", _counts(computed), _counts(reused))
    if computed and len(runs) == 1:
        facts = read_facts(runs[0].ready.folder)
        earlier = (each for each in earlier_runs(store.folder.parent, facts["name"]) if each[0] != runs[0].ready.folder)
        for folder, then in islice(earlier, 1):
            told = recomputation_causes(then, facts) or [unknown_cause(then, computed)]
            log.info("since %s:", folder.relative_to(store.folder.parent))
            for line in told:
                log.info("    %s", line)


def _works(runs: Sequence[Run]) -> list[Mapping[str, Any]]:
    """Of jobs that ran together there is one account."""
    return list({id(each.work): each.work for each in runs}.values())


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {op}" for op, number in counts.items() if number) or "nothing"
