"""The contact sheet of a sweep: one picture per run, arranged by the swept parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image

from darkroom.imaging.thumbnails import PAPER
from darkroom.report.drawing import SOFT, label, notice, padded, row, stack, thumbnail
from darkroom.report.folder import ReportedJob, Sweep, counted, date, facts_or_nothing, short_name, tally
from darkroom.report.redaction import Redactor
from darkroom.report.sheet import MAX_HEIGHT, SHEET, caption, captioned, result, save, title
from darkroom.system.files import Folder, writing

MAX_PHOTOS = 6  # per run

_MARGIN, _GAP, _AIR = 72, 20, 64  # around the page, between pictures, between tables
_WIDTH = 2280  # between the margins; many columns make a sheet wider
_MIN_CELL, _MAX_CELL, _LABEL = 240, 420, 240  # width of a picture; of a row's label
_MAX_COLUMNS = 8  # further columns go below

_Choice = Mapping[str, str]  # a value for each of some axes


@dataclass
class _FirstPicture:
    """A photo's first finished picture in a run, or its first failure; and the number of its pictures."""

    line: Mapping[str, Any]
    number: int = 0


@dataclass(frozen=True)
class _Run:
    """A run of the sweep and the first pictures of its first photos, in their order."""

    job: ReportedJob
    firsts: Sequence[_FirstPicture]


@dataclass(frozen=True)
class _Tables:
    """The layout of the runs.

    Attributes:
        runs: by their values of the axes.
        axes: longest first: columns, rows, then one table per combination of the others.
        values: the values of every axis.
        cell: width of a picture, in pixels.
        redactor: makes texts safe to send away.
    """

    runs: Mapping[tuple[str | None, ...], _Run]
    axes: Sequence[str]
    values: Mapping[str, Sequence[str]]
    cell: int
    redactor: Redactor

    def text(self, choice: _Choice) -> str:
        """The values of a choice, such as `inpaint.seed 3`."""
        return " · ".join(f"{short_name(name)} {self.redactor.redact(value)}" for name, value in choice.items())

    def choices(self, axes: Sequence[str]) -> list[_Choice]:
        """Every combination of the values of some axes; for no axes, one empty combination."""
        return [dict(zip(axes, values, strict=True)) for values in product(*(self.values[name] for name in axes))]

    def run(self, choice: _Choice) -> _Run | None:
        """The run with these values; None if the sweep ended before it."""
        return self.runs.get(tuple(choice.get(name) for name in self.axes))


def sweep_sheet(sweep_dir: Path) -> Path:
    """Draw `contact_sheet.jpg` into a sweep's folder, even if the sweep was interrupted.

    The longest axis makes the columns and the next the rows. Every combination of the other axes has its own table,
    and so has each of the first `MAX_PHOTOS` photos. A cell shows the run's first picture of that photo.

    Returns:
        the path of the sheet.

    Raises:
        OutputError: the folder cannot be read or written.
    """
    with writing(sweep_dir / SHEET):
        return save(sweep_dir, _page(Sweep.read(sweep_dir)))


def _page(sweep: Sweep) -> Image.Image:
    statuses: Counter[str] = Counter()
    redactor = Redactor(facts_or_nothing(job.folder) for job in sweep.jobs)
    jobs = [replace(job, error=redactor.redact(job.error)) for job in sweep.jobs]
    runs = [_Run(job, _firsts(job, statuses, redactor)) for job in jobs]
    details = [date(sweep.facts), counted(len(runs), "run"), *tally(statuses)]
    parts, height = [title(sweep.title, details, _WIDTH)], 0
    for band in _bands(_tables(sweep, runs, redactor)):
        height += band.height + _GAP
        if height > MAX_HEIGHT - 6 * _MARGIN:
            parts.append(label("index.html shows the other pictures", _WIDTH, 24, colour=SOFT))
            break
        parts.append(band)
    return padded(stack(parts, _GAP), _WIDTH, _MARGIN)


def _bands(tables: _Tables) -> Iterator[Image.Image]:
    """All tables from top to bottom, drawn one by one."""
    photos = max((len(run.firsts) for run in tables.runs.values()), default=1)
    for photo, choice in product(range(photos or 1), tables.choices(tables.axes[2:])):
        yield Image.new("RGB", (1, _AIR - 2 * _GAP), PAPER)
        yield from _table(tables, choice, photo)


