"""Photo files as bytes, also 16-bit files, which Pillow cannot write."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def blocks(height: int = 48, width: int = 80) -> np.ndarray:
    """A picture without symmetry: four flat quarters and a fifth colour in one corner."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = 200, 30, 40
    pixels[: height // 2, width // 2 :] = 20, 180, 60
    pixels[height // 2 :, : width // 2] = 30, 60, 190
    pixels[: height // 3, : width // 5] = 240, 230, 10
    return pixels


def saved(image: Image.Image | np.ndarray, format: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, format, **options)
    return file.getvalue()


def png(header: bytes, body: bytes, **chunks: bytes) -> bytes:
    """A PNG with these chunks. `body` is compressed here."""
    listed = {"IHDR": header, **chunks, "IDAT": zlib.compress(body), "IEND": b""}
    parts = [(kind.encode() + data, len(data)) for kind, data in listed.items()]
    framed = [struct.pack(">I", length) + part + struct.pack(">I", zlib.crc32(part)) for part, length in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def png16(pixels: np.ndarray, **chunks: bytes) -> bytes:
    """A 16-bit PNG of (H, W, 1 to 4) uint16."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return png(header, b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels), **chunks)


def tiff16(pixels: np.ndarray, orientation: int = 1, photometric: int = 2, extra: int | None = None) -> bytes:
    """A 16-bit TIFF of (H, W, 3 or 4) uint16; `extra` gives the meaning of channel 4, `photometric` 5 is CMYK."""
    height, width, channels = pixels.shape
    shorts = {256: width, 257: height, 259: 1, 262: photometric, 274: orientation, 277: channels, 278: height, 284: 1}
    shorts |= {} if extra is None else {338: extra}
    bits = 8 + 2 + 12 * (len(shorts) + 3) + 4
    tags = {tag: (3, 1, value) for tag, value in shorts.items()} | {258: (3, channels, bits)}
    tags |= {273: (4, 1, bits + 2 * channels), 279: (4, 1, pixels.nbytes)}
    directory = b"".join(struct.pack("<HHII", tag, *rest) for tag, rest in sorted(tags.items()))
    header = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + directory + bytes(4)
    return header + struct.pack("<H", 16) * channels + pixels.astype("<u2").tobytes()


def noise16(channels: int) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 65536, (13, 17, channels), np.uint16)


def swapped_profile() -> bytes:
    """sRGB with red and green swapped: a profile whose effect cannot be missed."""
    data = bytearray(SRGB)
    count = int.from_bytes(data[128:132], "big")
    tags = {bytes(data[132 + 12 * n : 136 + 12 * n]): 132 + 12 * n for n in range(count)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    data[red + 4 : red + 12], data[green + 4 : green + 12] = data[green + 4 : green + 12], data[red + 4 : red + 12]
    return bytes(data)
