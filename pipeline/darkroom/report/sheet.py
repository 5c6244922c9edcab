"""The contact sheet: one picture that shows the results of a run.

It is drawn from the thumbnails in the run folder and reads nothing outside it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from PIL import Image

from darkroom.imaging.thumbnails import PAPER
from darkroom.record import read_journal
from darkroom.report.drawing import SOFT, WARN, framed, jpeg, label, notice, padded, row, stack, thumbnail, tinted
from darkroom.report.folder import counted, date, facts_or_nothing, is_unchanged, shows_masks, tally
from darkroom.report.redaction import Redactor
from darkroom.system.files import Folder, writing

SHEET = "contact_sheet.jpg"
MAX_PHOTOS = 24
MAX_MASKS = 400  # photos on a sheet that shows masks only
MAX_HEIGHT = 16_000  # pixels; many viewers fail at 16384
MAX_SHEETS = 3  # files, each of which takes 0.5 s to draw; the page shows all pictures

_MARGIN, _GAP, _AIR = 72, 20, 64  # around the page, between pictures, between photos
_WIDTH = 2280  # between the margins; many columns make a sheet wider
_MIN_CELL, _MAX_CELL = 240, 420  # width of a picture
_PROMPT_AND_SEED = re.compile(r"\S+ (prompt\d+)?-?(seed\d+)?")  # a variant that row and seed identify
_PER_ROW, _MAX_ROWS = 8, 12  # results per row, rows per photo

_FURTHER_SHEET = re.compile(r"contact_sheet_(\d{1,4})\.jpg")

# A prompt and the journal lines of its pictures; None where each picture has a prompt of its own.
_Row = tuple[str | None, list[Mapping[str, Any]]]


@dataclass
class _Photo:
    """One photo and its lines of the journal."""

    name: str
    lines: list[Mapping[str, Any]] = field(default_factory=list)

    def rows(self) -> list[_Row]:
        """One row per prompt, sorted by seed; prompts with one picture each share a row.

        A long row is split; its further parts have the prompt ''.
        """
        prompts: dict[str | None, list[Mapping[str, Any]]] = {}
        for line in self.lines:
            prompts.setdefault(line.get("prompt") or "", []).append(line)
        if len(self.lines) == len(prompts) > 1:
            prompts = {None: self.lines}
        rows: list[_Row] = []
        for prompt, lines in prompts.items():
            if prompt is not None:
                lines.sort(key=lambda line: line.get("seed") or 0)
            for start in range(0, len(lines), _PER_ROW):
                rows.append((prompt if start == 0 or prompt is None else "", lines[start : start + _PER_ROW]))
        return rows

    def first(self, kind: str) -> str | None:
        """The path of the photo's first thumbnail of a kind, `source` or `mask`."""
        return next((line["thumbnails"][kind] for line in self.lines if line["thumbnails"].get(kind)), None)

    def flags(self) -> list[str]:
        """The flags of its pictures, without repeats."""
        return list(dict.fromkeys(flag for line in self.lines for flag in line.get("flags", ())))

    def only_error(self) -> str | None:
        """The error, if all its pictures failed with the same one."""
        errors = {line.get("error") for line in self.lines}
        return errors.pop() if len(errors) == 1 else None


@dataclass(frozen=True)
class _Layout:
    """The layout of a sheet.

    Attributes:
        folder: the run folder.
        cell: width of a picture, in pixels.
        lead: columns for photo and mask: 2, or 1 if the mask is below the photo.
        columns: columns of the widest photo, `lead` included.
        abreast: the number of photos side by side.
    """

    folder: Folder
    cell: int
    lead: int
    columns: int
    abreast: int

    def width(self, columns: int) -> int:
        """The width of some columns, in pixels."""
        return columns * (self.cell + _GAP) - _GAP


