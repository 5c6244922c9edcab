"""Run folders and sweeps that are made up: every picture is flat and told by its colour."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from darkroom.imaging.png import encode_png
from darkroom.imaging.thumbnails import mask_thumbnail, photo_thumbnail
from support.runs import journal_line, run_facts

STARTED = "2026-11-20T14:03:22.481+01:00"
GREY = (233, 231, 227)  # of a sheet's cells without a picture


class FakeRun:
    """A run folder in the making: pictures, and the lines of a journal that name them and their thumbnails."""

    def __init__(self, folder: Path, **facts: Any) -> None:
        self.folder = folder
        self.lines: list[dict[str, Any]] = []
        folder.mkdir(exist_ok=True)
        (folder / "run.json").write_text(json.dumps(run_facts(**{"name": "car_on_mars", "started": STARTED, **facts})))

    def picture(self, name: str, colour: Any, size: tuple[int, int] = (96, 64), alpha: Any = None) -> str:
        """A flat picture, or for a single number a mask, and its thumbnail; returns its path."""
        pixels = np.full((size[1], size[0], *np.shape(colour)), colour, np.uint8)
        small = mask_thumbnail(pixels) if pixels.ndim == 2 else photo_thumbnail(pixels, alpha, None)
        for path, data in ((name, encode_png(pixels, alpha=alpha)), (thumbnail_of(name), small)):
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(data)
        return name

    def add(self, photo: str, **facts: Any) -> None:
        """A line of the journal: failed where an error is given, else done."""
        status = "failed" if "error" in facts else "done"
        line = journal_line(photo, **{"path": f"/photos/{photo}", "status": status, **facts})
        small = {kind: thumbnail_of(line[kind]) for kind in ("source", "mask", "result") if line[kind]}
        self.lines.append({**line, "thumbnails": small})

    def write(self) -> Path:
        """The journal, ending in a torn line as after a kill; returns the run folder."""
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        (self.folder / "journal.jsonl").write_text(text + '{"photo": "torn", "stat')
        return self.folder


def thumbnail_of(path: str) -> str:
    """A thumbnail's path; here all end alike, whatever is in them."""
    return f"thumbnails/{Path(path).with_suffix('.jpg')}"


def write_sweep(folder: Path, axes: Mapping[str, Sequence[str]], jobs: Sequence[Mapping[str, Any]]) -> Path:
    """A `sweep.json`; of a job only `folder` and `values` need be given."""
    full = [{"status": "done", "error": None, **job} for job in jobs]
    (folder / "sweep.json").write_text(json.dumps({"started": STARTED, "axes": axes, "jobs": full}))
    return folder


def boxes(sheet: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of all pixels of a colour, give or take what a JPEG changes."""
    near = [np.abs(sheet[..., channel] - np.int16(value)) <= 3 for channel, value in enumerate(colour)]
    found = near[0] & near[1] & near[2]
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def read(path: Path) -> np.ndarray:
    """A sheet's pixels, as numbers that can be subtracted."""
    with Image.open(path) as image:
        return np.asarray(image).astype(np.int16)


def data_of(page: Path) -> dict[str, Any]:
    """What a page shows, read as a browser does: the data end where the first end tag stands."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script', page.read_text())[1])
