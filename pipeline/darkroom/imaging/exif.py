"""The EXIF entries that a result repeats from its photo: resolution, date, camera, author. `gps` has the location.

Files come from strangers: entries that are malformed, too long or not plain text are left out.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from PIL import ExifTags, Image

from darkroom.system.quiet import without_warnings

MAX_TEXT = 500  # bytes
MIN_DPI, MAX_DPI = 2, 65_535  # cameras write 1 for unknown; a JPEG has room for no more than 65,535

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

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7  # types of values
_SIZES = {BYTE: 1, ASCII: 1, SHORT: 2, LONG: 4, RATIONAL: 8, UNDEFINED: 1}

ExifEntry = tuple[int, int, bytes]  # tag, type, value in big-endian order


@dataclass(frozen=True)
class CaptureMetadata:
    """Resolution and EXIF texts of a photo.

    Attributes:
        dpi: pixels per inch, horizontal and vertical, of the upright picture; None where the file has none.
        texts: one-line texts by the name of their EXIF tag, such as `Make` or `DateTimeOriginal`.
    """

    dpi: tuple[float, float] | None = None
    texts: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)


def read_exif(image: Image.Image) -> tuple[CaptureMetadata, int]:
    """The metadata of an opened picture, and its EXIF orientation, 1 to 8.

    Args:
        image: opened by Pillow. Load a PNG first, whose EXIF block may follow the pixels; do not load a TIFF, which
            loses its orientation.
    """
    exif, inner, orientation = Image.Exif(), dict[int, Any](), 1
    with without_warnings():
        with suppress(Exception):  # struct.error, SyntaxError, ValueError, ...: the bytes may be anything
            exif = image.getexif()
            inner = exif.get_ifd(ExifTags.IFD.Exif)
        with suppress(Exception):
            orientation = next(value for value in range(1, 9) if value == exif.get(ExifTags.Base.Orientation))
        texts = _texts(exif, _IMAGE_TEXTS) | _texts(inner, _PHOTO_TEXTS)
        dpi = _dpi(image, exif)
    if dpi and orientation >= 5:  # on its side
        dpi = dpi[1], dpi[0]
    return CaptureMetadata(dpi, texts), orientation


def to_exif(
    metadata: CaptureMetadata,
    notes: Mapping[int, bytes] = MappingProxyType({}),
    gps: Sequence[ExifEntry] = (),
) -> bytes:
    """An EXIF block; the same arguments give the same bytes. Empty where there are no entries.

    Args:
        metadata: of a photo.
        notes: values of the tags `USER_COMMENT` and `MAKER_NOTE`.
        gps: entries of the location.
    """
    directories = exif_directories([], 8, metadata, notes, gps)
    is_empty = len(directories) == len(_directory([], 8))
    return b"" if is_empty else b"Exif\0\0MM\0*" + struct.pack(">I", 8) + directories


def exif_directories(
    entries: Sequence[ExifEntry],
    start: int,
    metadata: CaptureMetadata,
    notes: Mapping[int, bytes] = MappingProxyType({}),
    gps: Sequence[ExifEntry] = (),
) -> bytes:
    """A TIFF directory with these entries and those of the metadata, and its sub-directories.

    Args:
        entries: of the picture itself, in a TIFF file.
        start: the place of the directory in the file, in bytes.
        metadata: see `to_exif`.
        notes: see `to_exif`.
        gps: see `to_exif`.
    """
    texts = metadata.texts
    outer = [*entries, *((_tag(name), ASCII, _zero_ended(texts[name])) for name in _IMAGE_TEXTS if name in texts)]
    inner = [(_tag(name), ASCII, _zero_ended(texts[name])) for name in _PHOTO_TEXTS if name in texts]
    inner += [(tag, UNDEFINED, note) for tag, note in notes.items()]
    if metadata.dpi:
        tags = ExifTags.Base.XResolution, ExifTags.Base.YResolution
        outer += [
            (tag.value, RATIONAL, struct.pack(">II", round(value * 100), 100))
            for tag, value in zip(tags, metadata.dpi, strict=True)
        ]
        outer.append((ExifTags.Base.ResolutionUnit.value, SHORT, struct.pack(">H", 2)))  # inches
    below = {ExifTags.IFD.Exif.value: inner, ExifTags.IFD.GPSInfo.value: list(gps)}
    below = {tag: directory for tag, directory in below.items() if directory}
    place = start + len(_directory([*outer, *((tag, LONG, bytes(4)) for tag in below)], start))
    written = b""
    for tag, directory in below.items():
        outer.append((tag, LONG, struct.pack(">I", place + len(written))))
        written += _directory(directory, place + len(written))
    return _directory(outer, start) + written


def _directory(entries: Sequence[ExifEntry], start: int) -> bytes:
    """A directory that begins `start` bytes into the file, followed by the values that do not fit into 4 bytes."""
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
        with suppress(Exception):  # Pillow decodes a value only on access
            if (text := _text(exif.get(_tag(name)))) and form.fullmatch(text):
                found[name] = text
    return found


def _text(value: Any) -> str | None:
    """A text that is fit to be repeated, or None. EXIF demands ASCII; cameras write UTF-8 or Latin-1."""
    if not isinstance(value, str):
        return None
    data = value.encode("latin-1")  # the bytes in the file: Pillow decodes them as Latin-1
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = value
    text = ", ".join(filter(None, (part.strip() for part in text.split("\0"))))  # photographer and editor
    return text if text.isprintable() and len(text.encode()) <= MAX_TEXT else None


def _dpi(image: Image.Image, exif: Image.Exif) -> tuple[float, float] | None:
    dpi = image.info.get("dpi")
    if image.format in ("JPEG", "MPO", "WEBP", "AVIF") and not image.info.get("jfif_unit"):  # else Pillow makes up 72
        dpi = None
    with suppress(Exception):
        inches = {2: 1.0, 3: 2.54}[exif.get(ExifTags.Base.ResolutionUnit, 2)]
        tags = ExifTags.Base.XResolution, ExifTags.Base.YResolution
        dpi = dpi or tuple(float(exif[tag]) * inches for tag in tags)
    with suppress(TypeError, ValueError, OverflowError):  # infinite, NaN, not a pair
        across, down = (round(float(value), 2) for value in dpi or ())
        if MIN_DPI <= across <= MAX_DPI and MIN_DPI <= down <= MAX_DPI:
            return across, down
    return None
