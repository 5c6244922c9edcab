"""Estimates how much disk space a run would take, from the sizes in the headers of its photos."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

from darkroom.config.settings import Results
from darkroom.dataset import Photo
from darkroom.imaging.codec import PhotoSize, read_size
from darkroom.imaging.thumbnails import BOX
from darkroom.stages import STAGES

SIZES_READ = 1_000  # photos

# Bytes per pixel of files that Darkroom wrote of the photographs in examples/: medians, rounded up. Masks, mattes and
# heatmaps are mostly even.
_PNG, _PNG_16_BITS, _MASK = 1.5, 5.0, 0.1
_SCALE = 2  # of `upscale`, by default
_FORMATS: Mapping[str, float] = {"png": _PNG, "jpeg": 0.45, "webp": 0.3, "tiff": 2.0}
_OUTPUTS: Mapping[str, float] = {"cutout": 1.0, "mask": _MASK, "layers": 6.0}
_THUMBNAIL = 0.25
_BLOCK = 4096  # bytes: most file systems give files whole blocks of this size
_LINES = 3000  # bytes of a picture's line in the journal and of its place on the page


def _file(count: float) -> float:
    """What a file of so many bytes takes."""
    return max(_BLOCK, count + _BLOCK / 2)


def _picture(size: PhotoSize) -> float:
    return _file(size.pixels * (_PNG_16_BITS if size.bits == 16 else _PNG))


def _thumbnail(size: PhotoSize) -> float:
    return _file(min(size.pixels, prod(BOX)) * _THUMBNAIL)


def bytes_of_photo(size: PhotoSize) -> float:
    """Of the decoded copy, its entry in the store, and the thumbnail."""
    return _picture(size) + _BLOCK + _thumbnail(size)


def bytes_of_result(op: str, size: PhotoSize) -> float:
    """Of what the store keeps of a step: an entry, and pictures."""
    kind = STAGES[op]
    if kind.enlarges:
        return _BLOCK + _file(size.pixels * _PNG * _SCALE**2)
    if kind.is_gate or kind.frames:
        return _BLOCK
    return _BLOCK + _file(size.pixels * _MASK) + (_picture(size) if kind.repaints else 0.0)


def bytes_of_outputs(results: Results, size: PhotoSize) -> float:
    """Of what a run folder holds of a picture, apart from hard links into the store, such as a PNG in `results/`."""
    says_more = results.gps or results.disclose or results.c2pa_certificate
    total = _thumbnail(size) + _LINES
    for kind in results.what:
        if kind == "picture" and results.format == "png" and not says_more:
            continue
        total += _file(size.pixels * _OUTPUTS.get(kind, _FORMATS[results.format]))
    return total


class Space:
    """About how much disk space the missing results of a run take.

    Attributes:
        is_extrapolated: whether photos were taken to need as much for each result as the first `SIZES_READ`.
    """

    def __init__(self) -> None:
        self._sizes: dict[str | Path, PhotoSize] = {}
        self._photos = self._results = self._measured = 0
        self._bytes = 0.0

    @property
    def bytes(self) -> float:
        """Of all results."""
        return self._bytes * self._results / (self._measured or 1)

    @property
    def is_extrapolated(self) -> bool:
        """See above."""
        return self._results > self._measured

    def add(self, photo: Photo, results: Results, missing: Sequence[str], is_unread: bool, delivered: int) -> None:
        """Add what a photo needs.

        Args:
            photo: the photo.
            results: how its pictures are delivered.
            missing: the ops of its missing results.
            is_unread: its decoded copy is missing, too.
            delivered: how many of its pictures are missing.
        """
        self._results += len(missing) + is_unread
        if self._photos == SIZES_READ:
            return
        self._photos += 1
        size = self._sizes.get(photo.location)
        if size is None:
            size = self._sizes[photo.location] = read_size(photo.path) or PhotoSize(0, 8)
        self._measured = self._results
        self._bytes += bytes_of_photo(size) * is_unread + bytes_of_outputs(results, size) * delivered
        self._bytes += sum(bytes_of_result(op, size) for op in missing)


def disk_line(needed: float, outputs: Path, whose: str = "the photos'") -> str:
    """The line of a dry run, with the space that is free where run folders go."""
    there = next(folder for folder in (outputs, *outputs.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    warning = ": not enough" if needed > free else ""
    return f"disk: about {_size(needed)}, judging by {whose} sizes; {_size(free)} free{warning}"


def _size(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"
