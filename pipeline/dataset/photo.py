"""Photo files to pixels, pixels to PNG. It knows formats, colours and orientation; no datasets, no stages."""

from __future__ import annotations

import hashlib
import stat
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from pipeline.errors import PhotoError

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        ".png": "PNG",
        ".jpg": "JPEG",
        ".jpeg": "JPEG",
        ".webp": "WEBP",
        ".tif": "TIFF",
        ".tiff": "TIFF",
        ".bmp": "BMP",
        ".gif": "GIF",
        ".avif": "AVIF",
    }
)
"""Suffix to Pillow's name of the format: what folders are searched for, and all that ever meets a decoder."""

MAX_PIXELS = 170_000_000  # more than any camera's; below the 179 million at which Pillow itself gives up
MAX_BYTES = 2 << 30

_PROFILE_SPACES = {"L": b"GRAY", "CMYK": b"CMYK"}  # image mode to the colour space in an ICC header
_NO_TEXTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Picture:
    """A decoded photo.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright.
        alpha: (H, W) uint8, 0 transparent to 255 opaque; None where the file has no transparency.
        icc: the RGB colour profile that `pixels` are in, byte for byte as in the file; None means sRGB.
        digest: SHA-256 of the file's bytes, 64 hexadecimal digits.
        format: what the file turned out to be, such as `JPEG`, whatever its suffix says.
        mode: Pillow's name of the pixels as stored, such as `CMYK` or `I;16`.
        orientation: the EXIF orientation that was applied, 1 (none) to 8.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    icc: bytes | None
    digest: str
    format: str
    mode: str
    orientation: int


def read(path: Path) -> Picture:
    """Read and decode a photo.

    Raises:
        PhotoError: it cannot be read or decoded, is animated, has several pages or over `MAX_PIXELS` pixels.
    """
    return decode(_bytes(path))


def digest(path: Path) -> str:
    """SHA-256 of a photo's file, 64 hexadecimal digits, without decoding it.

    Raises:
        PhotoError: it cannot be read.
    """
    return hashlib.sha256(_bytes(path)).hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a FIFO would wait for ever
            raise PhotoError("not a file")
        if status.st_size > MAX_BYTES:
            raise PhotoError(f"larger than {MAX_BYTES >> 30} GiB")
        return path.read_bytes()
    except OSError as error:
        raise PhotoError(f"cannot be read: {error.strerror}") from None
    except ValueError:  # NUL in a manifest's path
        raise PhotoError("cannot be read: no such file can exist") from None


def decode(data: bytes) -> Picture:
    """Decode the bytes of a photo file. Greys are scaled to 8 bits, CMYK and grey profiles converted to sRGB.

    Raises:
        PhotoError: as for `read`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata; on sizes we judge ourselves
            return _decode(data)
    except PhotoError:
        raise
    except UnidentifiedImageError:
        raise PhotoError(f"not a picture of a known format{_guess(data)}") from None
    except Image.DecompressionBombError:
        raise PhotoError(_too_large()) from None
    except Exception as error:  # foreign bytes: OSError, SyntaxError, struct.error, zlib.error, ...
        raise PhotoError(f"cannot be decoded: {error}") from None


def _decode(data: bytes) -> Picture:
    with Image.open(BytesIO(data), formats=sorted(set(FORMATS.values()))) as image:
        _refuse(image)
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        image.load()
        upright = ImageOps.exif_transpose(image)  # TIFF has been turned by now, and is left as it is
        colours, alpha = _separate(upright)
        rgb, icc = _to_rgb(colours, image.info.get("icc_profile"))
        return Picture(
            pixels=np.array(rgb),
            alpha=alpha,
            icc=icc,
            digest=hashlib.sha256(data).hexdigest(),
            format=image.format or "",
            mode=image.mode,
            orientation=orientation if orientation in range(1, 9) else 1,
        )


