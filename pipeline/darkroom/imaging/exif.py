"""What a photo's file says of the photo, and a result repeats: resolution, date, camera, author. Never places.

Files come from strangers: what is malformed, too long or not plain text is left out.
"""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from PIL import ExifTags, Image

MAX_TEXT = 500  # bytes
MIN_DPI, MAX_DPI = 2, 65_535  # 1 is what is written where nothing is known; more does not fit into a JPEG

USER_COMMENT, MAKER_NOTE = ExifTags.Base.UserComment.value, ExifTags.Base.MakerNote.value

_TIME = re.compile(r"\d{4}:[01]\d:[0-3]\d [0-2]\d:[0-5]\d:[0-6]\d", re.ASCII)
_OFFSET = re.compile(r"[+-]\d\d:\d\d", re.ASCII)
_DIGITS = re.compile(r"\d{1,9}", re.ASCII)
_ANY = re.compile(r".+")

# EXIF 2.32, tables 4, 7 and 8. No GPS, maker notes, serial numbers, owners' names, thumbnails or orientation.
_IMAGE_TEXTS = {"Make": _ANY, "Model": _ANY, "DateTime": _TIME, "Artist": _ANY, "Copyright": _ANY}
_PHOTO_TEXTS = {
    "DateTimeOriginal": _TIME,
    **{"OffsetTime": _OFFSET, "OffsetTimeOriginal": _OFFSET, "SubsecTime": _DIGITS, "SubsecTimeOriginal": _DIGITS},
    **{"LensMake": _ANY, "LensModel": _ANY},
}
_NO_TEXTS: Mapping[str, str] = MappingProxyType({})

_LONG, _ASCII, _SHORT, _RATIONAL, _UNDEFINED = 4, 2, 3, 5, 7  # types of values
_SIZES = {_LONG: 4, _ASCII: 1, _SHORT: 2, _RATIONAL: 8, _UNDEFINED: 1}

_Entry = tuple[int, int, bytes]  # tag, type, value


@dataclass(frozen=True)
class Facts:
    """What is known of a photo besides its pixels.

    Attributes:
        dpi: pixels per inch, across and down, of the upright picture; None where the file does not say.
        texts: by the names of the EXIF tags, such as `Make` or `DateTimeOriginal`; each one line.
    """

    dpi: tuple[float, float] | None = None
    texts: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)


def read(image: Image.Image) -> tuple[Facts, int]:
    """The facts of an opened picture, and its EXIF orientation, 1 to 8.

    Args:
        image: opened by Pillow; a PNG is loaded first, a TIFF is not.
    """
    exif, inner, orientation = Image.Exif(), {}, 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(Exception):  # foreign bytes: struct.error, SyntaxError, ValueError, ...
            exif = image.getexif()
            inner = exif.get_ifd(ExifTags.IFD.Exif)
        with suppress(Exception):
            orientation = {each: each for each in range(1, 9)}.get(exif.get(ExifTags.Base.Orientation), 1)
        texts = _texts(exif, _IMAGE_TEXTS) | _texts(inner, _PHOTO_TEXTS)
        dpi = _dpi(image, exif)
    return Facts(dpi[::-1] if dpi and orientation >= 5 else dpi, texts), orientation


def to_exif(facts: Facts, notes: Mapping[int, bytes] = MappingProxyType({})) -> bytes:
    """An EXIF block, the same for the same arguments; empty where there is nothing to say.

    Args:
        facts: of a photo.
        notes: `USER_COMMENT` and `MAKER_NOTE`.
    """
    outer = [(_tag(name), _ASCII, _zero_ended(facts.texts[name])) for name in _IMAGE_TEXTS if name in facts.texts]
    inner = [(_tag(name), _ASCII, _zero_ended(facts.texts[name])) for name in _PHOTO_TEXTS if name in facts.texts]
    inner += [(tag, _UNDEFINED, note) for tag, note in notes.items()]
    if facts.dpi:
        tags = ExifTags.Base.XResolution, ExifTags.Base.YResolution
        outer += [
            (tag.value, _RATIONAL, struct.pack(">II", round(value * 100), 100))
            for tag, value in zip(tags, facts.dpi, strict=True)
        ]
        outer.append((ExifTags.Base.ResolutionUnit.value, _SHORT, struct.pack(">H", 2)))  # inches
    if not outer and not inner:
        return b""
    start = 8
    if inner:
        pointer = ExifTags.IFD.Exif.value, _LONG, bytes(4)
        start_of_inner = start + len(_directory([*outer, pointer], start))
        outer.append((*pointer[:2], struct.pack(">I", start_of_inner)))
        return _block(_directory(outer, start) + _directory(inner, start_of_inner))
    return _block(_directory(outer, start))


def _block(directories: bytes) -> bytes:
    return b"Exif\0\0MM\0*" + struct.pack(">I", 8) + directories


def _directory(entries: list[_Entry], start: int) -> bytes:
    """A directory that begins `start` bytes into the block, and behind it the values that do not fit into 4 bytes."""
    beyond, place = b"", start + 2 + 12 * len(entries) + 4
    rows = struct.pack(">H", len(entries))
    for tag, kind, value in sorted(entries):
        rows += struct.pack(">HHI", tag, kind, len(value) // _SIZES[kind])
        if len(value) <= 4:
            rows += value.ljust(4, b"\0")
        else:
            rows += struct.pack(">I", place + len(beyond))
            beyond += value + bytes(len(value) % 2)
    return rows + bytes(4) + beyond


def _tag(name: str) -> int:
    return ExifTags.Base[name].value


def _zero_ended(text: str) -> bytes:
    return text.encode() + b"\0"


def _texts(exif: Mapping[int, Any], wanted: Mapping[str, re.Pattern[str]]) -> dict[str, str]:
    found = {}
    for name, form in wanted.items():
        with suppress(Exception):  # Pillow decodes a value when it is asked for
            if (text := _text(exif.get(_tag(name)))) and form.fullmatch(text):
                found[name] = text
    return found


def _text(value: Any) -> str | None:
    """A text that is fit to be passed on. Cameras write UTF-8 or Latin-1 where EXIF has ASCII."""
    if not isinstance(value, str):
        return None
    data = value.encode("latin-1")  # as Pillow has read it
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = value
    text = ", ".join(filter(None, (part.strip() for part in text.split("\0"))))  # photographer and editor
    return text if text.isprintable() and len(text.encode()) <= MAX_TEXT else None


def _dpi(image: Image.Image, exif: Image.Exif) -> tuple[float, float] | None:
    told = image.info.get("dpi")
    if image.format in ("JPEG", "MPO", "WEBP", "AVIF") and not image.info.get("jfif_unit"):  # Pillow would guess 72
        told = None
    with suppress(Exception):
        inches = {2: 1.0, 3: 2.54}[exif.get(ExifTags.Base.ResolutionUnit, 2)]
        tags = ExifTags.Base.XResolution, ExifTags.Base.YResolution
        told = told or tuple(float(exif[tag]) * inches for tag in tags)
    with suppress(TypeError, ValueError, OverflowError):  # infinite, not a number, not a pair
        across, down = (round(float(value), 2) for value in told or ())
        if MIN_DPI <= across <= MAX_DPI and MIN_DPI <= down <= MAX_DPI:
            return across, down
    return None
