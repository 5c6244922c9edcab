"""Names of photo folders: the photo's own name, in its own script."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from functools import lru_cache
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

from darkroom.dataset import Photo
from darkroom.imaging.codec import FORMATS
from darkroom.system.file_names import FORBIDDEN, fold, is_portable

RESULTS, THUMBNAILS = "results", "thumbnails"  # in a run folder, beside the folders of the photos

_MAX_BYTES = 100  # of a name; stages and variants are added to it, and file systems take 255
_REPLACED = FORBIDDEN | {".", "~"}  # a dot separates a name from its variants, ~ from a suffix or number


def folder_name(photo: Photo) -> str:
    """A name for a photo's folder that no other photo of the dataset has, and that every system allows.

    `day 1/Müller.jpg` becomes `day 1__Müller`; if `Müller.png` lies beside it, `day 1__Müller~jpg`. Names that are too
    long, or not allowed for folders, or that differ from a neighbour's only in case or in the way accents are encoded,
    are changed and get 8 digits of their SHA-256.
    """
    path = PurePosixPath(unicodedata.normalize("NFC", photo.name))
    parts = [part for part in path.parts if part not in ("/", "..")]
    is_picture, is_within = path.suffix.lower() in FORMATS, len(parts) == len(path.parts)
    twins = _twins(photo.path) if is_picture else _Twins(1, 1)
    wanted = "__".join([*parts[:-1], path.stem if is_picture else path.name])
    name = replace_forbidden(wanted, _REPLACED)
    is_unique = name == wanted and is_picture and is_within and not any("__" in part for part in parts)
    if not is_unique or twins.names > 1 or len(name.encode()) > _MAX_BYTES or not is_folder_name(name):
        digest = digits_of(photo.name if twins.names > 1 else path.as_posix())
        name = name if is_within else name.rpartition("__")[2]
        name = f"{shortened(name, _MAX_BYTES - 9) or 'photo'}-{digest}"
    return f"{name}~{path.suffix[1:]}" if twins.stems > twins.names else name


def is_folder_name(name: str) -> bool:
    """Whether a photo's folder can have this name; a stranger's journal may hold any text."""
    return is_portable(name) and "." not in name and name.casefold() not in (RESULTS, THUMBNAILS)


def replace_forbidden(text: str, forbidden: frozenset[str] = FORBIDDEN) -> str:
    """A name with `_` in place of characters that are forbidden or not printable, without spaces at its ends."""
    return "".join("_" if char in forbidden or not char.isprintable() else char for char in text).strip()


def with_kind(name: str, kind: str) -> str:
    """The name of one of a picture's files in `results/`: a cut-out, mask or background says what it is."""
    return name if kind in ("picture", "layers") else f"{name}.{kind}"


def shortened(name: str, most: int) -> str:
    """The beginning of a name, of at most `most` bytes in UTF-8."""
    return name.encode()[:most].decode(errors="ignore").strip()


def digits_of(text: str) -> str:
    """8 hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]


class _Twins(NamedTuple):
    """The number of pictures in a folder that share a name with a picture, itself included.

    Attributes:
        stems: equal without the suffix.
        names: equal with the suffix.
    """

    stems: int
    names: int


def _twins(path: Path) -> _Twins:
    try:
        stems, names = _pictures(path.parent, path.parent.stat().st_mtime_ns)
    except (OSError, ValueError):  # a NUL in the path
        return _Twins(1, 1)
    return _Twins(stems[fold(path.stem)], names[fold(path.name)])


@lru_cache(maxsize=64)
def _pictures(folder: Path, _modified: int) -> tuple[Counter[str], Counter[str]]:
    """How many pictures of a folder have each name, without and with the suffix."""
    paths = [PurePath(name) for name in os.listdir(folder)]  # noqa: PTH208  # names alone
    found = [path for path in paths if path.suffix.lower() in FORMATS]
    return Counter(fold(path.stem) for path in found), Counter(fold(path.name) for path in found)
