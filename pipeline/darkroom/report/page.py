"""The page: every picture of a run or a sweep in a file that any browser opens; no server, no network.

A page holds its data as JSON and shows it as text only: prompts and names come from strangers.
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
from darkroom.report import commands as again
from darkroom.report.drawing import opened
from darkroom.report.folder import Job, Sweep, counted, date, facts, short, shows_masks, tally
from darkroom.report.redaction import Redactor
from darkroom.system.files import Folder, writing

MAX_PICTURES = 4000  # in a file; what is more goes into others

_TEMPLATE = Path(__file__).with_name("template")
_FILES = ("contact_sheet.png", "recipe.yaml", "run.json", "sweep.json", "journal.jsonl", "run.log")
_SHOWN = (
    *("photo", "status", "error", "flags", "warnings", "prompt", "negative_prompt", "seed", "variant"),
    *("outside_max_diff", "seconds", "item"),
)
_FURTHER = re.compile(r"index_\d+\.html")

Picture = tuple[int, Mapping[str, Any]]  # which run, and a line of its journal


@dataclass(frozen=True)
class _Run:
    """A run whose pictures a page shows.

    Attributes:
        folder: the run folder.
        within: its path within the page's folder, ending in `/`; empty where it is that folder.
        facts: its `run.json`.
        job: what the sweep says of it; None outside of a sweep.
    """

    folder: Path
    within: str
    facts: Mapping[str, Any]
    job: Job | None = None

    def lines(self) -> Iterator[Mapping[str, Any]]:
        """Its journal's; of a job that was refused or has made nothing, one that says so."""
        if self.job is None:
            yield from read_journal(self.folder, damaged=True)
            return
        line = None
        for line in self.job.lines():
            yield line
        if line is None or self.job.error:
            yield {"status": self.job.status, "error": self.job.error or "no pictures"}


@dataclass(frozen=True)
class _Report:
    """All that the pages of a folder have in common.

    Attributes:
        folder: where they are, absolute.
        title: what they are called.
        told: what is known of the whole: when, how many, how long.
        axes: the swept parameters.
        runs: whose pictures they show.
        redactor: makes texts safe to send away.
    """

    folder: Path
    title: str
    told: Sequence[str]
    axes: Sequence[str]
    runs: Sequence[_Run]
    redactor: Redactor

    @property
    def called(self) -> str:
        """The folder, as commands name it."""
        return self.redactor.folder_name(self.folder)

    def pictures(self) -> Iterator[Picture]:
        """All, in order, read as they are taken."""
        return ((number, line) for number, run in enumerate(self.runs) for line in run.lines())


def run_page(run_dir: Path) -> Path:
    """Write `index.html` into a run folder, also of a run that is unfinished or has failed.

    Pictures beyond `MAX_PICTURES` go to `index_2.html` and so on. Memory does not grow with the run.

    Returns:
        its path.

    Raises:
        OutputError: the folder cannot be read or written.
    """
    folder = run_dir.absolute()
    with writing(folder / "index.html"):
        told = facts(folder)
        photos = [counted(told["totals"]["photos"], "photo")] if "totals" in told else []
        name = str(told.get("name") or folder.name)
        return _write(_Report(folder, name, [*_about(told), *photos], (), [_Run(folder, "", told)], Redactor([told])))


def sweep_page(sweep_dir: Path) -> Path:
    """Write `index.html` into a sweep's folder, with the pictures of all its runs, as `run_page` does."""
    folder = sweep_dir.absolute()
    with writing(folder / "index.html"):
        sweep = Sweep.read(folder)
        runs = [_Run(job.folder, f"{job.folder.name}/", facts(job.folder), job) for job in sweep.jobs]
        told = [*_about(sweep.facts), counted(len(runs), "run")]
        redactor = Redactor(run.facts for run in runs)
        return _write(_Report(folder, sweep.title, told, list(sweep.axes), runs, redactor))


