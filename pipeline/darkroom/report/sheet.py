"""The contact sheet: one picture that shows what a run has made.

It is drawn from the thumbnails that the journal names, and reads the run folder and nothing else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from PIL import Image

from darkroom.record import read_journal
from darkroom.report.drawing import PAPER, SOFT, WARN, framed, label, notice, padded, png, row, stack, thumbnail, tinted
from darkroom.report.folder import counted, date, facts, shows_masks, tally
from darkroom.report.redaction import Redactor
from darkroom.system.files import Folder, writing

SHEET = "contact_sheet.png"
MAX_PHOTOS = 24
MAX_MASKS = 400  # photos, where only masks are shown
MAX_HEIGHT = 16_000  # many viewers give up at 16384 pixels

_MARGIN, _GAP, _AIR = 72, 20, 64  # around the page, between pictures, between photos
_WIDTH = 2280  # of what is inside the margins, where the pictures can be scaled to it
_NARROWEST, _WIDEST = 240, 420  # of a picture
_PER_ROW, _MAX_ROWS = 8, 12  # results side by side; rows of results of one photo

Row = tuple[str, list[Mapping[str, Any]]]  # a prompt and the journal's lines of its pictures


@dataclass
class _Shown:
    """One photo's lines of the journal."""

    name: str
    lines: list[Mapping[str, Any]] = field(default_factory=list)

    def rows(self) -> list[Row]:
        """The rows of results, each by seed; a prompt with many pictures takes several, the further named ''."""
        prompts: dict[str, list[Mapping[str, Any]]] = {}
        for line in self.lines:
            prompts.setdefault(line.get("prompt") or "", []).append(line)
        rows = []
        for prompt, lines in prompts.items():
            lines.sort(key=lambda line: line.get("seed") or 0)
            starts = range(0, len(lines), _PER_ROW)
            rows += [(prompt if start == 0 else "", lines[start : start + _PER_ROW]) for start in starts]
        return rows

    def first(self, kind: str) -> str | None:
        """The first thumbnail that any line names for `source` or `mask`."""
        return next((line["thumbnails"][kind] for line in self.lines if line["thumbnails"].get(kind)), None)

    def flags(self) -> list[str]:
        """All that gates have marked its pictures with, each once."""
        return list(dict.fromkeys(flag for line in self.lines for flag in line.get("flags", ())))

    def only_error(self) -> str | None:
        """The reason, where there is no picture at all and always for the same reason."""
        errors = {line.get("error") for line in self.lines}
        return errors.pop() if len(errors) == 1 else None


@dataclass(frozen=True)
class _Layout:
    """What all photos of a sheet have in common.

    Attributes:
        folder: the run folder.
        cell: width of a picture, in pixels.
        lead: columns for photo and mask: 2, or 1 where they stand one below the other.
        columns: all columns of the widest photo.
        abreast: photos side by side.
    """

    folder: Folder
    cell: int
    lead: int
    columns: int
    abreast: int

    def width(self, columns: int) -> int:
        """Pixels that so many pictures take."""
        return columns * (self.cell + _GAP) - _GAP


def contact_sheet(run_dir: Path) -> Path:
    """Draw `contact_sheet.png` into a run folder, also of a run that is unfinished or has failed.

    Per photo it shows the photo, where it was repainted, and the results: prompts in rows, seeds in columns. Of a run
    that repaints nothing it shows the masks, each laid over its photo. What gates have flagged comes first. At most
    `MAX_PHOTOS` photos (masks: `MAX_MASKS`), and no more than fit into `MAX_HEIGHT` pixels, are drawn; a last line
    counts the others. Of each photo that is not drawn no more than its name is held in memory.

    Returns:
        its path.

    Raises:
        OutputError: the folder cannot be read or written.
    """
    with writing(run_dir / SHEET):
        return save(run_dir, _page(run_dir))


def save(folder: Path, page: Image.Image) -> Path:
    """Write a page as a folder's `contact_sheet.png`."""
    Folder(folder).write(SHEET, png(page))
    return folder / SHEET


