"""Names of the photos' folders: the photo's own name, in its own letters."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from functools import lru_cache
from pathlib import Path, PurePath, PurePosixPath

from darkroom.dataset import Photo
from darkroom.imaging.codec import FORMATS

RESULTS, THUMBNAILS = "results", "thumbnails"  # in a run folder, besides one folder for each photo

_MAX_BYTES = 100  # of a name; stages and variants are added to it, and file systems take 255
# Windows takes none of these; a dot parts a name from its variant, ~ from its suffix or number.
_REPLACED = frozenset('<>:"/\\|?*.~')
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}
_RESERVED = {RESULTS, THUMBNAILS, *_DEVICES}


def folder_name(photo: Photo) -> str:
    """A name for a photo's folder, which no other photo of the dataset has.

    `day 1/Müller.jpg` becomes `day 1__Müller`; where `Müller.png` lies beside it, `day 1__Müller~jpg`. Names that are
    too long, or hold what folders cannot have, are shortened and get 8 digits of their SHA-256.
    """
    path = PurePosixPath(photo.name)
    parts = [part for part in path.parts if part not in ("/", "..")]
    is_picture = path.suffix.lower() in FORMATS
    stem = path.stem if is_picture else path.name
    wanted = "__".join([*parts[:-1], stem])
    name = "".join("_" if each in _REPLACED or not each.isprintable() else each for each in wanted).strip()
    whole = name == wanted and is_picture and len(parts) == len(path.parts) and not any("__" in each for each in parts)
    if not whole or len(name.encode()) > _MAX_BYTES or name.casefold() in _RESERVED:
        digest = hashlib.sha256(photo.name.encode(errors="surrogateescape")).hexdigest()[:8]
        short = (name if len(parts) == len(path.parts) else name.rpartition("__")[2]).encode()[: _MAX_BYTES - 9]
        name = f"{short.decode(errors='ignore').strip() or 'photo'}-{digest}"
    return f"{name}~{path.suffix[1:]}" if is_picture and _has_twin(photo.path) else name


def is_folder_name(name: str) -> bool:
    """Whether a photo's folder can have this name; a journal, which may be anybody's, may say another."""
    return name.casefold() not in _RESERVED and not set(name) & (_REPLACED - {"~"})


def _has_twin(path: Path) -> bool:
    """Whether another picture beside it has the same name but for the suffix."""
    return _stems(path.parent)[path.stem] > 1


@lru_cache(maxsize=64)
def _stems(folder: Path) -> Counter[str]:
    """The names of the pictures in a folder without their suffixes, and how many pictures have each."""
    try:
        paths = map(PurePath, os.listdir(folder))  # noqa: PTH208  # names alone
        return Counter(path.stem for path in paths if path.suffix.lower() in FORMATS)
    except OSError:
        return Counter()
