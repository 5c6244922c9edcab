"""TIFF files with 8 or 16 bits, transparency, profile and metadata, which Pillow cannot write all at once.

Baseline TIFF 6.0 with deflate and horizontal differencing (TIFF 6.0, section 14), big-endian, in one piece.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from io import BytesIO

import numpy as np

from darkroom.imaging.bands import bands
from darkroom.imaging.exif import BYTE, LONG, SHORT, UNDEFINED, CaptureMetadata, ExifEntry, exif_directories

_MAX_BYTES = 2**32 - 1  # offsets have 32 bits
_DEFLATE, _RGB, _HORIZONTAL, _UNASSOCIATED = 8, 2, 2, 2


def encode_tiff(
    pixels: np.ndarray,
    icc: bytes | None,
    metadata: CaptureMetadata,
    notes: Mapping[int, bytes],
    gps: tuple[ExifEntry, ...],
    xmp: bytes,
) -> bytes:
    """A TIFF file; the same arguments give the same bytes.

    Args:
        pixels: (H, W, 3) RGB or (H, W, 4) RGBA, uint8 or uint16.
        icc: the colour profile to embed, byte for byte.
        metadata: resolution and EXIF entries.
        notes: see `exif.to_exif`.
        gps: see `exif.to_exif`.
        xmp: an XMP packet; empty for none.

    Raises:
        OverflowError: it would have more than 4 GiB.
    """
    height, width, channels = pixels.shape
    bits, rows_per_strip = 8 * pixels.itemsize, next(iter(bands(height, width))).stop
    file, places, sizes = BytesIO(), list[int](), list[int]()
    file.write(bytes(8))
    for rows in bands(height, width):
        strip = zlib.compress(_differences(pixels[rows]).tobytes(), 6)
        places.append(file.tell())
        sizes.append(len(strip))
        file.write(strip + bytes(len(strip) % 2))
    start = file.tell()
    entries: list[ExifEntry] = [
        (256, LONG, struct.pack(">I", width)),
        (257, LONG, struct.pack(">I", height)),
        (258, SHORT, _shorts(*[bits] * channels)),
        (259, SHORT, _shorts(_DEFLATE)),
        (262, SHORT, _shorts(_RGB)),
        (273, LONG, struct.pack(f">{len(places)}I", *(min(place, _MAX_BYTES) for place in places))),
        (277, SHORT, _shorts(channels)),
        (278, LONG, struct.pack(">I", rows_per_strip)),
        (279, LONG, struct.pack(f">{len(sizes)}I", *sizes)),
        (284, SHORT, _shorts(1)),  # channels together
        (317, SHORT, _shorts(_HORIZONTAL)),
    ]
    entries += [(338, SHORT, _shorts(_UNASSOCIATED))] if channels == 4 else []
    entries += [(700, BYTE, xmp)] if xmp else []
    entries += [(34675, UNDEFINED, icc)] if icc else []
    file.write(exif_directories(entries, min(start, _MAX_BYTES), metadata, notes, gps))
    if file.tell() > _MAX_BYTES:
        raise OverflowError("it would have more than 4 GiB")
    file.seek(0)
    file.write(b"MM\0*" + struct.pack(">I", start))
    return file.getvalue()


def _differences(rows: np.ndarray) -> np.ndarray:
    """Each pixel minus its left neighbour, modulo 256 or 65,536, big-endian."""
    found = rows.copy()
    found[:, 1:] -= rows[:, :-1]
    return found.astype(found.dtype.newbyteorder(">"))


def _shorts(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *values)