def contact_sheet(run_dir: Path) -> Path:
    """Draw `contact_sheet.jpg` into a run folder, even if the run is unfinished or has failed.

    For every photo the sheet shows the photo, its mask and the results: one row per prompt, one column per seed; or all
    prompts in one row, if each has one picture. If the run repaints nothing, the sheet shows every photo with its mask
    over it. Flagged photos come first. A sheet has at most `MAX_PHOTOS` photos (masks: `MAX_MASKS`) and `MAX_HEIGHT`
    pixels; further photos go to `contact_sheet_2.jpg` and so on, up to `MAX_SHEETS`, and the last line of a sheet
    counts those that follow. Only the names of photos that are not drawn are held in memory.

    Returns:
        the path of the first sheet.

    Raises:
        OutputError: the folder cannot be read or written.
    """
    with writing(run_dir / SHEET):
        number = 0
        for page in _pages(run_dir):
            number += 1  # `enumerate` would keep a page alive while the next is drawn
            save(run_dir, page, sheet_name(number))
            del page
        for name in further_sheets(run_dir):  # of an earlier report with more photos
            if int(_FURTHER_SHEET.sub(r"\1", name)) > number:
                Folder(run_dir).remove(name)
        return run_dir / SHEET


def sheet_name(number: int) -> str:
    """The file of a sheet, counted from 1."""
    return SHEET if number == 1 else f"contact_sheet_{number}.jpg"


def further_sheets(folder: Path) -> list[str]:
    """The files of all sheets in a folder after the first, in their order."""
    names = [path.name for path in folder.glob("contact_sheet_*.jpg") if _FURTHER_SHEET.fullmatch(path.name)]
    return sorted(names, key=lambda name: (len(name), name))


def save(folder: Path, page: Image.Image, name: str = SHEET) -> Path:
    """Write a page as `contact_sheet.jpg`, or under another name, into a folder."""
    Folder(folder).write(name, jpeg(page))
    return folder / name


def _pages(run_dir: Path) -> Iterator[Image.Image]:
    masks = shows_masks(read_journal(run_dir, skip_damaged=True))
    limit = MAX_MASKS if masks else MAX_PHOTOS
    photos, others, statuses = _read(run_dir, limit * MAX_SHEETS)
    folder = Folder(run_dir)
    layout = _mask_layout(folder, min(len(photos), limit)) if masks else _layout(folder, photos)
    width = layout.abreast * (layout.width(layout.columns) + _AIR) - _AIR
    draw = _overlay if masks else _photo
    start = 0
    for number in range(1, MAX_SHEETS + 1):
        parts = [_title(run_dir, len(photos) + others, statuses, width)]
        drawn = _rows(layout, draw, photos[start : start + limit], parts)
        start += drawn
        if rest := len(photos) + others - start:
            where = sheet_name(number + 1) if start < len(photos) and number < MAX_SHEETS else "index.html"
            more = f"and {rest:,} more photo{'s' * (rest > 1)} in this folder: see {where}"
            parts.append(label(more, width, 24, colour=SOFT))
        page = padded(stack(parts, _AIR), width, _MARGIN)
        parts.clear()
        yield page
        if start >= len(photos):
            return


def _rows(
    layout: _Layout, draw: Callable[[_Layout, _Photo], Image.Image], photos: Sequence[_Photo], parts: list[Image.Image]
) -> int:
    """Add the rows of photos to the parts of a sheet, while there is room; returns the number of photos."""
    height = sum(part.height for part in parts)
    for start in range(0, len(photos), layout.abreast):
        cells = [draw(layout, photo) for photo in photos[start : start + layout.abreast]]
        line = row([padded(cell, layout.width(layout.columns)) for cell in cells], _AIR)
        height += _AIR + line.height
        if height > MAX_HEIGHT - 4 * _MARGIN and start:
            return start
        parts.append(line)
    return len(photos)


