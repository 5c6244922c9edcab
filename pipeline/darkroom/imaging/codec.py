"""Photo files to pixels: formats, colours, 16 bits and orientation. No datasets, no stages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from darkroom.errors import PhotoError
from darkroom.imaging import heif
from darkroom.imaging.bands import bands, by_bands
from darkroom.imaging.colour_profiles import to_rgb
from darkroom.imaging.exif import CaptureMetadata, ExifEntry, read_exif
from darkroom.imaging.gps import read_gps
from darkroom.imaging.pil_arrays import in_mode, to_array
from darkroom.imaging.unreadable import check_header, guess, too_large
from darkroom.system.files import digest_of, open_file, read_file
from darkroom.system.interrupts import raise_if_interrupted
from darkroom.system.profiling import spanned
from darkroom.system.quiet import without_warnings

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        ".png": "PNG",
        ".jpg": "JPEG",
        ".jpeg": "JPEG",
        ".jfif": "JPEG",
        ".webp": "WEBP",
        ".tif": "TIFF",
        ".tiff": "TIFF",
        ".bmp": "BMP",
        ".gif": "GIF",
        ".avif": "AVIF",
        **dict.fromkeys(heif.SUFFIXES, heif.FORMAT),
    }
)
"""Suffix to Pillow's name of the format. Folders are searched for these suffixes; no other format is decoded."""

_HEAD = 256  # bytes

