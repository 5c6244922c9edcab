"""Where a photo was taken: the EXIF entries of its location, which results have only if a user asks for them.

Files come from strangers: entries that are malformed are left out.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from PIL import ExifTags, Image

from darkroom.imaging.exif import ASCII, BYTE, RATIONAL, ExifEntry
from darkroom.system.quiet import without_warnings

_GPS = ExifTags.GPS


def _letter(letters: str) -> Callable[[Any], bytes | None]:
    return lambda value: value.encode() + b"\0" if isinstance(value, str) and value and value in letters else None


def _rationals(count: int, most: float) -> Callable[[Any], bytes | None]:
    """Non-negative rationals, all of them at most `most`."""

    def encoded(value: Any) -> bytes | None:
        values = value if isinstance(value, tuple) else (value,)
        if len(values) != count or not all(0 <= float(each) <= most for each in values):
            return None
        return b"".join(struct.pack(">II", each.numerator, each.denominator) for each in values)

    return encoded


def _date(value: Any) -> bytes | None:
    is_date = isinstance(value, str) and re.fullmatch(r"\d{4}:[01]\d:[0-3]\d", value, re.ASCII)
    return value.encode() + b"\0" if is_date else None


def _altitude_side(value: Any) -> bytes | None:
    return value if value in (b"\0", b"\1") else None


# EXIF 2.32, table 15. The first four make the place; without them, the others are worth nothing.
_PLACE = (_GPS.GPSLatitudeRef, _GPS.GPSLatitude, _GPS.GPSLongitudeRef, _GPS.GPSLongitude)
_ENTRIES: dict[int, tuple[int, Callable[[Any], bytes | None]]] = {
    _GPS.GPSLatitudeRef: (ASCII, _letter("NS")),
    _GPS.GPSLatitude: (RATIONAL, _rationals(3, 90)),
    _GPS.GPSLongitudeRef: (ASCII, _letter("EW")),
    _GPS.GPSLongitude: (RATIONAL, _rationals(3, 180)),
    _GPS.GPSAltitudeRef: (BYTE, _altitude_side),
    _GPS.GPSAltitude: (RATIONAL, _rationals(1, 100_000)),
    _GPS.GPSTimeStamp: (RATIONAL, _rationals(3, 60)),
    _GPS.GPSImgDirectionRef: (ASCII, _letter("TM")),
    _GPS.GPSImgDirection: (RATIONAL, _rationals(1, 360)),
    _GPS.GPSDateStamp: (ASCII, _date),
}


def read_gps(image: Image.Image) -> tuple[ExifEntry, ...]:
    """The location of an opened picture: latitude, longitude, and if they are there altitude, direction and UTC time.

    Args:
        image: opened by Pillow; load a PNG first.

    Returns:
        entries of a GPS directory; empty without a place.
    """
    found: dict[int, ExifEntry] = {}
    with without_warnings(), suppress(Exception):  # struct.error, ZeroDivisionError, ...: it may be anything
        directory = image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
        for tag, (kind, encoded) in _ENTRIES.items():
            with suppress(Exception):  # Pillow decodes a value only on access
                if value := encoded(directory[tag]):
                    found[tag] = (tag, kind, value)
    if not all(tag in found for tag in _PLACE):
        return ()
    version = (int(_GPS.GPSVersionID), BYTE, bytes((2, 3, 0, 0)))
    return (version, *(found[tag] for tag in sorted(found)))