def _refuse(image: Image.Image) -> None:
    """What the header already tells; nothing has been decoded yet."""
    if image.width * image.height > MAX_PIXELS:
        raise PhotoError(f"{_too_large()}: {image.width} x {image.height}")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # the further pictures in a phone's JPEG are depth or gain maps
        raise PhotoError(f"holds {frames} pictures (animation or pages): save the one to edit by itself")
    if image.mode in ("I", "F", "LAB"):
        raise PhotoError(f"pixels of type {image.mode} have no agreed white: save it with 8 or 16 bits")


def _separate(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    """Colours, as L, CMYK or RGB, and transparency."""
    if image.mode.startswith("I;16"):
        return _eight_bits(image)
    alpha = None
    grey = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.array(image.getchannel("A"))
    if grey:
        return image.convert("L"), alpha
    return image if image.mode == "CMYK" else image.convert("RGB"), alpha


def _eight_bits(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    """Scale 16-bit grey by hand: Pillow's own conversion clips at 255."""
    values = np.asarray(image).astype(np.uint32)
    transparent = image.info.get("transparency")
    alpha = None if transparent is None else np.where(values == transparent, 0, 255).astype(np.uint8)
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8)), alpha


def _to_rgb(colours: Image.Image, icc: bytes | None) -> tuple[Image.Image, bytes | None]:
    """RGB and the profile it is in: an RGB profile is kept, one of another space used up by converting."""
    space = icc[16:20] if icc else b""
    if space == b"RGB " and colours.mode != "CMYK":
        return colours.convert("RGB"), icc
    if space and space == _PROFILE_SPACES.get(colours.mode):
        return to_srgb(colours, icc), None
    return colours.convert("RGB"), None


def to_srgb(colours: Image.Image, icc: bytes) -> Image.Image:
    """A picture of mode L, RGB or CMYK in sRGB; `icc`, the profile of its colours, is ignored where broken."""
    try:
        return ImageCms.profileToProfile(
            colours,
            ImageCms.ImageCmsProfile(BytesIO(icc)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError):
        return colours.convert("RGB")


def _too_large() -> str:
    return f"larger than {MAX_PIXELS // 1_000_000} megapixels"


def _guess(data: bytes) -> str:
    """What files that only pretend to be pictures mostly are."""
    if not data:
        return ": the file is empty"
    if data.lstrip()[:1] in (b"<", b"{"):
        return ": it is text such as HTML, perhaps a failed download"
    if data[4:8] == b"ftyp":
        return ": it looks like HEIC or a video; convert it to JPEG or PNG"
    return ""


def encode_png(
    pixels: np.ndarray,
    *,
    alpha: np.ndarray | None = None,
    icc: bytes | None = None,
    texts: Mapping[str, str] = _NO_TEXTS,
) -> bytes:
    """A PNG file; the same arguments give the same bytes.

    Args:
        pixels: (H, W, 3) RGB or (H, W) grey, uint8.
        alpha: (H, W) uint8, or None for an opaque picture.
        icc: the colour profile to embed, byte for byte.
        texts: text chunks by keyword (1 to 79 Latin-1 characters); tEXt where Latin-1 suffices, else iTXt.
    """
    image = Image.fromarray(pixels)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    chunks = PngInfo()
    for key, text in texts.items():
        # File names that are not UTF-8 hold lone surrogates; escaped they are what JSON would have, too.
        chunks.add_text(key, text.encode("utf-8", "backslashreplace").decode("utf-8"))
    file = BytesIO()
    image.save(file, "PNG", compress_level=3, icc_profile=icc, pnginfo=chunks)
    return file.getvalue()


def decode_png(data: bytes, mode: str) -> np.ndarray:
    """The pixels of a PNG that `encode_png` has made: (H, W, 3) for the mode `RGB`, (H, W) for `L`, uint8."""
    with Image.open(BytesIO(data), formats=["PNG"]) as image:
        return np.asarray(image if image.mode == mode else image.convert(mode))
