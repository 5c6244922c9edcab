"""Finished pictures as the files that are delivered: PNG, JPEG, WebP or TIFF, with more metadata if it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from darkroom.errors import PhotoError
from darkroom.imaging.codec import decode_photo
from darkroom.imaging.exif import MAKER_NOTE, USER_COMMENT, ExifEntry, read_exif, to_exif
from darkroom.imaging.png import open_png, with_chunks
from darkroom.imaging.tiff import encode_tiff

DELIVERY_FORMATS: Mapping[str, str] = MappingProxyType({"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif"})
"""The formats that a finished picture can have, and their suffixes."""

MIME_TYPES: Mapping[str, str] = MappingProxyType(
    {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".tif": "image/tiff"}
)
"""Suffix to MIME type."""


class DoesNotFit(PhotoError):
    """A format cannot hold a picture: the picture or its texts are too large."""


@dataclass(frozen=True)
class AddedMetadata:
    """What a delivered file says besides what the finished picture's own PNG says.

    Attributes:
        gps: where the photo was taken (`gps.read_gps`).
        xmp: an XMP packet; empty for none.
    """

    gps: tuple[ExifEntry, ...] = ()
    xmp: bytes = b""


_NOTHING = AddedMetadata()


def convert_png(data: bytes, format: str, quality: int, added: AddedMetadata = _NOTHING) -> bytes:
    """A finished picture in another format, with profile and metadata; the same arguments, the same bytes.

    In JPEG, WebP and TIFF, the text chunks move into the EXIF block: `parameters` becomes the user comment, where web
    UIs look for it, and `darkroom` the maker note. JPEG and WebP have 8 bits; JPEG has no transparency: the picture is
    laid over white.

    Args:
        data: a PNG that `encode_png` made.
        format: a key of `DELIVERY_FORMATS`.
        quality: of JPEG and WebP, 1 to 100.
        added: more metadata.

    Raises:
        DoesNotFit: the format cannot hold it.
    """
    if format == "png":
        return _with_added(data, added) if added != _NOTHING else data
    return _as_tiff(data, added) if format == "tiff" else _as_lossy(data, format, quality, added)


def _with_added(data: bytes, added: AddedMetadata) -> bytes:
    with open_png(data) as image:
        image.load()
        metadata, _ = read_exif(image)
    exif = to_exif(metadata, gps=added.gps).removeprefix(b"Exif\0\0")
    return with_chunks(data, exif, added.xmp)


def _as_tiff(data: bytes, added: AddedMetadata) -> bytes:
    photo = decode_photo(data)
    pixels = photo.pixels if photo.pixels16 is None else photo.pixels16
    if photo.pixels16 is None and photo.alpha is not None:
        pixels = np.dstack([photo.pixels, photo.alpha])
    with open_png(data) as image:
        notes = _notes(image)
    try:
        return encode_tiff(pixels, photo.icc, photo.metadata, notes, added.gps, added.xmp)
    except OverflowError as error:
        raise DoesNotFit(f"does not fit into a tiff file: {error}") from None


def _as_lossy(data: bytes, format: str, quality: int, added: AddedMetadata) -> bytes:
    with open_png(data) as image:
        image.load()
    colours = image
    if format == "jpeg" and image.mode == "RGBA":
        colours = Image.new("RGB", image.size, "white")
        colours.paste(image.convert("RGB"), mask=image.getchannel("A"))
    file = BytesIO()
    try:
        metadata, _ = read_exif(image)
        exif, icc = to_exif(metadata, _notes(image), added.gps), image.info.get("icc_profile")
        options: dict[str, Any] = {"quality": quality, "exif": exif, "icc_profile": icc, "xmp": added.xmp}
        if format == "jpeg":
            # Full-resolution colours, so that no colour of the repainted part bleeds over the mask's edge.
            options |= {"subsampling": "4:4:4", "dpi": metadata.dpi or (0, 0)}
        colours.save(file, format, **options)
    except (OSError, ValueError) as error:
        raise DoesNotFit(f"does not fit into a {format} file: {error}") from None
    return file.getvalue()


def _notes(image: Image.Image) -> dict[int, bytes]:
    """The text chunks of a PNG as values of EXIF tags."""
    texts = {str(key): text for key, text in image.info.items() if isinstance(text, str)}
    notes = {}
    if "parameters" in texts:
        notes[USER_COMMENT] = b"UNICODE\0" + texts["parameters"].encode("utf-16-be")
    if "darkroom" in texts:
        notes[MAKER_NOTE] = texts["darkroom"].encode()
    return notes