def _page(run_dir: Path) -> Image.Image:
    masks = shows_masks(read_journal(run_dir, damaged=True))
    photos, others, statuses = _read(run_dir, MAX_MASKS if masks else MAX_PHOTOS)
    folder = Folder(run_dir)
    layout = _mask_layout(folder, len(photos)) if masks else _layout(folder, photos)
    width = layout.abreast * (layout.width(layout.columns) + _AIR) - _AIR
    parts = [_title(run_dir, len(photos) + others, statuses, width)]
    height = parts[0].height
    for start in range(0, len(photos), layout.abreast):
        together = photos[start : start + layout.abreast]
        cells = [_overlay(layout, each) if masks else _photo(layout, each) for each in together]
        line = row([padded(each, layout.width(layout.columns)) for each in cells], _AIR)
        height += _AIR + line.height
        if height > MAX_HEIGHT - 4 * _MARGIN and start:
            others += len(photos) - start
            break
        parts.append(line)
    if others:
        parts.append(label(f"and {others} more photo{'s' * (others > 1)} in this folder", width, 24, colour=SOFT))
    return padded(stack(parts, _AIR), width, _MARGIN)


def _read(run_dir: Path, most: int) -> tuple[list[_Shown], int, Counter[str]]:
    """The photos to show, those with flags first, how many others there are, and how many pictures of each status."""
    flagged: dict[str, None] = {}
    others: dict[str, None] = {}
    statuses: Counter[str] = Counter()
    redactor = Redactor([facts(run_dir)])
    for line in read_journal(run_dir, damaged=True):
        statuses.update([line["status"], *["flagged"] * bool(line.get("flags"))])
        (flagged if line.get("flags") else others)[_key(line)] = None
    keys = list(flagged | others)
    shown: dict[str, _Shown] = {}
    wanted = set(keys[:most])
    for line in read_journal(run_dir, damaged=True):
        if _key(line) in wanted:
            photo = shown.setdefault(_key(line), _Shown(redactor.redact(line["photo"])))
            photo.lines.append(redactor.redact(line))
    return [shown[key] for key in keys[:most]], len(keys[most:]), statuses


def _key(line: Mapping[str, Any]) -> str:
    """What the lines of one photo share; two rows of a manifest may share a name, never a source."""
    return line.get("source") or line["photo"]


