"""The contact sheet of a sweep: one picture of each run, its parameters as rows and columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image

from darkroom.report.drawing import PAPER, SOFT, label, notice, padded, row, stack, thumbnail
from darkroom.report.folder import Job, Sweep, counted, date, facts, short, tally
from darkroom.report.redaction import Redactor
from darkroom.report.sheet import MAX_HEIGHT, SHEET, caption, captioned, result, save, title
from darkroom.system.files import Folder, writing

MAX_PHOTOS = 6  # of each run

_MARGIN, _GAP, _AIR = 72, 20, 64  # around the page, between pictures, between tables
_WIDTH = 2280  # of what is inside the margins, where the pictures can be scaled to it
_NARROWEST, _WIDEST, _LABEL = 240, 420, 240  # width of a picture; of what names a row
_ABREAST = 8  # columns; what is more goes below

Choice = Mapping[str, str]  # a value for each of some axes


@dataclass
class _First:
    """The first picture of a photo that a run has made, or else its first that went wrong; and how many it has."""

    line: Mapping[str, Any]
    number: int = 0


@dataclass(frozen=True)
class _Made:
    """A run of the sweep and what it shows: its first photos, in their order."""

    job: Job
    firsts: Sequence[_First]


@dataclass(frozen=True)
class _Tables:
    """How the runs are laid out.

    Attributes:
        runs: by their values of the axes.
        axes: longest first: they run along the columns, the rows, and from table to table.
        values: of each axis.
        cell: width of a picture, in pixels.
        redactor: makes texts safe to send away.
    """

    runs: Mapping[tuple[str | None, ...], _Made]
    axes: Sequence[str]
    values: Mapping[str, Sequence[str]]
    cell: int
    redactor: Redactor

    def told(self, choice: Choice) -> str:
        """Such as `inpaint.seed 3`."""
        return " · ".join(f"{short(name)} {self.redactor.redact(value)}" for name, value in choice.items())

    def choices(self, axes: Sequence[str]) -> list[Choice]:
        """Every combination of the values of some axes: of none there is one, the empty one."""
        return [dict(zip(axes, values, strict=True)) for values in product(*(self.values[name] for name in axes))]

    def run(self, choice: Choice) -> _Made | None:
        """The run with these values, unless the sweep ended before it."""
        return self.runs.get(tuple(choice.get(name) for name in self.axes))


def sweep_sheet(sweep_dir: Path) -> Path:
    """Draw `contact_sheet.png` into a sweep's folder, also of a sweep that was interrupted.

    The longest axis runs along the columns and the next along the rows; each combination of the others has a table of
    its own, and so has each of the first `MAX_PHOTOS` photos. A cell shows the run's first picture of that photo.

    Returns:
        its path.

    Raises:
        OutputError: the folder cannot be read or written.
    """
    with writing(sweep_dir / SHEET):
        return save(sweep_dir, _page(Sweep.read(sweep_dir)))


def _page(sweep: Sweep) -> Image.Image:
    statuses: Counter[str] = Counter()
    redactor = Redactor(facts(job.folder) for job in sweep.jobs)
    jobs = [replace(job, error=redactor.redact(job.error)) for job in sweep.jobs]
    runs = [_Made(job, _firsts(job, statuses, redactor)) for job in jobs]
    told = [date(sweep.facts), counted(len(runs), "run"), *tally(statuses)]
    parts, height = [title(sweep.title, told, _WIDTH)], 0
    for band in _bands(_tables(sweep, runs, redactor)):
        height += band.height + _GAP
        if height > MAX_HEIGHT - 6 * _MARGIN:
            parts.append(label("and more: index.html shows them all", _WIDTH, 24, colour=SOFT))
            break
        parts.append(band)
    return padded(stack(parts, _GAP), _WIDTH, _MARGIN)


def _bands(tables: _Tables) -> Iterator[Image.Image]:
    """All tables, from the top down, drawn as they are taken."""
    photos = max((len(each.firsts) for each in tables.runs.values()), default=1)
    for photo, choice in product(range(photos or 1), tables.choices(tables.axes[2:])):
        yield Image.new("RGB", (1, _AIR - 2 * _GAP), PAPER)
        yield from _table(tables, choice, photo)


def _firsts(job: Job, statuses: Counter[str], redactor: Redactor) -> list[_First]:
    firsts: dict[str, _First] = {}
    for line in job.lines():
        statuses.update([line["status"], *["flagged"] * bool(line.get("flags"))])
        key = line.get("source") or line["photo"]
        if key not in firsts and len(firsts) == MAX_PHOTOS:
            continue
        first = firsts.setdefault(key, _First(line))
        first.number += 1
        if line["status"] == "done" != first.line["status"]:
            first.line = line
    if not firsts:
        statuses[job.status] += 1
    return [_First(redactor.redact(each.line), each.number) for each in firsts.values()]


def _tables(sweep: Sweep, runs: Sequence[_Made], redactor: Redactor) -> _Tables:
    axes = sorted(sweep.axes, key=lambda name: -len(sweep.axes[name]))
    columns = 1 + min(_ABREAST, len(sweep.axes[axes[0]]) if axes else 1)  # the photo comes first
    room = _WIDTH - (_LABEL + _GAP if len(axes) > 1 else 0)
    cell = min(max((room + _GAP) // columns - _GAP, _NARROWEST), _WIDEST)
    by_values = {tuple(made.job.values.get(name) for name in axes): made for made in reversed(runs)}
    return _Tables(by_values, axes, sweep.axes, cell, redactor)


def _table(tables: _Tables, block: Choice, photo: int) -> Iterator[Image.Image]:
    """A photo's pictures over two axes, for one choice of the others."""
    columns, rows = tables.choices(tables.axes[:1]), tables.choices(tables.axes[1:2])
    size, lead = _photo(tables, photo)
    blank = [Image.new("RGB", (width, 1), PAPER) for width in (tables.cell, *([_LABEL] if any(rows) else []))]
    if name := " · ".join(filter(None, [_photo_name(tables, photo), tables.told(block)])):
        yield label(name, _WIDTH, 28, lines=2)
    for start in range(0, len(columns), _ABREAST):
        some = columns[start : start + _ABREAST]
        if any(columns):
            yield row([*blank, *(_named(tables, each, tables.cell) for each in some)], _GAP)
        for each in rows:
            names = [_named(tables, each, _LABEL)] if any(rows) else []
            cells = [_cell(tables, {**block, **each, **column}, photo, size) for column in some]
            yield row([lead or blank[0], *names, *cells], _GAP)
            lead = None


