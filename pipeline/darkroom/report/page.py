"""The HTML page of a run or a sweep. It shows every picture in any browser, without server or network.

The page holds its data as JSON and shows texts as text, never as HTML: prompts and names come from strangers.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath
from statistics import median
from typing import Any

from darkroom.record import read_journal
from darkroom.report.commands import reproduce_command, run_command
from darkroom.report.drawing import read_thumbnail
from darkroom.report.folder import (
    ReportedJob,
    Sweep,
    counted,
    date,
    facts_or_nothing,
    is_unchanged,
    short_name,
    shows_masks,
    tally,
)
from darkroom.report.redaction import Redactor
from darkroom.report.sheet import SHEET, further_sheets
from darkroom.system.files import Folder, writing

PAGE = "index.html"
MAX_PICTURES = 20_000  # per file; further pictures go into further files

_TEMPLATE = Path(__file__).with_name("template")
_FILES = ("recipe.yaml", "run.json", "sweep.json", "journal.jsonl", "run.log")
_SHOWN_KEYS = (
    *("photo", "status", "error", "flags", "warnings", "prompt", "negative_prompt", "seed", "variant"),
    *("outside_max_diff", "seconds", "item"),
)
_SHAPES = 24  # thumbnails that give the shape of the frames
_FURTHER_PAGE = re.compile(r"index_\d+\.html")

_Picture = tuple[int, Mapping[str, Any]]  # index of the run, and a line of its journal


@dataclass(frozen=True)
class _Run:
    """A run on a page.

    Attributes:
        folder: the run folder.
        within: its path within the page's folder, ending in `/`; empty if both are the same folder.
        facts: its `run.json`.
        job: its job in the sweep; None outside a sweep.
    """

    folder: Path
    within: str
    facts: Mapping[str, Any]
    job: ReportedJob | None = None

    def lines(self) -> Iterator[Mapping[str, Any]]:
        """The lines of its journal. A job that was refused or made nothing gets one line that says so."""
        if self.job is None:
            yield from read_journal(self.folder, skip_damaged=True)
            return
        line = None
        for line in self.job.lines():
            yield line
        if line is None or self.job.error:
            yield {"status": self.job.status, "error": self.job.error or "no pictures"}


@dataclass(frozen=True)
class _Report:
    """What all pages of a folder share.

    Attributes:
        folder: the absolute path of the folder.
        title: the heading.
        summary: start, duration and counts, as texts.
        axes: the swept parameters.
        runs: the runs on the pages.
        redactor: makes texts safe to send away.
    """

    folder: Path
    title: str
    summary: Sequence[str]
    axes: Sequence[str]
    runs: Sequence[_Run]
    redactor: Redactor

    @property
    def folder_name(self) -> str:
        """The folder as commands name it."""
        return self.redactor.folder_name(self.folder)

    def pictures(self) -> Iterator[_Picture]:
        """All pictures in order, read from the journals one by one."""
        return ((number, line) for number, run in enumerate(self.runs) for line in run.lines())


def run_page(run_dir: Path) -> Path:
    """Write `index.html` into a run folder, even if the run is unfinished or has failed.

    Pictures beyond `MAX_PICTURES` go to `index_2.html` and so on. Memory use does not grow with the run.

    Returns:
        the path of `index.html`.

    Raises:
        OutputError: the folder cannot be read or written.
    """
    folder = run_dir.absolute()
    with writing(folder / PAGE):
        facts = facts_or_nothing(folder)
        photos = [counted(facts["totals"]["photos"], "photo")] if "totals" in facts else []
        name, summary = str(facts.get("name") or folder.name), [*_summary(facts), *photos]
        return _write(_Report(folder, name, summary, (), [_Run(folder, "", facts)], Redactor([facts])))


def sweep_page(sweep_dir: Path) -> Path:
    """Write `index.html` into a sweep's folder, with the pictures of all its runs; see `run_page`."""
    folder = sweep_dir.absolute()
    with writing(folder / PAGE):
        sweep = Sweep.read(folder)
        runs = [_Run(job.folder, f"{job.folder.name}/", facts_or_nothing(job.folder), job) for job in sweep.jobs]
        summary = [*_summary(sweep.facts), counted(len(runs), "run")]
        redactor = Redactor(run.facts for run in runs)
        return _write(_Report(folder, sweep.title, summary, list(sweep.axes), runs, redactor))


