"""Photo files to pixels, pixels to PNG. It knows formats, colours and orientation; no datasets, no stages."""

from __future__ import annotations

import hashlib
import stat
import struct
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from darkroom.errors import PhotoError
from darkroom.imaging.bands import bands, by_bands
from darkroom.imaging.exif import MAKER_NOTE, USER_COMMENT, Facts, to_exif
from darkroom.imaging.exif import read as read_facts

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
MAX_DECODED = 1_000_000_000  # bytes of `Picture.pixels`, `alpha` and `deep`: 111 megapixels of 16-bit RGB
MAX_BYTES = 2 << 30

DELIVERED: Mapping[str, str] = MappingProxyType({"png": ".png", "jpeg": ".jpg", "webp": ".webp"})
"""The formats that a finished picture can be had in, and their suffixes."""

_PROFILE_SPACES = {"L": b"GRAY", "CMYK": b"CMYK"}  # image mode to the colour space in an ICC header
_TURNS = {  # by the EXIF orientation: how the stored pixels come to stand upright
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored),
}
_TRANSPOSED = {  # the same with Pillow
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG_SIGNATURE, _PNG_HEADER = 8, 33  # bytes; the header ends with IHDR
_NO_TEXTS: Mapping[str, str] = MappingProxyType({})
_NO_FACTS = Facts()


@dataclass(frozen=True)
class Picture:
    """A decoded photo.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright.
        alpha: (H, W) uint8, 0 transparent to 255 opaque; None where the file has no transparency.
        deep: (H, W, 3) uint16, or (H, W, 4) with transparency, upright: all of a photo of 16 bits, whose upper
            halves `pixels` and `alpha` are; None where `pixels` are all that there is.
        icc: the RGB colour profile that `pixels` are in, byte for byte as in the file; None means sRGB.
        digest: SHA-256 of the file's bytes, 64 hexadecimal digits.
        format: what the file turned out to be, such as `JPEG`, whatever its suffix says.
        mode: Pillow's name of the pixels as stored, such as `CMYK` or `I;16`.
        bits: of a channel as stored, 16 or (at most) 8.
        orientation: the EXIF orientation that was applied, 1 (none) to 8.
        facts: what else the file says that a result repeats: resolution, date, camera, author.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    deep: np.ndarray | None
    icc: bytes | None
    digest: str
    format: str
    mode: str
    bits: int
    orientation: int
    facts: Facts


def read(path: Path) -> Picture:
    """Read and decode a photo.

    Raises:
        PhotoError: it cannot be read or decoded, is animated, has several pages, over `MAX_PIXELS` pixels, or takes
            more than `MAX_DECODED`.
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
            raise PhotoError(f"a {'folder' if stat.S_ISDIR(status.st_mode) else 'pipe or device'}, not a file")
        if status.st_size > MAX_BYTES:
            raise PhotoError(f"larger than {MAX_BYTES >> 30} GiB")
        return path.read_bytes()
    except OSError as error:
        raise PhotoError(f"cannot be read: {error.strerror}") from None
    except ValueError:  # NUL in a manifest's path
        raise PhotoError("cannot be read: no such file can exist") from None


def decode(data: bytes) -> Picture:
    """Decode the bytes of a photo file. CMYK and grey profiles are converted to sRGB.

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
    picture, turn = _decode_eight_bits(data)
    deep = _sixteen_bits(data, picture, turn) if picture.bits == 16 else None
    if deep is None or picture.alpha is None:
        return replace(picture, deep=deep)
    return replace(picture, deep=deep, alpha=by_bands(_upper_half, deep[..., 3]))


def _decode_eight_bits(data: bytes) -> tuple[Picture, int]:
    """The picture without `deep`, and the orientation that its pixels are stored in, as OpenCV reads them."""
    with Image.open(BytesIO(data), formats=sorted(set(FORMATS.values()))) as image:
        has_16_bits = any(";16" in str(tile.args) for tile in image.tile)  # gone once it is loaded
        _refuse(image, has_16_bits)
        if image.format == "PNG":
            image.load()  # its EXIF block may come last
        facts, orientation = read_facts(image)
        image.load()
        turn = 1 if image.format == "TIFF" else orientation  # Pillow has turned it by now
        colours, alpha = _separate(image.transpose(_TRANSPOSED[turn]) if turn > 1 else image)
        rgb, icc = _to_rgb(colours, image.info.get("icc_profile"))
        picture = Picture(
            pixels=_array(rgb),
            alpha=alpha,
            deep=None,
            icc=icc,
            digest=hashlib.sha256(data).hexdigest(),
            format=image.format or "",
            mode=image.mode,
            bits=16 if has_16_bits else 8,
            orientation=orientation,
            facts=facts,
        )
    return picture, turn


def _array(image: Image.Image) -> np.ndarray:
    """A picture's pixels; Pillow itself would copy all of them twice on the way."""
    channels = len(image.getbands())
    result = np.empty((image.height, image.width, channels)[: 2 + (channels > 1)], np.uint8)
    for rows in bands(image.height, image.width):
        result[rows] = np.asarray(image.crop((0, rows.start, image.width, rows.stop)))
    return result


def _as(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # which copies in any case


def _sixteen_bits(data: bytes, picture: Picture, turn: int) -> np.ndarray | None:
    """See `Picture.deep`. Pillow has 16 bits of greys only, so OpenCV reads the file once more.

    None where the two do not see the same picture, such as of premultiplied colours, or where a profile was used up.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # not on odd TIFF files
    try:
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)  # turns TIFF, and nothing else
    except cv2.error:
        return None
    if stored is None or stored.dtype != np.uint16:
        return None
    stored = _TURNS[turn](np.atleast_3d(stored))
    if stored.shape[:2] != picture.pixels.shape[:2]:
        return None
    order = [2, 1, 0] if stored.shape[2] >= 3 else [0, 0, 0]
    deep = np.empty((*stored.shape[:2], 3 if picture.alpha is None else 4), np.uint16)
    for rows in bands(*deep.shape[:2]):
        deep[rows, :, :3] = stored[rows][..., order]
        if not np.array_equal(_upper_half(deep[rows, :, :3]), picture.pixels[rows]):
            return None
        if picture.alpha is not None:
            own = stored.shape[2] == 4
            deep[rows, :, 3] = stored[rows, :, 3] if own else picture.alpha[rows] * np.uint16(257)
    return deep


def _upper_half(values: np.ndarray) -> np.ndarray:
    """8 of 16 bits, as Pillow has them. 8 bits times 257, which all that is painted becomes, come back as they were."""
    return (values >> 8).astype(np.uint8)


def _refuse(image: Image.Image, has_16_bits: bool) -> None:
    """What the header already tells; nothing has been decoded yet."""
    size = f"{image.width} x {image.height} px"
    if image.width * image.height > MAX_PIXELS:
        raise PhotoError(f"{_too_large()}: {size}")
    channels = 4 if image.has_transparency_data else 3
    decoded = image.width * image.height * channels * (3 if has_16_bits else 1)  # 16 bits and their upper halves
    if decoded > MAX_DECODED:
        bits = "16 bits" if has_16_bits else "8 bits"
        limit = f"{decoded / 1e9:.1f} GB decoded, more than {MAX_DECODED / 1e9:.0f} GB"
        raise PhotoError(f"{size} in {channels} channels of {bits} take {limit}")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # the further pictures in a phone's JPEG are depth or gain maps
        raise PhotoError(f"holds {frames} pictures (animation or pages): save the one to edit by itself")
    if image.mode in ("I", "F", "LAB"):
        raise PhotoError(f"pixels of type {image.mode} have no agreed white: save it as RGB with 8 or 16 bits")


def _separate(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    """Colours, as L, CMYK or RGB, and transparency."""
    if image.mode.startswith("I;16"):
        return _eight_bits(image)
    alpha = None
    grey = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        image = _as(image, "RGBA")
        alpha = _array(image.getchannel("A"))
    if grey:
        return _as(image, "L"), alpha
    return image if image.mode == "CMYK" else _as(image, "RGB"), alpha


def _eight_bits(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    """Reduce 16-bit grey by hand: Pillow's own conversion clips at 255."""
    values = np.asarray(image)
    transparent = image.info.get("transparency")
    alpha = None if transparent is None else (values != transparent) * np.uint8(255)
    return Image.fromarray(_upper_half(values)), alpha


def _to_rgb(colours: Image.Image, icc: bytes | None) -> tuple[Image.Image, bytes | None]:
    """RGB and the profile it is in: an RGB profile is kept, one of another space used up by converting to sRGB."""
    space = icc[16:20] if icc else b""
    if space == b"RGB " and colours.mode != "CMYK":
        return _as(colours, "RGB"), icc
    if space and space == _PROFILE_SPACES.get(colours.mode):
        return to_srgb(colours, icc), _srgb()
    return _as(colours, "RGB"), None


@cache
def _srgb() -> bytes:
    """The profile of sRGB, the same bytes at any time."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 1999, 10, 18, 0, 0, 0)  # when it was made; so let it be the standard
    return bytes(profile)


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
    facts: Facts = _NO_FACTS,
) -> bytes:
    """A PNG file; the same arguments give the same bytes.

    Args:
        pixels: (H, W, 3) RGB or (H, W) grey, uint8; or (H, W, 3) RGB or (H, W, 4) RGBA, uint16.
        alpha: (H, W) uint8, or None for an opaque picture and for one of 16 bits.
        icc: the colour profile to embed, byte for byte.
        texts: text chunks by keyword (1 to 79 Latin-1 characters); tEXt where Latin-1 suffices, else iTXt.
        facts: resolution and EXIF entries.
    """
    if pixels.dtype == np.uint16:
        return _encode_deep_png(pixels, encode_png(np.zeros((1, 1), np.uint8), icc=icc, texts=texts, facts=facts))
    image = Image.fromarray(pixels)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    chunks = PngInfo()
    for key, text in texts.items():
        # File names that are not UTF-8 hold lone surrogates; escaped they are what JSON would have, too.
        chunks.add_text(key, text.encode("utf-8", "backslashreplace").decode("utf-8"))
    file = BytesIO()
    exif = to_exif(facts) or None
    image.save(file, "PNG", compress_level=3, icc_profile=icc, pnginfo=chunks, dpi=facts.dpi, exif=exif)
    return file.getvalue()


def _encode_deep_png(pixels: np.ndarray, donor: bytes) -> bytes:
    """A PNG of 16 bits, which Pillow cannot write; profile, texts and facts are another PNG's.

    Filter `Sub` in every row and zlib's run lengths, as OpenCV has them: quick, and on photos nearly as small as any.
    """
    height, width, channels = pixels.shape
    file = BytesIO()
    file.write(donor[:_PNG_SIGNATURE])
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0))
    file.write(donor[_PNG_HEADER : donor.rindex(b"IDAT") - 4])
    squeeze = zlib.compressobj(1, strategy=zlib.Z_RLE)
    for rows in bands(height, width):
        part = pixels[rows].astype(">u2").view(np.uint8).reshape(-1, width, 2 * channels)
        filtered = np.ones((len(part), 1 + width * 2 * channels), np.uint8)  # each row begins with the filter's number
        filtered[:, 1 : 1 + 2 * channels] = part[:, 0]
        filtered[:, 1 + 2 * channels :] = (part[:, 1:] - part[:, :-1]).reshape(len(part), -1)
        _write_chunk(file, b"IDAT", squeeze.compress(filtered))
    _write_chunk(file, b"IDAT", squeeze.flush())
    _write_chunk(file, b"IEND", b"")
    return file.getvalue()


def _write_chunk(file: BytesIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


def decode_png(data: bytes, mode: str) -> np.ndarray:
    """The pixels of a PNG that `encode_png` has made: (H, W, 3) for the mode `RGB`, (H, W) for `L`; 8 bits of 16."""
    with _open_png(data) as image:
        return _array(_as(image, mode))


def png_texts(data: bytes) -> dict[str, str]:
    """The text chunks before the pixels of a PNG that may be anybody's; none where they cannot be read."""
    try:
        with _open_png(data) as image:
            return {key: text for key, text in image.info.items() if isinstance(text, str)}
    except Exception:  # foreign bytes: OSError, SyntaxError, struct.error, zlib.error, ...
        return {}


def read_png(data: bytes, mode: str, size: tuple[int, int]) -> np.ndarray:
    """`decode_png` of a file that may be anybody's.

    Args:
        data: the file.
        mode: `RGB` or `L`.
        size: (height, width) that it must have.

    Raises:
        PhotoError: it is no such PNG.
    """
    try:
        with _open_png(data) as image:
            if image.size == size[::-1]:
                return _array(_as(image, mode))
    except Exception as error:  # foreign bytes: OSError, SyntaxError, struct.error, zlib.error, ...
        raise PhotoError(f"cannot be decoded: {error}") from None
    raise PhotoError(f"is {image.width} x {image.height} px")


def _open_png(data: bytes) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on sizes, which were judged when the photo was read
        return Image.open(BytesIO(data), formats=["PNG"])


def convert_png(data: bytes, format: str, quality: int) -> bytes:
    """A finished picture as a JPEG or WebP file, 8 bits, with its profile and facts; the same arguments give the same
    bytes.

    What its text chunks say stands in the EXIF block: `parameters` as the user comment, where web UIs look for it,
    `darkroom` as the maker note. A JPEG has no transparency: white shows through.

    Args:
        data: a PNG that `encode_png` has made.
        format: `jpeg` or `webp`.
        quality: 1 to 100.

    Raises:
        PhotoError: the format cannot hold it: pictures or texts are too large for it.
    """
    with _open_png(data) as image:
        image.load()
    colours = image
    if format == "jpeg" and image.mode == "RGBA":
        colours = Image.new("RGB", image.size, "white")
        colours.paste(image.convert("RGB"), mask=image.getchannel("A"))
    file = BytesIO()
    try:
        # Colours at full resolution, so that none of the repainted part runs over the mask's edge.
        facts, _ = read_facts(image)
        options = {"subsampling": "4:4:4", "dpi": facts.dpi or (0, 0)} if format == "jpeg" else {}
        icc, exif = image.info.get("icc_profile"), to_exif(facts, _notes(image.text))
        colours.save(file, format, quality=quality, icc_profile=icc, exif=exif, **options)
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