def _read(run_dir: Path, limit: int) -> tuple[list[_Photo], int, Counter[str]]:
    """The photos to draw, flagged ones first; the number of other photos; the number of pictures per status."""
    flagged: dict[str, None] = {}
    others: dict[str, None] = {}
    statuses: Counter[str] = Counter()
    redactor = Redactor([facts_or_nothing(run_dir)])
    for line in read_journal(run_dir, skip_damaged=True):
        statuses.update([line["status"], *["flagged"] * bool(line.get("flags"))])
        (flagged if line.get("flags") else others)[_key(line)] = None
    keys = list(flagged | others)
    shown: dict[str, _Photo] = {}
    wanted = set(keys[:limit])
    for line in read_journal(run_dir, skip_damaged=True):
        if _key(line) in wanted:
            photo = shown.setdefault(_key(line), _Photo(redactor.redact(line["photo"])))
            photo.lines.append(redactor.redact(line))
    return [shown[key] for key in keys[:limit]], len(keys[limit:]), statuses


def _key(line: Mapping[str, Any]) -> str:
    """Identifies a photo. Two rows of a manifest may have the same name, never the same source."""
    return str(line.get("source") or line["photo"])


def _mask_layout(folder: Folder, photos: int) -> _Layout:
    """The layout of a sheet of masks: one picture per photo; more photos make smaller pictures."""
    abreast = min(max(3, math.ceil(math.sqrt(2 * photos))), _PER_ROW)
    return _Layout(folder, min((_WIDTH + _AIR) // abreast - _AIR, _MAX_CELL), lead=0, columns=1, abreast=abreast)


def _overlay(layout: _Layout, shown: _Photo) -> Image.Image:
    """A photo with its mask over it, the mask's share of the photo, flags and errors."""
    (line, *_), cell = shown.lines, layout.cell
    source, mask = shown.first("source"), shown.first("mask")
    notes = []
    if source is None:
        picture = notice((cell, cell * 2 // 3), line["status"], str(line.get("error") or ""))
    else:
        picture = thumbnail(layout.folder, source, (cell, round(cell * 1.2)))
        if mask is not None:
            picture, name = _mask(layout.folder, mask, picture)
            notes = [label(name, cell, 18, colour=SOFT)]
        warnings = [f"flagged: {flag}" for flag in shown.flags()]
        warnings += [f"{line['status']}: {line['error']}"] if line.get("error") else []
        picture = framed(picture) if warnings else picture
        notes += [label(text, cell, 18, colour=WARN, lines=4) for text in warnings]
    return stack([label(shown.name, cell, 20), picture, *notes], 6)


def _layout(folder: Folder, photos: Sequence[_Photo]) -> _Layout:
    rows_of_photos = [photo.rows() for photo in photos]
    lead = 1 if any(len(rows) > 1 for rows in rows_of_photos) else 2
    columns = lead + max((len(lines) for rows in rows_of_photos for _, lines in rows), default=1)
    abreast = 2 if columns <= 3 and len(photos) > 1 else 1
    fitting = (_WIDTH - (abreast - 1) * (_AIR - _GAP) + _GAP) // (abreast * columns) - _GAP
    return _Layout(folder, min(max(fitting, _MIN_CELL), _MAX_CELL), lead, columns, abreast)


def _title(run_dir: Path, photos: int, statuses: Counter[str], width: int) -> Image.Image:
    facts = facts_or_nothing(run_dir)
    counts = [counted(photos, "photo"), *tally(statuses)]
    return title(str(facts.get("name") or run_dir.name), [date(facts), *counts], width)


def title(name: str, details: Sequence[str | None], width: int) -> Image.Image:
    """The head of a page: a name in large letters above a line of details; None is left out."""
    return stack([label(name, width, 54), label(" · ".join(filter(None, details)), width, 24, colour=SOFT)], 8)


def _photo(layout: _Layout, shown: _Photo) -> Image.Image:
    """One photo: photo and mask at the left, and a row of results for every prompt."""
    lead, size = _lead(layout, shown)
    if error := shown.only_error():
        cells = [*lead, notice(size, shown.lines[0]["status"], error)]
        width = layout.width(layout.lead)
        return stack([label(shown.name, width, 24), *_flags(shown, width), row(cells, _GAP)], 14)
    rows = shown.rows()
    left = [row(lead, _GAP)] if lead and layout.lead == 2 else lead
    bands = [
        _band(layout, "" if number else shown.name, picture, results, size)
        for number, (picture, results) in enumerate(zip_longest(left, rows[:_MAX_ROWS]))
    ]
    if left_out := sum(len(lines) for _, lines in rows[_MAX_ROWS:]):
        bands.append(label(f"and {left_out} more pictures of this photo", layout.width(2), 20, colour=SOFT))
    return stack([*_flags(shown, layout.width(layout.columns)), *bands], _GAP)


def _flags(shown: _Photo, width: int) -> list[Image.Image]:
    return [label(f"flagged: {flag}", width, 20, colour=WARN, lines=2) for flag in shown.flags()]


def _lead(layout: _Layout, shown: _Photo) -> tuple[list[Image.Image], tuple[int, int]]:
    """The photo and its mask, if there are any, and the size of all pictures of this photo."""
    source, mask = shown.first("source"), shown.first("mask")
    if source is None:
        return [], (layout.cell, layout.cell * 2 // 3)
    photo = thumbnail(layout.folder, source, (layout.cell, round(layout.cell * 1.2)))
    cells = [captioned(photo, "photo", layout.cell)]
    if mask is not None:
        cells.append(captioned(*_mask(layout.folder, mask, photo), layout.cell))
    return cells, photo.size


def _mask(folder: Folder, path: str, photo: Image.Image) -> tuple[Image.Image, str]:
    """The photo with its mask tinted, and a caption."""
    try:
        tint, share = tinted(photo, folder, path)
    except OSError:
        return thumbnail(folder, path, photo.size), "mask"  # a notice
    return tint, f"mask, {share:.0%} of the photo"


def _band(
    layout: _Layout, name: str, left: Image.Image | None, results: _Row | None, size: tuple[int, int]
) -> Image.Image:
    """One row: name and prompt above, photo or mask and results below."""
    prompt, lines = results or ("", [])
    widths = layout.width(layout.lead), layout.width(layout.columns - layout.lead)
    heading = row([label(name, widths[0], 24), label(prompt or "", widths[1], 24, lines=2)], _GAP)
    lead = padded(left or Image.new("RGB", (1, 1), PAPER), widths[0])
    return stack([heading, row([lead, *(_result(layout, line, size, prompt) for line in lines)], _GAP)], 14)


def _result(layout: _Layout, line: Mapping[str, Any], size: tuple[int, int], prompt: str | None) -> Image.Image:
    name = caption(line)
    if prompt is None:
        name = f"{line.get('prompt') or 'no prompt'} · {name}"
    return captioned(result(layout.folder, line, size), name, layout.cell)


def result(folder: Folder, line: Mapping[str, Any], size: tuple[int, int]) -> Image.Image:
    """A picture's thumbnail, with the mask over it if nothing was repainted; a notice if there is no picture.

    A flagged picture has a frame.

    Args:
        folder: the run folder.
        line: the picture's line of the journal.
        size: width and height of the box that it must fit, in pixels.
    """
    if line["status"] != "done":
        return notice(size, line["status"], str(line.get("error") or ""))
    small = line["thumbnails"]
    picture = thumbnail(folder, small.get("result", "its thumbnail"), size)
    if line["result"] == line.get("source") and small.get("mask"):
        picture, _ = _mask(folder, small["mask"], picture)
    return framed(picture) if line.get("flags") else picture


def caption(line: Mapping[str, Any]) -> str:
    """What distinguishes a picture from others with its photo and prompt, and whether it is flagged."""
    return _variant(line) + " · flagged" * bool(line.get("flags"))


def _variant(line: Mapping[str, Any]) -> str:
    if is_unchanged(line):
        return "unchanged"
    variant = line.get("variant") or ""
    if variant and not _PROMPT_AND_SEED.fullmatch(variant):  # several stages, or another list, have variants
        return str(variant)
    return "result" if line.get("seed") is None else f"seed {line['seed']}"


def captioned(picture: Image.Image, text: str, width: int) -> Image.Image:
    """A picture with a caption."""
    return stack([picture, label(text, width, 18, colour=SOFT, lines=3)], 6)
