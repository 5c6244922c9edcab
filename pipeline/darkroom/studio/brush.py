"""Masks that are painted on the page: strokes from a request, and PNG files that hold a mask together with its strokes.

The command line reads such a file as any other mask. The studio finds the strokes in it again, so that a draft that was
closed can be painted on, and its strokes be taken back one by one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from darkroom.imaging.png import encode_png
from darkroom.imaging.png_rows import chunk
from darkroom.imaging.strokes import Stroke, painted
from darkroom.imaging.unreadable import MAX_PIXELS
from darkroom.system import strict_json
from darkroom.system.files import read_file

MOST_STROKES, MOST_POINTS = 2000, 40_000  # on one photo
MAX_RADIUS = 2000  # px
NO_STROKES = "none.png"  # the mask of a photo without strokes: one black pixel, which `resize: true` stretches

_ITEM = re.compile(r"\$\{item\.(\w+)\}")
_FAR = 100_000  # px; a stroke may begin and end beside the photo
_KEY = b"darkroom strokes\0"  # the keyword of the text chunk
_HEADER_END = 33  # bytes of a PNG's signature and IHDR
_MAX_BYTES = 200_000_000  # of a mask's file
_REMEMBERED = 3  # masks


@dataclass(frozen=True)
class Painting:
    """What was painted on a photo.

    Attributes:
        size: (width, height) of the photo in px.
        strokes: in their order.
    """

    size: tuple[int, int]
    strokes: tuple[Stroke, ...]

    @cached_property
    def text(self) -> str:
        """As JSON; equal paintings have equal texts."""
        return json.dumps({"size": self.size, "strokes": plain_strokes(self.strokes)}, separators=(",", ":"))

    def file_name(self, photo: str) -> str:
        """The name of its file: other strokes have another one, so that a run keeps the mask that it began with."""
        if not self.strokes:
            return NO_STROKES
        stem = re.sub(r"\W+", "_", Path(photo).stem, flags=re.ASCII).strip("_")[:40]
        return f"{stem or 'mask'}_{hashlib.sha256(self.text.encode()).hexdigest()[:12]}.png"


class Painter:
    """Makes the files of paintings. The last masks are kept: a new one mostly has one stroke more."""

    def __init__(self) -> None:
        self._masks: OrderedDict[Painting, np.ndarray] = OrderedDict()

    def file(self, painting: Painting) -> bytes:
        """A PNG, 8-bit grey, 255 where it is painted, with the strokes in a text chunk."""
        data = encode_png(self._mask(painting))
        strokes = painting.text.encode()
        text = chunk(b"tEXt", _KEY + _digest(data, strokes) + strokes)
        return data[:_HEADER_END] + text + data[_HEADER_END:]

    def _mask(self, painting: Painting) -> np.ndarray:
        before = self._masks.get(Painting(painting.size, painting.strokes[:-1]))
        strokes = painting.strokes if before is None else painting.strokes[-1:]
        width, height = painting.size if painting.strokes else (1, 1)
        mask = painted(np.zeros((height, width), np.uint8) if before is None else before, strokes)
        self._masks[painting] = mask
        while len(self._masks) > _REMEMBERED:
            self._masks.popitem(last=False)
        return mask


def read_painting(path: Path) -> Painting | None:
    """The painting in a file that `Painter` made; None for any other file, and if its mask was changed elsewhere."""
    try:
        data = read_file(path, _MAX_BYTES)
    except (OSError, ValueError):
        return None
    end = _HEADER_END + 12 + int.from_bytes(data[_HEADER_END : _HEADER_END + 4], "big")
    kind, text = data[_HEADER_END + 4 : _HEADER_END + 8], data[_HEADER_END + 8 : end - 4]
    if kind != b"tEXt" or not text.startswith(_KEY):
        return None
    digest, strokes = text[len(_KEY) :][:64], text[len(_KEY) :][64:]
    if _digest(data[:_HEADER_END] + data[end:], strokes) != digest:
        return None
    try:
        given = strict_json.loads(strokes)
        return Painting(_size(given["size"]), strokes_of(given["strokes"]))
    except (ValueError, KeyError, TypeError):
        return None


def paintings_in(file: Any, items: Mapping[str, Mapping[str, Any]], start: Path) -> dict[str, Painting]:
    """The paintings that the `file` of a stage names, by photo; one for all photos by an empty text.

    Args:
        file: a path, or a column of the manifest, `${item.COLUMN}`.
        items: the manifest's columns, by photo.
        start: the folder where paths in the manifest start.

    Returns:
        none if another file is among them: then the stage keeps its `file`.
    """
    if not isinstance(file, str):
        return {}
    column = _ITEM.fullmatch(file)
    paths = {name: item[column[1]] for name, item in items.items() if column[1] in item} if column else {"": file}
    found = {name: read_painting(start / str(path)) for name, path in paths.items()}
    return {name: each for name, each in found.items() if each} if all(found.values()) else {}


def strokes_of(given: Any) -> tuple[Stroke, ...]:
    """Strokes from a request. Raises `ValueError` if something is wrong with them: none is left out silently."""
    if not isinstance(given, list) or not all(isinstance(each, Mapping) for each in given):
        raise ValueError("strokes: should be a list of {points, radius, erase}")
    if len(given) > MOST_STROKES:
        raise ValueError(f"at most {MOST_STROKES} strokes on a photo")
    strokes = tuple(_stroke(each) for each in given)
    if sum(len(stroke.points) for stroke in strokes) > MOST_POINTS:
        raise ValueError(f"the strokes on a photo have at most {MOST_POINTS:,} points")
    return strokes


def plain_strokes(strokes: Sequence[Stroke]) -> list[dict[str, Any]]:
    """Strokes as JSON."""
    return [asdict(stroke) for stroke in strokes]


def is_brush(stage: Mapping[str, Any]) -> bool:
    """Whether the mask of a stage is painted on the page: a `mask_file` that names no mask."""
    return stage["op"] == "mask_file" and not any(stage.get(key) for key in ("file", "folder", "alpha"))


def _digest(mask: bytes, strokes: bytes) -> bytes:
    return hashlib.sha256(mask + strokes).hexdigest().encode()


def _stroke(given: Mapping[str, Any]) -> Stroke:
    points: Any = given.get("points")
    radius: Any = given.get("radius")
    erase: Any = given.get("erase", False)
    if not _is_number(radius) or not 0.5 <= radius <= MAX_RADIUS:
        raise ValueError(f"strokes: radius: a number from 0.5 to {MAX_RADIUS}")
    if not isinstance(erase, bool):
        raise ValueError("strokes: erase: true or false")
    if not isinstance(points, list) or not points:
        raise ValueError("strokes: points: a list of [x, y]")
    return Stroke(tuple(map(_point, points)), round(float(radius), 2), erase)


def _point(given: Any) -> tuple[float, float]:
    if isinstance(given, list) and len(given) == 2 and all(_is_number(each) and abs(each) < _FAR for each in given):
        return round(float(given[0]), 2), round(float(given[1]), 2)
    raise ValueError("strokes: points: [x, y] each, in pixels of the photo")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _size(given: Any) -> tuple[int, int]:
    width, height = given
    if type(width) is not int or type(height) is not int or min(width, height) < 1 or width * height > MAX_PIXELS:
        raise ValueError("no size of a photo")
    return width, height
