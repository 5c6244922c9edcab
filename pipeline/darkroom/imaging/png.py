"""The PNG files that Darkroom keeps: pictures with profile and metadata, masks, and how both are read back."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from types import MappingProxyType

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from darkroom.errors import PhotoError
from darkroom.imaging.exif import CaptureMetadata, to_exif
from darkroom.imaging.pil_arrays import in_mode, to_array
from darkroom.imaging.png_rows import CompressedRows, chunk, compress_rows
from darkroom.system.interrupts import raise_if_interrupted
from darkroom.system.profiling import spanned
from darkroom.system.quiet import without_warnings

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_END = 33  # bytes of signature and IHDR
_NO_TEXTS: Mapping[str, str] = MappingProxyType({})
_NO_METADATA = CaptureMetadata()


@spanned("PNG")
def encode_png(
    pixels: np.ndarray,
    *,
    alpha: np.ndarray | None = None,
    icc: bytes | None = None,
    texts: Mapping[str, str] = _NO_TEXTS,
    metadata: CaptureMetadata = _NO_METADATA,
) -> bytes:
    """A PNG file; the same arguments give the same bytes.

    Args:
        pixels: (H, W, 3) RGB or (H, W) grey, uint8; or (H, W, 3) RGB or (H, W, 4) RGBA, uint16.
        alpha: (H, W) uint8; None for an opaque picture and for 16-bit pixels.
        icc: the colour profile to embed, byte for byte.
        texts: text chunks by keyword (1 to 79 Latin-1 characters); tEXt where Latin-1 suffices, else iTXt.
        metadata: resolution and EXIF entries.
    """
    return png_file(compress_rows(pixels, alpha), icc=icc, texts=texts, metadata=metadata)


@spanned("PNG")
def png_file(
    rows: CompressedRows,
    *,
    icc: bytes | None = None,
    texts: Mapping[str, str] = _NO_TEXTS,
    metadata: CaptureMetadata = _NO_METADATA,
) -> bytes:
    """`encode_png` for pixels that have been compressed."""
    header, *data = rows.chunks()
    return b"".join((_SIGNATURE, header, _metadata_chunks(icc, texts, metadata), *data, chunk(b"IEND", b"")))


def _metadata_chunks(icc: bytes | None, texts: Mapping[str, str], metadata: CaptureMetadata) -> bytes:
    """The chunks between header and pixels, from a PNG of one pixel that Pillow writes."""
    if icc is None and not texts and metadata == _NO_METADATA:
        return b""
    chunks = PngInfo()
    for key, text in texts.items():
        # File names that are not UTF-8 hold lone surrogates; they are escaped as in JSON.
        chunks.add_text(key, text.encode("utf-8", "backslashreplace").decode("utf-8"))
    file = BytesIO()
    exif = to_exif(metadata) or None
    Image.new("L", (1, 1)).save(file, "PNG", icc_profile=icc, pnginfo=chunks, dpi=metadata.dpi, exif=exif)
    data = file.getvalue()
    return data[_HEADER_END : data.rindex(b"IDAT") - 4]


def with_chunks(data: bytes, exif: bytes, xmp: bytes) -> bytes:
    """A PNG that `encode_png` made, with another EXIF block, and with an XMP packet; empty ones change nothing.

    Args:
        data: the file.
        exif: the block from its byte order mark on.
        xmp: the packet, in UTF-8.
    """
    file, place = BytesIO(), _HEADER_END
    file.write(data[:place])
    while (kind := data[place + 4 : place + 8]) != b"IDAT":
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if not (exif and kind == b"eXIf"):
            file.write(data[place:end])
        place = end
    if exif:
        file.write(chunk(b"eXIf", exif))
    if xmp:
        file.write(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))  # XMP specification, part 3: PNG
    file.write(data[place:])
    return file.getvalue()


def open_png(data: bytes) -> Image.Image:
    """A PNG, not yet decoded. Raises what Pillow raises for other files."""
    with without_warnings():  # on sizes, which were checked when the photo was read
        return Image.open(BytesIO(data), formats=["PNG"])


@spanned("PNG")
def decode_png(data: bytes, mode: str) -> np.ndarray:
    """The pixels of a PNG that `encode_png` made: (H, W, 3) for mode `RGB`, (H, W) for `L`; the upper 8 bits of 16."""
    with open_png(data) as image:
        return to_array(in_mode(image, mode))


@spanned("PNG")
def decode_untrusted_png(data: bytes, mode: str, size: tuple[int, int]) -> np.ndarray:
    """`decode_png` for a file that anybody may have made.

    Args:
        data: the file.
        mode: `RGB` or `L`.
        size: the required (height, width).

    Raises:
        PhotoError: it is no PNG, is damaged, or has another size.
    """
    try:
        with open_png(data) as image:
            if image.size == size[::-1]:
                return to_array(in_mode(image, mode))
    except Exception as error:  # OSError, SyntaxError, struct.error, zlib.error, ...: the bytes may be anything
        raise_if_interrupted()
        raise PhotoError(f"cannot be decoded: {error}") from None
    raise PhotoError(f"is {image.width} x {image.height} px")


def png_texts(data: bytes) -> dict[str, str]:
    """The text chunks before the pixels of a PNG that anybody may have made; empty where they cannot be read."""
    try:
        with open_png(data) as image:
            return {str(key): text for key, text in image.info.items() if isinstance(text, str)}
    except Exception:  # as above
        raise_if_interrupted()
        return {}