def _firsts(job: ReportedJob, statuses: Counter[str], redactor: Redactor) -> list[_FirstPicture]:
    firsts: dict[str, _FirstPicture] = {}
    for line in job.lines():
        statuses.update([line["status"], *["flagged"] * bool(line.get("flags"))])
        key = line.get("source") or line["photo"]
        if key not in firsts and len(firsts) == MAX_PHOTOS:
            continue
        first = firsts.setdefault(key, _FirstPicture(line))
        first.number += 1
        if line["status"] == "done" != first.line["status"]:
            first.line = line
    if not firsts:
        statuses[job.status] += 1
    return [_FirstPicture(redactor.redact(first.line), first.number) for first in firsts.values()]


def _tables(sweep: Sweep, runs: Sequence[_Run], redactor: Redactor) -> _Tables:
    axes = sorted(sweep.axes, key=lambda name: -len(sweep.axes[name]))
    columns = 1 + min(_MAX_COLUMNS, len(sweep.axes[axes[0]]) if axes else 1)  # the photo comes first
    room = _WIDTH - (_LABEL + _GAP if len(axes) > 1 else 0)
    cell = min(max((room + _GAP) // columns - _GAP, _MIN_CELL), _MAX_CELL)
    by_values = {tuple(run.job.values.get(name) for name in axes): run for run in reversed(runs)}
    return _Tables(by_values, axes, sweep.axes, cell, redactor)


def _table(tables: _Tables, block: _Choice, photo: int) -> Iterator[Image.Image]:
    """One photo's pictures over two axes, for one choice of the others."""
    columns, rows = tables.choices(tables.axes[:1]), tables.choices(tables.axes[1:2])
    size, lead = _photo(tables, photo)
    blank = [Image.new("RGB", (width, 1), PAPER) for width in (tables.cell, *([_LABEL] if any(rows) else []))]
    if name := " · ".join(filter(None, [_photo_name(tables, photo), tables.text(block)])):
        yield label(name, _WIDTH, 28, lines=2)
    for start in range(0, len(columns), _MAX_COLUMNS):
        part = columns[start : start + _MAX_COLUMNS]
        if any(columns):
            yield row([*blank, *(_heading(tables, column, tables.cell) for column in part)], _GAP)
        for choice in rows:
            names = [_heading(tables, choice, _LABEL)] if any(rows) else []
            cells = [_cell(tables, {**block, **choice, **column}, photo, size) for column in part]
            yield row([lead or blank[0], *names, *cells], _GAP)
            lead = None


def _photo(tables: _Tables, photo: int) -> tuple[tuple[int, int], Image.Image | None]:
    """The size of a table's pictures, and the photo itself if all runs have the same."""
    box = tables.cell, round(tables.cell * 1.2)
    for run in tables.runs.values():
        if photo < len(run.firsts) and (path := run.firsts[photo].line["thumbnails"].get("source")):
            small = thumbnail(Folder(run.job.folder), path, box)
            return small.size, captioned(small, "photo", tables.cell) if _photo_name(tables, photo) else None
    return (tables.cell, tables.cell * 2 // 3), None


def _photo_name(tables: _Tables, photo: int) -> str | None:
    """The name of the photo at this position; None if the runs differ."""
    names = {run.firsts[photo].line["photo"] for run in tables.runs.values() if photo < len(run.firsts)}
    return names.pop() if len(names) == 1 else None


def _cell(tables: _Tables, choice: _Choice, photo: int, size: tuple[int, int]) -> Image.Image:
    run = tables.run(choice)
    if run is None:
        return captioned(notice(size, "not run", "the sweep ended before it"), "", tables.cell)
    if photo < len(run.firsts):
        first = run.firsts[photo]
        picture = result(Folder(run.job.folder), first.line, size)
        name = None if _photo_name(tables, photo) else first.line["photo"]
        text = f"{caption(first.line)}, 1 of {first.number}" if first.number > 1 else None
        text = "flagged" if first.line.get("flags") and not text else text
        return captioned(picture, " · ".join(filter(None, [name, text])), tables.cell)
    if run.firsts:  # this run has fewer photos than others
        return Image.new("RGB", (tables.cell, 1), PAPER)
    return captioned(notice(size, run.job.status, run.job.error or "no pictures"), "", tables.cell)


def _heading(tables: _Tables, choice: _Choice, width: int) -> Image.Image:
    return label(tables.text(choice), width, 22, lines=4)
