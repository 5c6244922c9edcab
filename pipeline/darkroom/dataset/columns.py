"""The columns that every photo has without a table, such as `${item.stem}` and `${item.caption}`.

A column of the same name in a manifest takes their place.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from darkroom.dataset.listing import caption_names
from darkroom.errors import PhotoError
from darkroom.imaging.codec import read_capture_metadata
from darkroom.system.files import Folder

_MAX_CAPTION = 100_000  # bytes
_BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def _caption(path: Path) -> str:
    """The text of `car.txt` or `car.TXT` beside `car.jpg`, in one line.

    A link is not followed: a folder from a stranger must not carry a private file into the metadata of pictures.
    """
    folder, names = Folder(path.parent), caption_names(path)
    name = next(filter(folder.holds, names), names[0])
    try:
        data = folder.read(name, _MAX_CAPTION)
    except FileNotFoundError:
        raise PhotoError(f"caption: there is no {name} beside the photo") from None
    except OSError as error:
        raise PhotoError(f"caption: {name}: cannot be read: {error.strerror}") from None
    try:
        text = data.decode(_BYTE_ORDER_MARKS.get(data[:2], "utf-8-sig"))
    except UnicodeDecodeError:
        raise PhotoError(f"caption: {name}: not UTF-8 text") from None
    if "\0" in text:
        raise PhotoError(f"caption: {name}: holds a null character")
    if not (words := text.split()):
        raise PhotoError(f"caption: {name}: is empty")
    return " ".join(words)


def _date(path: Path) -> str:
    """The day on which a photo was taken, or else last changed, by its EXIF entries, such as `2026-11-30`."""
    texts = read_capture_metadata(path).texts
    time = texts.get("DateTimeOriginal") or texts.get("DateTime")
    if time is None:
        raise PhotoError("date: the photo has no EXIF date")
    return time.partition(" ")[0].replace(":", "-")


BUILT_IN: Mapping[str, Callable[[Path], str]] = MappingProxyType(
    {
        "stem": lambda path: path.stem,
        "folder": lambda path: path.parent.name,
        "caption": _caption,
        "date": _date,
    }
)
"""Column to the function that finds its value for a photo's file, or raises `PhotoError`."""