def _summary(facts: Mapping[str, Any]) -> list[str]:
    unfinished = facts.get("status") if facts.get("status") in ("running", "interrupted", "stopped") else None
    return [text for text in (date(facts), unfinished, _duration(facts.get("wall_seconds"))) if text]


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _write(report: _Report) -> Path:
    statuses: Counter[str] = Counter()
    flagged = 0
    for _, line in report.pictures():
        statuses[line["status"]] += 1
        flagged += bool(line.get("flags"))
    names = [PAGE, *(f"index_{number}.html" for number in range(2, -(-statuses.total() // MAX_PICTURES) + 1))]
    common = report.redactor.redact(_common_data(report, names, statuses, flagged))
    pictures = enumerate(report.pictures(), start=1)
    files = Folder(report.folder)
    for number, name in enumerate(names):
        files.write(name, _html(common | {"page": number}, _data(report, islice(pictures, MAX_PICTURES))).encode())
    for path in report.folder.glob("index_*.html"):  # of an earlier report with more pictures
        if _FURTHER_PAGE.fullmatch(path.name) and path.name not in names:
            files.remove(path.name)
    return report.folder / PAGE


def _common_data(report: _Report, names: Sequence[str], statuses: Counter[str], flagged: int) -> dict[str, Any]:
    """The data that all files of a report share."""
    files = Folder(report.folder)
    return {
        "title": report.title,
        "summary": [*report.summary, *tally(statuses + Counter(flagged=flagged))],
        "masks": shows_masks(line for _, line in report.pictures()),
        "folder": report.folder_name,
        "axes": [{"name": axis, "label": short_name(axis)} for axis in report.axes],
        "runs": [_run_data(run) for run in report.runs],
        "files": [name for name in (SHEET, *further_sheets(report.folder), *_FILES) if files.has(name)],
        "pages": [{"file": name, "first": number * MAX_PICTURES + 1} for number, name in enumerate(names)],
        "total": statuses.total(),
    }


def _run_data(run: _Run) -> dict[str, Any]:
    if run.job is None:
        return {"folder": ""}
    page = f"{run.within}{PAGE}" if (run.folder / PAGE).is_file() else None
    return {"folder": run.folder.name, "values": dict(run.job.values), "page": page}


def _data(report: _Report, pictures: Iterable[tuple[int, _Picture]]) -> str:
    """The data of one file, as the members of a JSON object. Stage settings that pictures share are stored once."""
    stages: dict[str, int] = {}
    first: list[str] = []  # thumbnails
    shown = []  # as JSON: thousands of dictionaries would take ten times the memory
    for number, (run, line) in pictures:
        full = {"number": number, "run": run, **_picture(report, report.runs[run], line, stages)}
        shown.append(_safe_json({key: value for key, value in full.items() if value not in (None, "", {}, [])}))
        if full.get("thumbnail") and len(first) < _SHAPES:
            first.append(full["thumbnail"])
    texts = [json.loads(text) for text in stages]
    return f'"stages":{_safe_json(texts)},"shape":{_shape(report.folder, first)},"pictures":[{",".join(shown)}]'


def _picture(report: _Report, run: _Run, line: Mapping[str, Any], stages: dict[str, int]) -> dict[str, Any]:
    """The page's data for a line of the journal; paths are relative to the page's folder."""
    settings = report.redactor.redact(line.get("settings", ()))
    folder = PurePath(report.folder_name, run.within)
    paths = {kind: line.get(kind) for kind in ("source", "mask", "result", "delivered")}
    small = line.get("thumbnails", {})
    paths |= {"thumbnail": small.get("result"), "mask_thumbnail": small.get("mask")}
    return {
        **report.redactor.redact({key: line.get(key) for key in _SHOWN_KEYS}),
        **{kind: run.within + path for kind, path in paths.items() if path},
        "others": {kind: run.within + path for kind, path in _others(line)},
        "figures": dict(_figures(line)),
        "settings": [stages.setdefault(json.dumps(step), len(stages)) for step in settings],
        "unchanged": is_unchanged(line) or None,
        "reproduce": reproduce_command(folder, line["result"]) if line.get("result") else None,
        "ordinary": run_command(folder, run.facts, line, report.redactor) if "photo" in line else None,
    }


def _others(line: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The files in `results/` besides the delivered picture."""
    return ((kind, path) for kind, path in line.get("outputs", {}).items() if path != line.get("delivered"))


def _figures(line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """What the stages measured, such as `size coverage` and its value; stages that did not run have no figures."""
    for stage, step in zip(line.get("settings", ()), line.get("steps", ())[1:], strict=False):
        yield from ((f"{stage['stage']} {label}", value) for label, value in step.get("figures", {}).items())


def _shape(folder: Path, thumbnails: Sequence[str]) -> float:
    """The median ratio of width to height of some thumbnails; the page's frames have this shape."""
    shapes = []
    for path in thumbnails:
        try:
            image = read_thumbnail(Folder(folder), path)
            shapes.append(image.width / image.height)
        except OSError:
            continue
    return round(min(max(median(shapes or [1.5]), 0.75), 1.78), 3)


def _html(common: Mapping[str, Any], data: str) -> str:
    """The page.

    Args:
        common: the data that all files of a report share, and the number of this one.
        data: from `_data`.
    """
    style, script = ((_TEMPLATE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    page = (_TEMPLATE / "page.html").read_text(encoding="utf-8")
    parts = {
        "{title}": html.escape(common["title"].encode("utf-8", "replace").decode()),
        "{style_digest}": _digest(style),
        "{script_digest}": _digest(script),
        "{style}": style,
        "{script}": script,
        "{data}": f"{_safe_json(common)[:-1]},{data}}}",
    }
    # One pass, so that an inserted text that looks like a placeholder is not replaced.
    return re.sub("|".join(map(re.escape, parts)), lambda found: parts[found[0]], page)


def _safe_json(data: Any) -> str:
    """JSON in ASCII that can neither end the surrounding script element nor begin a comment."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e")


def _digest(text: str) -> str:
    """A text's hash as a Content-Security-Policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
