"""Small pieces for laying out a page of pictures: labels, thumbnails, and how they are put side by side."""

from __future__ import annotations

import string
import struct
import warnings
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from darkroom.imaging.thumbnails import PAPER
from darkroom.system.files import Folder

INK, SOFT, FAINT = "#1f1f1e", "#767470", "#e9e7e3"
TINT, OUTLINE = "#8e7cf0", "#3a1fd1"  # violet: rare in photos, so that it is not taken for part of one
WARN = "#a8321f"

_MAX_BYTES, _MAX_PIXELS = 16_000_000, 4_000_000  # of a file that passes for a thumbnail

_BUILT_IN = frozenset(string.printable + "…·“”‘’")  # what Pillow's own font can show
_WIDER_FONTS = ("NotoSans-Regular.ttf", "DejaVuSans.ttf", "Arial.ttf", "arial.ttf")


def label(text: str, width: int, size: int, *, colour: str = INK, lines: int = 1, paper: str = PAPER) -> Image.Image:
    """Text on paper, wrapped; what does not fit into `lines` lines of `width` pixels ends in an ellipsis."""
    text = "".join(each if each.isprintable() else " " if each.isspace() else "?" for each in text)
    font = _font(set(text) <= _BUILT_IN, size)
    wrapped = _wrap(text, font, width, lines)
    height = round(size * 1.35)
    image = Image.new("RGB", (width, height * len(wrapped)), paper)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(wrapped):
        draw.text((0, number * height + size), line, fill=colour, font=font, anchor="ls")
    return image


def opened(folder: Folder, path: str) -> Image.Image:
    """A thumbnail's file, decoded. It may be anybody's: a journal names it.

    Args:
        folder: the run folder.
        path: within it.

    Raises:
        OSError: it is missing or damaged, or no thumbnail.
    """
    data = folder.read(path, _MAX_BYTES)
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(BytesIO(data), formats=("PNG", "JPEG")) as image:
            if image.width * image.height <= _MAX_PIXELS:
                image.load()
                return image
    except Exception as error:  # foreign bytes: OSError, SyntaxError, struct.error, zlib.error, ...
        raise OSError(f"cannot be decoded: {error}") from None
    raise OSError("is no thumbnail")