def _photo(tables: _Tables, photo: int) -> tuple[tuple[int, int], Image.Image | None]:
    """The size of a table's pictures, and the photo itself where all have the same."""
    box = tables.cell, round(tables.cell * 1.2)
    for made in tables.runs.values():
        if photo < len(made.firsts) and (path := made.firsts[photo].line["thumbnails"].get("source")):
            small = thumbnail(Folder(made.job.folder), path, box)
            return small.size, captioned(small, "photo", tables.cell) if _photo_name(tables, photo) else None
    return (tables.cell, tables.cell * 2 // 3), None


def _photo_name(tables: _Tables, photo: int) -> str | None:
    """The name of the photo in this place, where all runs have the same there."""
    names = {made.firsts[photo].line["photo"] for made in tables.runs.values() if photo < len(made.firsts)}
    return names.pop() if len(names) == 1 else None


def _cell(tables: _Tables, choice: Choice, photo: int, size: tuple[int, int]) -> Image.Image:
    made = tables.run(choice)
    if made is None:
        return captioned(notice(size, "not run", "the sweep ended before it"), "", tables.cell)
    if photo < len(made.firsts):
        first = made.firsts[photo]
        picture = result(Folder(made.job.folder), first.line, size)
        name = None if _photo_name(tables, photo) else first.line["photo"]
        which = f"{caption(first.line)}, 1 of {first.number}" if first.number > 1 else None
        which = "flagged" if first.line.get("flags") and not which else which
        return captioned(picture, " · ".join(filter(None, [name, which])), tables.cell)
    if made.firsts:  # it has fewer photos than others
        return Image.new("RGB", (tables.cell, 1), PAPER)
    return captioned(notice(size, made.job.status, made.job.error or "no pictures"), "", tables.cell)


def _named(tables: _Tables, choice: Choice, width: int) -> Image.Image:
    return label(tables.told(choice), width, 22, lines=4)