def _about(told: Mapping[str, Any]) -> list[str]:
    unfinished = told.get("status") if told.get("status") in ("running", "interrupted", "stopped") else None
    return [each for each in (date(told), unfinished, _duration(told.get("wall_seconds"))) if each]


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _write(report: _Report) -> Path:
    statuses = Counter(line["status"] for _, line in report.pictures())
    total = statuses.total()
    files = Folder(report.folder)
    flagged = sum(bool(line.get("flags")) for _, line in report.pictures())
    names = ["index.html", *(f"index_{number}.html" for number in range(2, -(-total // MAX_PICTURES) + 1))]
    common = report.redactor.redact(
        {
            "title": report.title,
            "told": [*report.told, *tally(statuses + Counter(flagged=flagged))],
            "masks": shows_masks(line for _, line in report.pictures()),
            "folder": report.called,
            "axes": [{"name": axis, "label": short(axis)} for axis in report.axes],
            "runs": [_about_run(run) for run in report.runs],
            "files": [name for name in _FILES if files.has(name)],
            "pages": [{"file": name, "first": number * MAX_PICTURES + 1} for number, name in enumerate(names)],
            "total": total,
        }
    )
    pictures = enumerate(report.pictures(), start=1)
    for number, name in enumerate(names):
        data = common | {"page": number} | _data(report, islice(pictures, MAX_PICTURES))
        files.write(name, _html(data).encode())
    for path in report.folder.glob("index_*.html"):  # of a time when there were more pictures
        if _FURTHER.fullmatch(path.name) and path.name not in names:
            files.remove(path.name)
    return report.folder / "index.html"


def _about_run(run: _Run) -> dict[str, Any]:
    if run.job is None:
        return {"folder": ""}
    page = f"{run.within}index.html" if (run.folder / "index.html").is_file() else None
    return {"folder": run.folder.name, "values": dict(run.job.values), "page": page}


def _data(report: _Report, pictures: Iterable[tuple[int, Picture]]) -> dict[str, Any]:
    """What one file shows. Stages that many pictures share stand there once."""
    stages: dict[str, int] = {}
    shown = []
    for number, (run, line) in pictures:
        full = {"number": number, "run": run, **_picture(report, report.runs[run], line, stages)}
        shown.append({key: value for key, value in full.items() if value not in (None, "", {}, [])})
    texts = [json.loads(text) for text in stages]
    return {"stages": texts, "pictures": shown, "shape": _shape(report.folder, shown)}


def _picture(report: _Report, run: _Run, line: Mapping[str, Any], stages: dict[str, int]) -> dict[str, Any]:
    """A line of the journal as the page needs it; paths are those within the page's folder."""
    settings = report.redactor.redact(line.get("settings", ()))
    called = PurePath(report.called, run.within)
    paths = {kind: line.get(kind) for kind in ("source", "mask", "result", "delivered")}
    small = line.get("thumbnails", {})
    paths |= {"thumbnail": small.get("result"), "mask_thumbnail": small.get("mask")}
    return {
        **report.redactor.redact({key: line.get(key) for key in _SHOWN}),
        **{kind: run.within + path for kind, path in paths.items() if path},
        "figures": dict(_figures(line)),
        "settings": [stages.setdefault(json.dumps(step), len(stages)) for step in settings],
        "reproduce": again.reproduce(called, line["result"]) if line.get("result") else None,
        "ordinary": again.ordinary(called, run.facts, line, report.redactor) if "photo" in line else None,
    }


def _figures(line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """What the stages have measured, as far as they came: `size coverage` and its value."""
    for stage, step in zip(line.get("settings", ()), line.get("steps", ())[1:], strict=False):
        yield from ((f"{stage['stage']} {label}", value) for label, value in step.get("figures", {}).items())


def _shape(folder: Path, pictures: Sequence[Mapping[str, Any]]) -> float:
    """Width by height of most thumbnails, so that the page's frames fit them."""
    shapes = []
    for picture in islice((each for each in pictures if "thumbnail" in each), 24):
        try:
            image = opened(Folder(folder), picture["thumbnail"])
            shapes.append(image.width / image.height)
        except OSError:
            continue
    return round(min(max(median(shapes or [1.5]), 0.75), 1.78), 3)


def _html(data: Mapping[str, Any]) -> str:
    style, script = ((_TEMPLATE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    page = (_TEMPLATE / "page.html").read_text(encoding="utf-8")
    parts = {
        "{title}": html.escape(data["title"].encode("utf-8", "replace").decode()),
        "{style_digest}": _digest(style),
        "{script_digest}": _digest(script),
        "{style}": style,
        "{script}": script,
        "{data}": _safe_json(data),
    }
    # In one go, so that nothing that is put in is taken for a place to put something.
    return re.sub("|".join(map(re.escape, parts)), lambda found: parts[found[0]], page)


def _safe_json(data: Mapping[str, Any]) -> str:
    """JSON of ASCII alone that cannot end the script element that it stands in, nor begin a comment."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e")


def _digest(text: str) -> str:
    """How a Content-Security-Policy names the one style sheet or script that it allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
