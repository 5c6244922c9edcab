"""Synthetic run folders and sweeps. Every picture has one flat colour, which identifies it."""

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
    """Builds a run folder: pictures, their thumbnails, and the journal lines that name them."""

    def __init__(self, folder: Path, **facts: Any) -> None:
        self.folder = folder
        self.lines: list[dict[str, Any]] = []
        folder.mkdir(exist_ok=True)
        (folder / "run.json").write_text(json.dumps(run_facts(**{"name": "car_on_mars", "started": STARTED, **facts})))

    def picture(self, name: str, colour: Any, size: tuple[int, int] = (96, 64), alpha: Any = None) -> str:
        """Write a flat picture and its thumbnail; returns the path. A single number as colour makes a mask."""
        pixels = np.full((size[1], size[0], *np.shape(colour)), colour, np.uint8)
        small = mask_thumbnail(pixels) if pixels.ndim == 2 else photo_thumbnail(pixels, alpha, None)
        for path, data in ((name, encode_png(pixels, alpha=alpha)), (thumbnail_of(name), small)):
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(data)
        return name

    def add(self, photo: str, **facts: Any) -> None:
        """Add a journal line: failed if `facts` hold an error, else done."""
        status = "failed" if "error" in facts else "done"
        line = journal_line(photo, **{"path": f"/photos/{photo}", "status": status, **facts})
        small = {kind: thumbnail_of(line[kind]) for kind in ("source", "mask", "result") if line[kind]}
        self.lines.append({**line, "thumbnails": small})

    def write(self) -> Path:
        """Write the journal with a torn last line, as after a kill; returns the run folder."""
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        (self.folder / "journal.jsonl").write_text(text + '{"photo": "torn", "stat')
        return self.folder


def thumbnail_of(path: str) -> str:
    """The path of a thumbnail. Here all are `.jpg`, masks too."""
    return f"thumbnails/{Path(path).with_suffix('.jpg')}"


def write_sweep(folder: Path, axes: Mapping[str, Sequence[str]], jobs: Sequence[Mapping[str, Any]]) -> Path:
    """Write a `sweep.json`; jobs need only `folder` and `values`."""
    full = [{"status": "done", "error": None, **job} for job in jobs]
    (folder / "sweep.json").write_text(json.dumps({"started": STARTED, "axes": axes, "jobs": full}))
    return folder


def boxes(sheet: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of all pixels of a colour, within the error of a JPEG."""
    near = [np.abs(sheet[..., channel] - np.int16(value)) <= 3 for channel, value in enumerate(colour)]
    found = near[0] & near[1] & near[2]
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def read(path: Path) -> np.ndarray:
    """The pixels of a contact sheet, (H, W, 3) int16."""
    with Image.open(path) as image:
        return np.asarray(image).astype(np.int16)


def data_of(page: Path) -> dict[str, Any]:
    """The data of a page, read as a browser does: up to the first end tag."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script', page.read_text())[1])
