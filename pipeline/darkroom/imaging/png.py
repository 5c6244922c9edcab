"""The PNG files that Darkroom keeps: pictures with profile and metadata, masks, and how both are read back."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Mapping
from io import BytesIO
from types import MappingProxyType

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from darkroom.errors import PhotoError
from darkroom.imaging.bands import bands
from darkroom.imaging.exif import CaptureMetadata, to_exif
from darkroom.imaging.pil_arrays import in_mode, to_array
from darkroom.system.interrupts import raise_if_interrupted

_SIGNATURE, _HEADER_END = 8, 33  # bytes; the signature is followed by IHDR
_NO_TEXTS: Mapping[str, str] = MappingProxyType({})
_NO_METADATA = CaptureMetadata()


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
    if pixels.dtype == np.uint16:
        donor = encode_png(np.zeros((1, 1), np.uint8), icc=icc, texts=texts, metadata=metadata)
        return _encode_16_bits(pixels, donor)
    image = Image.fromarray(pixels)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    chunks = PngInfo()
    for key, text in texts.items():
        # File names that are not UTF-8 hold lone surrogates; they are escaped as in JSON.
        chunks.add_text(key, text.encode("utf-8", "backslashreplace").decode("utf-8"))
    file = BytesIO()
    exif = to_exif(metadata) or None
    image.save(file, "PNG", compress_level=3, icc_profile=icc, pnginfo=chunks, dpi=metadata.dpi, exif=exif)
    return file.getvalue()


def _encode_16_bits(pixels: np.ndarray, donor: bytes) -> bytes:
    """A 16-bit PNG, which Pillow cannot write. Profile, texts and metadata come from `donor`, another PNG.

    Filter `Sub` in every row and run-length compression, as in OpenCV: fast, and on photos nearly as small as any.
    """
    height, width, channels = pixels.shape
    file = BytesIO()
    file.write(donor[:_SIGNATURE])
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0))
    file.write(donor[_HEADER_END : donor.rindex(b"IDAT") - 4])
    compressor = zlib.compressobj(1, strategy=zlib.Z_RLE)
    for rows in bands(height, width):
        band = pixels[rows].astype(">u2").view(np.uint8).reshape(-1, width, 2 * channels)
        filtered = np.ones((len(band), 1 + width * 2 * channels), np.uint8)  # each row begins with the filter's number
        filtered[:, 1 : 1 + 2 * channels] = band[:, 0]
        filtered[:, 1 + 2 * channels :] = (band[:, 1:] - band[:, :-1]).reshape(len(band), -1)
        _write_chunk(file, b"IDAT", compressor.compress(filtered.data))
    _write_chunk(file, b"IDAT", compressor.flush())
    _write_chunk(file, b"IEND", b"")
    return file.getvalue()


def _write_chunk(file: BytesIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


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
        _write_chunk(file, b"eXIf", exif)
    if xmp:
        _write_chunk(file, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)  # XMP specification, part 3: PNG
    file.write(data[place:])
    return file.getvalue()


def open_png(data: bytes) -> Image.Image:
    """A PNG, not yet decoded. Raises what Pillow raises for other files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on sizes, which were checked when the photo was read
        return Image.open(BytesIO(data), formats=["PNG"])


def decode_png(data: bytes, mode: str) -> np.ndarray:
    """The pixels of a PNG that `encode_png` made: (H, W, 3) for mode `RGB`, (H, W) for `L`; the upper 8 bits of 16."""
    with open_png(data) as image:
        return to_array(in_mode(image, mode))


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
