"""Draws the pictures of docs/ops.md that show mask ops and `erase`: ``python -m pipeline.miniature.mask_pictures``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.edit import Edit
from pipeline.models import Models
from pipeline.report.drawing import TINT, padded, row, stack
from pipeline.report.sheet import captioned
from pipeline.stages.auto import Auto
from pipeline.stages.erase import Erase
from pipeline.stages.grabcut import GrabCut
from pipeline.stages.refine import Refine
from pipeline.stages.snap import Snap
from pipeline.stages.text import Text

from .evaluate import miniatures
from .examples import EXAMPLES, FLEET

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
SHOWN = ("car.png", "dog.png", "truck.jpg")
MARKING = (580, 335, 740, 400)  # px, around a lane marking of car.png
WIDTH, GAP = 300, 14


def finders(models: Models) -> Image.Image:
    """A row for each example: the photo, what `text`, `snap` and `auto` see in it and what they make of it."""
    rows = []
    for name in SHOWN:
        example = {**EXAMPLES, **FLEET}[name]
        picture, phrase = example.scene().image, f"a {example.objects[0][0]}"
        photo = Edit(picture, picture)
        text, snap, auto = (one.apply(photo, models) for one in (Text(phrase=phrase), Snap(phrase=phrase), Auto()))
        cells = [
            _cell(picture, name),
            _cell(_grey(text.artifacts["heat"]), f"the heat of “{phrase}”"),
            _cell(_tinted(text), "text"),
            _cell(_tinted(snap), "snap"),
            _cell(_grey(auto.artifacts["segments"]), "the segments of auto"),
            _cell(_tinted(auto), "auto, nearest"),
        ]
        rows.append(row(cells, GAP))
    return padded(stack(rows, GAP), 0, GAP)


def erased(models: Models) -> Image.Image:
    """The lane markings of a street, found by their colours and painted over: no learnt model."""
    photo = EXAMPLES["car.png"].scene().image
    found = Refine(open=1, grow=4, feather=3).apply(GrabCut(box=MARKING).apply(Edit(photo, photo), models), models)
    cells = [
        _cell(photo, "the photo", 2),
        _cell(_tinted(found), "grabcut, refine: {open: 1, grow: 4, feather: 3}", 2),
        _cell(Erase().apply(found, models).image, "erase", 2),
    ]
    return padded(row(cells, GAP), 0, GAP)


def _cell(picture: np.ndarray, caption: str, enlarged: int = 1) -> Image.Image:
    width = WIDTH * enlarged
    size = width, round(picture.shape[0] * width / picture.shape[1])
    return captioned(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS), caption, width)


def _grey(heat: np.ndarray) -> np.ndarray:
    return np.repeat(np.rint(heat * 255).astype(np.uint8)[..., None], 3, axis=2)


def _tinted(edit: Edit) -> np.ndarray:
    """The photo with the masked part in violet."""
    photo = Image.fromarray(edit.image)
    violet = Image.blend(photo.convert("L").convert("RGB"), Image.new("RGB", photo.size, TINT), 0.6)
    mask = Image.fromarray(np.rint(edit.need_mask() * 255).astype(np.uint8))
    return np.asarray(Image.composite(violet, photo, mask))


def main() -> None:
    models = miniatures()
    finders(models).save(FOLDER / "finders.png", optimize=True)
    erased(models).save(FOLDER / "erase.png", optimize=True)


if __name__ == "__main__":
    main()