def _mask_layout(folder: Folder, photos: int) -> _Layout:
    """Of a sheet of masks: one picture of each photo, the smaller the more there are."""
    abreast = min(max(3, math.ceil(math.sqrt(2 * photos))), _PER_ROW)
    return _Layout(folder, min((_WIDTH + _AIR) // abreast - _AIR, _WIDEST), lead=0, columns=1, abreast=abreast)


def _overlay(layout: _Layout, shown: _Shown) -> Image.Image:
    """A photo with its mask laid over it, how much that covers, and what gates or errors say of it."""
    (line, *_), cell = shown.lines, layout.cell
    source, mask = shown.first("source"), shown.first("mask")
    told = []
    if source is None:
        picture = notice((cell, cell * 2 // 3), line["status"], str(line.get("error") or ""))
    else:
        picture = thumbnail(layout.folder, source, (cell, round(cell * 1.2)))
        if mask is not None:
            picture, name = _mask(layout.folder, mask, picture)
            told = [label(name, cell, 18, colour=SOFT)]
        warnings = [f"flagged: {flag}" for flag in shown.flags()]
        warnings += [f"{line['status']}: {line['error']}"] if line.get("error") else []
        picture = framed(picture) if warnings else picture
        told += [label(text, cell, 18, colour=WARN, lines=4) for text in warnings]
    return stack([label(shown.name, cell, 20), picture, *told], 6)


def _layout(folder: Folder, photos: Sequence[_Shown]) -> _Layout:
    rows = [each.rows() for each in photos]
    lead = 1 if any(len(each) > 1 for each in rows) else 2
    columns = lead + max((len(lines) for each in rows for _, lines in each), default=1)
    abreast = 2 if columns <= 3 and len(photos) > 1 else 1
    fitting = (_WIDTH - (abreast - 1) * (_AIR - _GAP) + _GAP) // (abreast * columns) - _GAP
    return _Layout(folder, min(max(fitting, _NARROWEST), _WIDEST), lead, columns, abreast)


def _title(run_dir: Path, photos: int, statuses: Counter[str], width: int) -> Image.Image:
    told = facts(run_dir)
    counts = [counted(photos, "photo"), *tally(statuses)]
    return title(str(told.get("name") or run_dir.name), [date(told), *counts], width)


def title(name: str, told: Sequence[str | None], width: int) -> Image.Image:
    """A page's head: a large name, and below it what else is told, as far as it is known."""
    return stack([label(name, width, 54), label(" · ".join(filter(None, told)), width, 24, colour=SOFT)], 8)


def _photo(layout: _Layout, shown: _Shown) -> Image.Image:
    """Everything about one photo: photo and mask at the left, a row of results for every prompt."""
    lead, size = _lead(layout, shown)
    if error := shown.only_error():
        cells = [*lead, notice(size, shown.lines[0]["status"], error)]
        width = layout.width(layout.lead)
        return stack([label(shown.name, width, 24), *_flags(shown, width), row(cells, _GAP)], 14)
    rows = shown.rows()
    left = [row(lead, _GAP)] if lead and layout.lead == 2 else lead
    bands = [
        _band(layout, "" if number else shown.name, each, results, size)
        for number, (each, results) in enumerate(zip_longest(left, rows[:_MAX_ROWS]))
    ]
    if left_out := sum(len(lines) for _, lines in rows[_MAX_ROWS:]):
        bands.append(label(f"and {left_out} more of this photo", layout.width(2), 20, colour=SOFT))
    return stack([*_flags(shown, layout.width(layout.columns)), *bands], _GAP)


def _flags(shown: _Shown, width: int) -> list[Image.Image]:
    return [label(f"flagged: {flag}", width, 20, colour=WARN, lines=2) for flag in shown.flags()]


def _lead(layout: _Layout, shown: _Shown) -> tuple[list[Image.Image], tuple[int, int]]:
    """The photo and its mask, as far as there are any, and the size of all pictures of this photo."""
    source, mask = shown.first("source"), shown.first("mask")
    if source is None:
        return [], (layout.cell, layout.cell * 2 // 3)
    photo = thumbnail(layout.folder, source, (layout.cell, round(layout.cell * 1.2)))
    cells = [captioned(photo, "photo", layout.cell)]
    if mask is not None:
        cells.append(captioned(*_mask(layout.folder, mask, photo), layout.cell))
    return cells, photo.size


def _mask(folder: Folder, path: str, photo: Image.Image) -> tuple[Image.Image, str]:
    """The photo with its mask in colour, and what it is called."""
    try:
        tint, share = tinted(photo, folder, path)
    except OSError:
        return thumbnail(folder, path, photo.size), "mask"  # a notice
    return tint, f"mask, {share:.0%} of the photo"


def _band(
    layout: _Layout, name: str, left: Image.Image | None, results: Row | None, size: tuple[int, int]
) -> Image.Image:
    """What stands side by side: name and prompt above; photo or mask, if any, and results below."""
    prompt, lines = results or ("", [])
    widths = layout.width(layout.lead), layout.width(layout.columns - layout.lead)
    heading = row([label(name, widths[0], 24), label(prompt, widths[1], 24, lines=2)], _GAP)
    lead = padded(left or Image.new("RGB", (1, 1), PAPER), widths[0])
    return stack([heading, row([lead, *(_result(layout, line, size) for line in lines)], _GAP)], 14)


def _result(layout: _Layout, line: Mapping[str, Any], size: tuple[int, int]) -> Image.Image:
    return captioned(result(layout.folder, line, size), caption(line), layout.cell)


def result(folder: Folder, line: Mapping[str, Any], size: tuple[int, int]) -> Image.Image:
    """What became of a picture: its thumbnail, with the mask over it where nothing was repainted, or why there is none.

    What is flagged has a frame.

    Args:
        folder: the run folder.
        line: of its journal.
        size: width and height to fit into.
    """
    if line["status"] != "done":
        return notice(size, line["status"], str(line.get("error") or ""))
    small = line["thumbnails"]
    picture = thumbnail(folder, small.get("result", "its thumbnail"), size)
    if line["result"] == line.get("source") and small.get("mask"):
        picture, _ = _mask(folder, small["mask"], picture)
    return framed(picture) if line.get("flags") else picture


def caption(line: Mapping[str, Any]) -> str:
    """What tells a picture from the others of its photo and prompt, and whether it is flagged."""
    return _which(line) + " · flagged" * bool(line.get("flags"))


def _which(line: Mapping[str, Any]) -> str:
    if line.get("result") and line["result"] == line.get("source"):
        return "unchanged"
    if "," in (line.get("variant") or ""):  # several repaints had variants: the last one's seed would not tell
        return line["variant"]
    return "result" if line.get("seed") is None else f"seed {line['seed']}"


def captioned(picture: Image.Image, text: str, width: int) -> Image.Image:
    """A picture with a line below it."""
    return stack([picture, label(text, width, 18, colour=SOFT)], 6)
