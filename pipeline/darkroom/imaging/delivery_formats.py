"""Finished pictures as JPEG or WebP files, for recipes that ask for these formats."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from types import MappingProxyType
from typing import Any

from PIL import Image

from darkroom.errors import PhotoError
from darkroom.imaging.exif import MAKER_NOTE, USER_COMMENT, read_exif, to_exif
from darkroom.imaging.png import open_png

DELIVERY_FORMATS: Mapping[str, str] = MappingProxyType({"png": ".png", "jpeg": ".jpg", "webp": ".webp"})
"""The formats that a finished picture can have, and their suffixes."""


def convert_png(data: bytes, format: str, quality: int) -> bytes:
    """A finished picture as a JPEG or WebP file, 8 bits, with profile and metadata; the same arguments, the same bytes.

    The text chunks move into the EXIF block: `parameters` becomes the user comment, where web UIs look for it, and
    `darkroom` the maker note. JPEG has no transparency: the picture is laid over white.

    Args:
        data: a PNG that `encode_png` made.
        format: `jpeg` or `webp`.
        quality: 1 to 100.

    Raises:
        PhotoError: the format cannot hold it: the picture or its texts are too large.
    """
    with open_png(data) as image:
        image.load()
    colours = image
    if format == "jpeg" and image.mode == "RGBA":
        colours = Image.new("RGB", image.size, "white")
        colours.paste(image.convert("RGB"), mask=image.getchannel("A"))
    file = BytesIO()
    try:
        metadata, _ = read_exif(image)
        texts = {str(key): text for key, text in image.info.items() if isinstance(text, str)}
        exif, icc = to_exif(metadata, _notes(texts)), image.info.get("icc_profile")
        options: dict[str, Any] = {"quality": quality, "exif": exif, "icc_profile": icc}
        if format == "jpeg":
            # Full-resolution colours, so that no colour of the repainted part bleeds over the mask's edge.
            options |= {"subsampling": "4:4:4", "dpi": metadata.dpi or (0, 0)}
        colours.save(file, format, **options)
    except (OSError, ValueError) as error:
        raise PhotoError(f"does not fit into a {format} file: {error}") from None
    return file.getvalue()


def _notes(texts: Mapping[str, str]) -> dict[int, bytes]:
    notes = {}
    if "parameters" in texts:
        notes[USER_COMMENT] = b"UNICODE\0" + texts["parameters"].encode("utf-16-be")
    if "darkroom" in texts:
        notes[MAKER_NOTE] = texts["darkroom"].encode()
    return notes