def thumbnail(folder: Folder, path: str, box: tuple[int, int]) -> Image.Image:
    """A thumbnail's file, as large as (width, height) allows; a notice where it is gone or damaged."""
    try:
        image = opened(folder, path)
    except OSError as error:
        title, reason = "damaged", "cannot be read"
        if isinstance(error, FileNotFoundError):
            title, reason = "missing", "is no longer in the run folder"
        return notice((box[0], box[0] * 2 // 3), title, f"{path.rpartition('/')[2]} {reason}")
    return image.convert("RGB").resize(_fitted(image.size, box), Image.Resampling.HAMMING)


def tinted(photo: Image.Image, folder: Folder, path: str) -> tuple[Image.Image, float]:
    """A thumbnail with the masked area in colour and outlined, and the mean of the mask, 0 to 1.

    Raises:
        OSError: the mask cannot be read.
    """
    mask = opened(folder, path).convert("L").resize(photo.size, Image.Resampling.BOX)
    grey = photo.convert("L").convert("RGB")
    violet = Image.blend(grey, Image.new("RGB", photo.size, TINT), 0.6)
    histogram = mask.histogram()
    mean = sum(value * number for value, number in enumerate(histogram)) / (255 * sum(histogram))
    tint = Image.composite(violet, photo, mask)
    white = mask.point([0] * 128 + [255] * 128)
    tint.paste(OUTLINE, mask=ImageChops.subtract(white.filter(ImageFilter.MaxFilter(5)), white))
    return tint, mean


def framed(image: Image.Image) -> Image.Image:
    """A picture that stands out."""
    image = image.copy()
    ImageDraw.Draw(image).rectangle((0, 0, image.width - 1, image.height - 1), outline=WARN, width=5)
    return image


def notice(size: tuple[int, int], title: str, reason: str) -> Image.Image:
    """A grey cell, of about the size (width, height), that says why there is no picture."""
    pad, line = 20, 24
    width, height = max(size[0], 240), max(size[1], 120)  # photos can be thinner than words
    text_width, lines = width - 2 * pad, (height - 3 * pad) // line - 1
    image = Image.new("RGB", (width, height), FAINT)
    image.paste(label(title, text_width, 20, paper=FAINT), (pad, pad))
    image.paste(label(reason, text_width, 18, colour=SOFT, lines=lines, paper=FAINT), (pad, pad + 34))
    return image


def row(images: Sequence[Image.Image], gap: int) -> Image.Image:
    """Side by side, aligned at the top."""
    width = sum(each.width for each in images) + gap * (len(images) - 1)
    page = Image.new("RGB", (width, max(each.height for each in images)), PAPER)
    left = 0
    for each in images:
        page.paste(each, (left, 0))
        left += each.width + gap
    return page


def stack(images: Sequence[Image.Image], gap: int) -> Image.Image:
    """One below the other, aligned at the left."""
    height = sum(each.height for each in images) + gap * (len(images) - 1)
    page = Image.new("RGB", (max(each.width for each in images), height), PAPER)
    top = 0
    for each in images:
        page.paste(each, (0, top))
        top += each.height + gap
    return page


def padded(image: Image.Image, width: int, margin: int = 0) -> Image.Image:
    """At least so wide, with a margin all around."""
    page = Image.new("RGB", (max(width, image.width) + 2 * margin, image.height + 2 * margin), PAPER)
    page.paste(image, (margin, margin))
    return page


def png(page: Image.Image) -> bytes:
    """An RGB page as a PNG file.

    Pillow weighs five filters for every line and packs them one after the other: most of a sheet's time.
    """
    colours = np.asarray(page).reshape(page.height, -1)
    lines = np.empty((page.height, colours.shape[1] + 1), np.uint8)
    lines[:, 0] = 1  # the filter "Sub": every pixel as its difference to the one before
    lines[:, 1:4] = colours[:, :3]
    np.subtract(colours[:, 3:], colours[:, :-3], out=lines[:, 4:])
    with ThreadPoolExecutor() as pool:
        packed = pool.map(_packed, (lines[start : start + 512] for start in range(0, page.height, 512)))
        data = b"".join([b"\x78\x01", *packed, b"\x03\x00", zlib.adler32(lines).to_bytes(4, "big")])
    header = struct.pack(">IIBBBBB", page.width, page.height, 8, 2, 0, 0, 0)  # 8 bits of red, green and blue each
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _packed(lines: np.ndarray) -> bytes:
    """A part of a stream that others follow: it ends at a byte's end and looks back to nothing."""
    packer = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    return packer.compress(lines) + packer.flush(zlib.Z_FULL_FLUSH)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


def _fitted(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    scale = min(box[0] / size[0], box[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@cache
def _font(built_in: bool, size: int) -> ImageFont.FreeTypeFont:
    for name in () if built_in else _WIDER_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int, lines: int) -> list[str]:
    words, wrapped = text.split(), [""]
    while words:
        word = words.pop(0)
        longer = f"{wrapped[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            wrapped[-1] = longer
        elif len(wrapped) == lines:
            end = _fitting(longer, font, width - font.getlength("…"))
            wrapped[-1] = f"{longer[:end].rstrip()}…"
            break
        elif wrapped[-1]:
            wrapped.append("")
            words.insert(0, word)
        else:
            end = _fitting(word, font, width)
            wrapped[-1:] = [word[:end], ""]
            words.insert(0, word[end:])
    return wrapped


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: float) -> int:
    """How many characters of a text fit; at least one."""
    return max(1, bisect_right(range(len(text)), width, lo=1, key=lambda end: font.getlength(text[:end])) - 1)
