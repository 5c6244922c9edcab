"""The pixels of a PNG file, compressed in bands of rows that stand alone, so that pictures share those that are equal.

A repaint changes some rows of a photo: the bands of all others are taken over as they are, which costs a comparison.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from darkroom.system.cores import usable_cores
from darkroom.system.profiling import spanned

_ROWS = 32  # per band: few enough that a small repaint leaves most bands alone, and that one fits into the CPU's cache
_LARGE, _MAX_THREADS = 12_000_000, 8  # values of a picture that are worth several threads, and how many of these
_ADLER = 65521  # RFC 1950
_SUB, _PAETH = 1, 4  # PNG specification, 9.2: filter types


class Band(NamedTuple):
    """A band of rows. It refers to no other band.

    Attributes:
        chunk: a whole IDAT chunk, of raw deflate blocks that end at a byte.
        adler: Adler-32 of the filtered rows.
        size: of the filtered rows, in bytes.
    """

    chunk: bytes
    adler: int
    size: int


class CompressedRows(NamedTuple):
    """The pixels of a picture, compressed.

    Attributes:
        pixels: as given to `compress_rows`.
        alpha: likewise.
        bands: from top to bottom.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    bands: list[Band]

    def chunks(self) -> Iterator[bytes]:
        """All IHDR and IDAT chunks of the file."""
        height, width = self.pixels.shape[:2]
        channels = 1 if self.pixels.ndim == 2 else self.pixels.shape[2] + (self.alpha is not None)
        colour = {1: 0, 3: 2, 4: 6}[channels]
        yield chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * self.pixels.itemsize, colour, 0, 0, 0))
        yield chunk(b"IDAT", b"\x78\x01")  # the head of a zlib stream
        yield from (band.chunk for band in self.bands)
        yield chunk(b"IDAT", b"\x03\x00" + struct.pack(">I", self._adler()))  # an empty last block

    def _adler(self) -> int:
        """Adler-32 of all filtered rows, from those of the bands, as zlib's `adler32_combine` does it."""
        low, high = 1, 0
        for _, adler, size in self.bands:
            high = (high + (adler >> 16) + size * (low - 1)) % _ADLER
            low = (low + (adler & 0xFFFF) - 1) % _ADLER
        return high << 16 | low


@spanned("PNG")
def compress_rows(
    pixels: np.ndarray, alpha: np.ndarray | None = None, like: CompressedRows | None = None
) -> CompressedRows:
    """Compress pixels; the same pixels give the same bytes, whatever `like` is.

    Filter `Paeth` and run-length compression: of what was tried on photos, it is the best in size for its time
    (docs/performance.md).

    Args:
        pixels: (H, W, 3) RGB or (H, W) grey, uint8; or (H, W, 3) RGB or (H, W, 4) RGBA, uint16.
        alpha: (H, W) uint8; None for an opaque picture, for grey and for 16 bits. The arrays must not change later.
        like: a picture that may have equal rows.
    """
    if like is not None and (like.pixels.shape, like.pixels.dtype) != (pixels.shape, pixels.dtype):
        like = None

    def band(number: int) -> Band:
        rows = slice(number * _ROWS, (number + 1) * _ROWS)
        if like and _equal(like.pixels, pixels, rows) and _equal(like.alpha, alpha, rows):
            return like.bands[number]
        return _compressed(pixels[rows], None if alpha is None else alpha[rows])

    numbers = range(-(-len(pixels) // _ROWS))
    cores = min(usable_cores(), _MAX_THREADS)
    if cores == 1 or pixels.size < _LARGE:
        return CompressedRows(pixels, alpha, list(map(band, numbers)))
    pool = ThreadPoolExecutor(cores, thread_name_prefix="png")
    try:
        return CompressedRows(pixels, alpha, list(pool.map(band, numbers)))
    finally:
        pool.shutdown(cancel_futures=True)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))))


def _equal(one: np.ndarray | None, other: np.ndarray | None, rows: slice) -> bool:
    if one is None or other is None:
        return one is other
    return one is other or np.array_equal(one[rows], other[rows])


def _interleaved(pixels: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """(rows, W, bytes per pixel) uint8."""
    if alpha is not None:
        return np.dstack([pixels, alpha])
    if pixels.dtype == np.uint16:
        pixels = pixels.astype(">u2").view(np.uint8)
    return pixels.reshape(*pixels.shape[:2], -1)


def _compressed(pixels: np.ndarray, alpha: np.ndarray | None) -> Band:
    """A band of `compress_rows`; much of a mask is black or white."""
    if pixels.ndim == 2 and pixels.min() == pixels.max():
        return _flat_band(int(pixels[0, 0]), pixels.shape)
    return _band(_interleaved(pixels, alpha))


@lru_cache
def _flat_band(grey: int, shape: tuple[int, int]) -> Band:
    return _band(np.full((*shape, 1), grey, np.uint8))


def _band(samples: np.ndarray) -> Band:
    filtered = _filtered(samples).data
    # Strategy and level of OpenCV. Flushed, so that the next band begins at a byte.
    compressor = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    data = compressor.compress(filtered) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return Band(chunk(b"IDAT", data), zlib.adler32(filtered), filtered.nbytes)


def _filtered(samples: np.ndarray) -> np.ndarray:
    """Rows as PNG compresses them, (rows, 1 + W * bytes) uint8: the filter's number, and differences from a prediction.

    The first row is predicted from its own left neighbours alone, the others by Paeth's filter.
    """
    height, width, step = samples.shape
    rows = samples.reshape(height, width * step)
    result = np.empty((height, 1 + width * step), np.uint8)
    result[:, 0], result[0, 0] = _PAETH, _SUB
    differences = result[:, 1:]
    differences[0, :step] = rows[0, :step]
    np.subtract(rows[0, step:], rows[0, :-step], out=differences[0, step:])
    np.subtract(rows[1:, :step], rows[:-1, :step], out=differences[1:, :step])
    if height > 1 and width > 1:
        predicted = _paeth(rows[1:, :-step].copy(), rows[:-1, step:].copy(), rows[:-1, :-step].copy())
        np.subtract(rows[1:, step:], predicted, out=differences[1:, step:])
    return result


def _paeth(left: np.ndarray, above: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Of three neighbours the one nearest to `left + above - corner`; `left`, then `above`, if several are.

    `left` is overwritten. In 8 bits, by OpenCV's vector instructions: the distance of `corner` is the sum of the other
    two where left and above lie on the same side of it, so it is never the least; elsewhere it is their difference.
    """
    to_left, to_above = cv2.absdiff(above, corner), cv2.absdiff(left, corner)
    left_is_larger, above_is_larger = cv2.compare(left, corner, cv2.CMP_GT), cv2.compare(above, corner, cv2.CMP_GT)
    same_side = cv2.compare(left_is_larger, above_is_larger, cv2.CMP_EQ)
    to_corner = cv2.bitwise_or(cv2.absdiff(to_left, to_above), same_side)
    cv2.copyTo(above, cv2.compare(to_above, to_left, cv2.CMP_LT), left)
    cv2.copyTo(corner, cv2.compare(to_corner, cv2.min(to_left, to_above), cv2.CMP_LT), left)
    return left
