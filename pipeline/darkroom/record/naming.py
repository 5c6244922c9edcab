"""Names of photo folders: the photo's own name, in its own script."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from functools import lru_cache
from pathlib import Path, PurePath, PurePosixPath

from darkroom.dataset import Photo
from darkroom.imaging.codec import FORMATS
from darkroom.system.file_names import FORBIDDEN, is_portable

RESULTS, THUMBNAILS = "results", "thumbnails"  # in a run folder, beside the folders of the photos

_MAX_BYTES = 100  # of a name; stages and variants are added to it, and file systems take 255
_REPLACED = FORBIDDEN | {".", "~"}  # a dot separates a name from its variants, ~ from a suffix or number


def folder_name(photo: Photo) -> str:
    """A name for a photo's folder that no other photo of the dataset has, and that every system allows.

    `day 1/Müller.jpg` becomes `day 1__Müller`; if `Müller.png` lies beside it, `day 1__Müller~jpg`. Names that are too
    long, or not allowed for folders, are changed and get 8 digits of their SHA-256.
    """
    path = PurePosixPath(photo.name)
    parts = [part for part in path.parts if part not in ("/", "..")]
    is_picture = path.suffix.lower() in FORMATS
    stem = path.stem if is_picture else path.name
    wanted = "__".join([*parts[:-1], stem])
    name = "".join("_" if char in _REPLACED or not char.isprintable() else char for char in wanted).strip()
    is_within = len(parts) == len(path.parts)
    is_unique = name == wanted and is_picture and is_within and not any("__" in part for part in parts)
    if not is_unique or len(name.encode()) > _MAX_BYTES or not is_folder_name(name):
        digest = hashlib.sha256(photo.name.encode(errors="surrogateescape")).hexdigest()[:8]
        short = (name if is_within else name.rpartition("__")[2]).encode()[: _MAX_BYTES - 9]
        name = f"{short.decode(errors='ignore').strip() or 'photo'}-{digest}"
    return f"{name}~{path.suffix[1:]}" if is_picture and _has_twin(photo.path) else name


def is_folder_name(name: str) -> bool:
    """Whether a photo's folder can have this name; a stranger's journal may hold any text."""
    return is_portable(name) and "." not in name and name.casefold() not in (RESULTS, THUMBNAILS)


def _has_twin(path: Path) -> bool:
    """Whether another picture beside it differs only in the suffix of its name."""
    return _stems(path.parent)[path.stem] > 1


@lru_cache(maxsize=64)
def _stems(folder: Path) -> Counter[str]:
    """How many pictures of a folder have each name, without suffix."""
    try:
        paths = map(PurePath, os.listdir(folder))  # noqa: PTH208  # names alone
        return Counter(path.stem for path in paths if path.suffix.lower() in FORMATS)
    except OSError:
        return Counter()