# EXIF orientation to the operation that turns the stored pixels upright, in NumPy and in Pillow.
_UPRIGHT: Mapping[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored),
}
_UPRIGHT_IN_PILLOW = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class DecodedPhoto:
    """A photo as decoded from its file.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright.
        alpha: (H, W) uint8, 0 transparent to 255 opaque; None where the file has no transparency.
        pixels16: (H, W, 3) uint16, or (H, W, 4) with transparency, upright: the full depth of a 16-bit photo, of which
            `pixels` and `alpha` are the upper bytes; None for 8-bit photos, and where only 8 bits could be read.
        icc: the RGB colour profile that `pixels` are in, byte for byte as in the file; None means sRGB.
        digest: SHA-256 of the file's bytes, 64 hexadecimal digits.
        format: the actual file format, such as `JPEG`, whatever the suffix says.
        mode: Pillow's name for the stored pixels, such as `CMYK` or `I;16`.
        bits: per stored channel, 16 or (at most) 8.
        orientation: the EXIF orientation that was applied, 1 (none) to 8.
        metadata: resolution, date, camera and author, which results repeat.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    pixels16: np.ndarray | None
    icc: bytes | None
    digest: str
    format: str
    mode: str
    bits: int
    orientation: int
    metadata: CaptureMetadata


def read_photo(path: Path) -> DecodedPhoto:
    """Read and decode a photo.

    Raises:
        PhotoError: it cannot be read; or see `decode_photo`.
    """
    with _read_errors():
        data = read_file(path)
    return decode_photo(data)


@dataclass(frozen=True)
class PhotoSize:
    """What a photo's header says.

    Attributes:
        pixels: width times height.
        bits: per stored channel, 16 or (at most) 8.
    """

    pixels: int
    bits: int


def read_size(path: Path) -> PhotoSize | None:
    """The size of a photo from its header, without decoding it; None where it cannot be read."""
    try:
        with without_warnings(), open_file(path) as file:
            formats = _formats_of(file.peek(_HEAD))
            with Image.open(file, formats=formats) as image:
                return PhotoSize(image.width * image.height, 16 if _has_16_bits(image) else 8)
    except Exception:  # OSError, SyntaxError, struct.error, DecompressionBombError, ...: the bytes may be anything
        raise_if_interrupted()
        return None


def read_reduced(path: Path, side: int) -> DecodedPhoto:
    """Read a photo to show it small. A large JPEG is decoded at a half, a quarter or an eighth of its size, fast.

    Args:
        path: the file.
        side: neither side becomes smaller than this because of it, in px.

    Raises:
        PhotoError: it cannot be read; or see `decode_photo`.
    """
    with _read_errors():
        data = read_file(path)
    with _decode_errors(data):
        return _decode_8_bits(data, side)[0]


def read_location(path: Path, digest: str) -> tuple[ExifEntry, ...]:
    """Where a photo was taken (`gps.read_gps`); empty if the file does not say.

    Args:
        path: of the photo.
        digest: SHA-256 of the file that was edited.

    Raises:
        PhotoError: the file cannot be read, or is another one now.
    """
    with _read_errors():
        data = read_file(path)
    if hashlib.sha256(data).hexdigest() != digest:
        raise PhotoError("has changed since")
    with _decode_errors(data), _opened(data) as (image, _):
        return read_gps(image)


@spanned("hash")
def photo_digest(path: Path) -> str:
    """SHA-256 of a photo's file, 64 hexadecimal digits, without decoding it.

    Raises:
        PhotoError: it cannot be read.
    """
    with _read_errors():
        return digest_of(path)


@contextmanager
def _read_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PhotoError(f"cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL in the path
        raise PhotoError("cannot be read: no such file can exist") from None


@spanned("decode")
def decode_photo(data: bytes) -> DecodedPhoto:
    """Decode the bytes of a photo file. CMYK and grey profiles are converted to sRGB.

    Raises:
        PhotoError: it cannot be decoded, is animated, has several pages, or is too large (`check_header`).
    """
    with _decode_errors(data):
        return _decode(data)


def read_capture_metadata(path: Path) -> CaptureMetadata:
    """Resolution and EXIF texts of a photo. Of the formats, only PNG is decoded for it.

    Raises:
        PhotoError: it cannot be read; or see `decode_photo`.
    """
    with _read_errors():
        data = read_file(path)
    with _decode_errors(data), _opened(data) as (image, _):
        return read_exif(image)[0]


@contextmanager
def _decode_errors(data: bytes) -> Iterator[None]:
    try:
        with without_warnings():  # on odd metadata, and on sizes, which `check_header` judges
            yield
    except PhotoError:
        raise
    except UnidentifiedImageError:
        raise PhotoError(f"not a picture of a known format{guess(data)}") from None
    except Image.DecompressionBombError:
        raise PhotoError(too_large()) from None
    except Exception as error:  # OSError, SyntaxError, struct.error, zlib.error, ...: the bytes may be anything
        raise_if_interrupted()
        raise PhotoError(f"cannot be decoded: {error}") from None


def _decode(data: bytes) -> DecodedPhoto:
    photo, stored_orientation = _decode_8_bits(data)
    pixels16 = _decode_16_bits(data, photo, stored_orientation) if photo.bits == 16 else None
    if pixels16 is None or photo.alpha is None:
        return replace(photo, pixels16=pixels16)
    return replace(photo, pixels16=pixels16, alpha=by_bands(upper_bytes, pixels16[..., 3]))


@contextmanager
def _opened(data: bytes) -> Iterator[tuple[Image.Image, bool]]:
    """A picture whose header has been checked, ready for `read_exif`, and whether its channels have 16 bits."""
    with Image.open(BytesIO(data), formats=_formats_of(data)) as image:
        has_16_bits = _has_16_bits(image)
        check_header(image, has_16_bits)
        if image.format == "PNG":
            image.load()  # its EXIF block may follow the pixels
        yield image, has_16_bits


def _decode_8_bits(data: bytes, side: int | None = None) -> tuple[DecodedPhoto, int]:
    """The photo without `pixels16`, and the orientation in which OpenCV would read the file; for `side` see
    `read_reduced`.
    """
    with _opened(data) as (image, has_16_bits):
        if side is not None:
            image.draft(image.mode, (side, side))
        metadata, orientation = read_exif(image)
        image.load()
        stored_orientation = 1 if image.format == "TIFF" else orientation  # for TIFF, loading has turned it already
        upright = image.transpose(_UPRIGHT_IN_PILLOW[stored_orientation]) if stored_orientation > 1 else image
        colours, alpha = _split_alpha(upright)
        rgb, icc = to_rgb(colours, image.info.get("icc_profile"))
        photo = DecodedPhoto(
            pixels=to_array(rgb),
            alpha=alpha,
            pixels16=None,
            icc=icc,
            digest=hashlib.sha256(data).hexdigest(),
            format=image.format or "",
            mode=image.mode,
            bits=16 if has_16_bits else 8,
            orientation=orientation,
            metadata=metadata,
        )
    return photo, stored_orientation


def _decode_16_bits(data: bytes, photo: DecodedPhoto, stored_orientation: int) -> np.ndarray | None:
    """See `DecodedPhoto.pixels16`. Pillow reads 16 bits of grey only, so OpenCV decodes the file once more.

    None where the two libraries disagree, as on premultiplied colours, or where a profile was converted to sRGB.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # no warnings about odd TIFF files
    try:
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)  # turns TIFF only
    except cv2.error:
        return None
    if stored is None or stored.dtype != np.uint16:
        return None
    stored = _UPRIGHT[stored_orientation](np.atleast_3d(stored))
    return None if stored.shape[:2] != photo.pixels.shape[:2] else _matching(stored, photo)


