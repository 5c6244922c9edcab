"""The parts of a contact sheet: labels, thumbnails, rows and columns."""

from __future__ import annotations

import string
import warnings
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache, lru_cache
from io import BytesIO

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from darkroom.imaging.thumbnails import PAPER
from darkroom.system.files import Folder

INK, SOFT, FAINT = "#1f1f1e", "#767470", "#e9e7e3"
TINT, OUTLINE = "#8e7cf0", "#3a1fd1"  # violet, because it is rare in photos
WARN = "#a8321f"

_MAX_BYTES, _MAX_PIXELS = 16_000_000, 4_000_000  # limits for a thumbnail

_BUILT_IN = frozenset(string.printable + "…·“”‘’")  # the characters of Pillow's own font
_WIDER_FONTS = ("NotoSans-Regular.ttf", "DejaVuSans.ttf", "Arial.ttf", "arial.ttf")


_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=64)  # captions repeat from photo to photo
def label(text: str, width: int, size: int, *, colour: str = INK, lines: int = 1, paper: str = PAPER) -> Image.Image:
    """Text on paper, wrapped at `width` pixels and cut after `lines` lines with an ellipsis.

    Calls share the image: paste it, do not change it.
    """
    text = "".join(char if char.isprintable() else " " if char.isspace() else "?" for char in text)
    font = _font(set(text) <= _BUILT_IN, size)
    wrapped = _wrap(text, font, width, lines)
    height = round(size * 1.35)
    image = Image.new("RGB", (width, height * len(wrapped)), paper)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(wrapped):
        draw.text((0, number * height + size), line, fill=colour, font=font, anchor="ls")
    return image


def read_thumbnail(folder: Folder, path: str, box: tuple[int, int] | None = None) -> Image.Image:
    """Decode a thumbnail. The path comes from a journal, which may be a stranger's.

    Args:
        folder: the run folder.
        path: the thumbnail's path in it.
        box: (width, height) that it will be scaled to fit; a JPEG that is at least twice as large is decoded at half
            its size or less, which takes a third of the time.

    Raises:
        OSError: the file is missing, damaged or too large for a thumbnail.
    """
    data = folder.read(path, _MAX_BYTES)
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(BytesIO(data), formats=("PNG", "JPEG")) as image:
            if image.width * image.height <= _MAX_PIXELS:
                if box:
                    image.draft(None, _fitted(image.size, box))
                image.load()
                return image
    # No raise_if_interrupted() here: the report of an interrupted run is drawn after the interruption.
    except Exception as error:  # foreign bytes: OSError, SyntaxError, struct.error, zlib.error, ...
        raise OSError(f"cannot be decoded: {error}") from None
    raise OSError("too large for a thumbnail")


def thumbnail(folder: Folder, path: str, box: tuple[int, int]) -> Image.Image:
    """A thumbnail scaled to fit a box of (width, height), or a notice where it is missing or damaged."""
    try:
        image = read_thumbnail(folder, path, box)
    except OSError as error:
        title, reason = "damaged", "is not a readable picture"
        if isinstance(error, FileNotFoundError):
            title, reason = "missing", "is not in the run folder"
        return notice((box[0], box[0] * 2 // 3), title, f"{path.rpartition('/')[2]} {reason}")
    fitted = _fitted(image.size, box)
    image = image.convert("RGB")
    return image if image.size == fitted else image.resize(fitted, Image.Resampling.HAMMING)


def tinted(photo: Image.Image, folder: Folder, path: str) -> tuple[Image.Image, float]:
    """A photo with the masked area tinted and outlined, and the mean of the mask, 0 to 1.

    Raises:
        OSError: the mask cannot be read.
    """
    mask = read_thumbnail(folder, path).convert("L").resize(photo.size, Image.Resampling.BOX)
    grey = photo.convert("L").convert("RGB")
    violet = Image.blend(grey, Image.new("RGB", photo.size, TINT), 0.6)
    histogram = mask.histogram()
    mean = sum(value * number for value, number in enumerate(histogram)) / (255 * sum(histogram))
    tint = Image.composite(violet, photo, mask)
    white = (np.asarray(mask) >= 128) * np.uint8(255)
    tint.paste(OUTLINE, mask=Image.fromarray(cv2.dilate(white, np.ones((5, 5), np.uint8)) - white))
    return tint, mean


def framed(image: Image.Image) -> Image.Image:
    """A picture with a warning frame."""
    image = image.copy()
    ImageDraw.Draw(image).rectangle((0, 0, image.width - 1, image.height - 1), outline=WARN, width=5)
    return image


def notice(size: tuple[int, int], title: str, reason: str) -> Image.Image:
    """A grey cell of about (width, height) pixels that says why there is no picture."""
    pad, line = 20, 24
    width, height = max(size[0], 240), max(size[1], 120)  # room for the text even if the photo is narrow
    text_width, lines = width - 2 * pad, (height - 3 * pad) // line - 1
    image = Image.new("RGB", (width, height), FAINT)
    image.paste(label(title, text_width, 20, paper=FAINT), (pad, pad))
    image.paste(label(reason, text_width, 18, colour=SOFT, lines=lines, paper=FAINT), (pad, pad + 34))
    return image


def row(images: Sequence[Image.Image], gap: int) -> Image.Image:
    """Pictures side by side, aligned at the top, `gap` pixels apart."""
    width = sum(image.width for image in images) + gap * (len(images) - 1)
    page = Image.new("RGB", (width, max(image.height for image in images)), PAPER)
    left = 0
    for image in images:
        page.paste(image, (left, 0))
        left += image.width + gap
    return page


def stack(images: Sequence[Image.Image], gap: int) -> Image.Image:
    """Pictures one below another, aligned at the left, `gap` pixels apart."""
    height = sum(image.height for image in images) + gap * (len(images) - 1)
    page = Image.new("RGB", (max(image.width for image in images), height), PAPER)
    top = 0
    for image in images:
        page.paste(image, (0, top))
        top += image.height + gap
    return page


def padded(image: Image.Image, width: int, margin: int = 0) -> Image.Image:
    """A picture on paper at least `width` pixels wide, with a margin on all sides."""
    page = Image.new("RGB", (max(width, image.width) + 2 * margin, image.height + 2 * margin), PAPER)
    page.paste(image, (margin, margin))
    return page


def jpeg(page: Image.Image) -> bytes:
    """An RGB page as a JPEG file: a fifth of the bytes of a PNG file, in a third of its time."""
    file = BytesIO()
    page.save(file, "JPEG", quality=88, subsampling="4:4:4")
    return file.getvalue()


def _fitted(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    scale = min(box[0] / size[0], box[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@cache
def _font(built_in: bool, size: int) -> _Font:
    for name in () if built_in else _WIDER_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _wrap(text: str, font: _Font, width: int, lines: int) -> list[str]:
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


def _fitting(text: str, font: _Font, width: float) -> int:
    """The number of leading characters that fit into `width` pixels, at least 1."""
    return max(1, bisect_right(range(len(text)), width, lo=1, key=lambda end: font.getlength(text[:end])) - 1)