def _matching(stored: np.ndarray, photo: DecodedPhoto) -> np.ndarray | None:
    """OpenCV's (H, W, 1), BGR or BGRA as `DecodedPhoto.pixels16`; None where its upper bytes are not the photo's."""
    order = [2, 1, 0] if stored.shape[2] >= 3 else [0, 0, 0]
    pixels16 = np.empty((*stored.shape[:2], 3 if photo.alpha is None else 4), np.uint16)
    for rows in bands(*pixels16.shape[:2]):
        pixels16[rows, :, :3] = stored[rows][..., order]
        if not np.array_equal(upper_bytes(pixels16[rows, :, :3]), photo.pixels[rows]):
            return None
        if photo.alpha is not None:
            has_alpha = stored.shape[2] == 4
            pixels16[rows, :, 3] = stored[rows, :, 3] if has_alpha else photo.alpha[rows] * np.uint16(257)
    return pixels16


def upper_bytes(values: np.ndarray) -> np.ndarray:
    """16 bits to 8, as Pillow does. Repainted pixels are stored as 8 bits times 257, and come back unchanged."""
    return (values >> 8).astype(np.uint8)


def _formats_of(head: bytes) -> list[str]:
    """The formats that a file may have, judging by its first bytes."""
    if heif.is_heif(head):
        heif.register()
        return [heif.FORMAT]
    return sorted({*FORMATS.values()} - {heif.FORMAT})


def _has_16_bits(image: ImageFile.ImageFile) -> bool:
    """Whether the channels have 16 bits, before it is loaded, which clears `tile`."""
    return any(";16" in str(tile.args) for tile in image.tile)


def _split_alpha(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    """Colours, of mode L, CMYK or RGB, and alpha, (H, W) uint8."""
    if image.mode.startswith("I;16"):
        return _split_16_bit_grey(image)
    alpha = None
    grey = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        image = in_mode(image, "RGBA")
        alpha = to_array(image.getchannel("A"))
    if grey:
        return in_mode(image, "L"), alpha
    return image if image.mode == "CMYK" else in_mode(image, "RGB"), alpha


def _split_16_bit_grey(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    """As `_split_alpha`; Pillow's own conversion from 16-bit grey clips at 255."""
    values = np.asarray(image)
    transparent = image.info.get("transparency")
    alpha = None if transparent is None else (values != transparent) * np.uint8(255)
    return Image.fromarray(upper_bytes(values)), alpha
