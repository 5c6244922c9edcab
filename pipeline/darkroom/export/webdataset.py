"""WebDataset: tar files, in which the files of a picture lie side by side and share a number."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Self

from darkroom.export.imagefolder import mask_png
from darkroom.export.labels import to_json
from darkroom.export.pictures import Example

_BLOCK = 512  # bytes: in a tar, a file takes one for its header, and whole ones for its content


def write(folder: Path, examples: Iterable[Example], shard_mb: int) -> None:
    """Write `000000.tar` and so on, or `SPLIT-000000.tar`.

    Each picture has `NUMBER.png` (or its own suffix), `NUMBER.mask.png` (white is the object) and `NUMBER.json`.

    Args:
        folder: where to.
        examples: the pictures.
        shard_mb: the largest size of a tar file in MB, unless one picture alone is larger.
    """
    with ExitStack() as stack:
        shards: dict[str | None, _Shards] = {}
        for example in examples:
            if example.split not in shards:
                prefix = f"{example.split}-" if example.split else ""
                shards[example.split] = stack.enter_context(_Shards(folder, prefix, shard_mb * 1_000_000))
            shards[example.split].add(_files(example))


def _files(example: Example) -> dict[str, bytes]:
    """The files of a picture by name. No name has a dot but before its suffix: readers cut names at the first dot."""
    known = {name: value for name, value in example.columns.items() if value is not None}
    label = {"label": example.label} if example.label is not None else {}
    files = {f"{example.name}{example.suffix}": example.data}
    if example.object is not None:
        files[f"{example.name}.mask.png"] = mask_png(example)
    return {**files, f"{example.name}.json": to_json({**label, **known})}


class _Shards:
    """The tar files of one split. Their bytes depend on names and contents alone.

    Args:
        folder: where they are.
        prefix: of their names.
        limit: bytes.
    """

    def __init__(self, folder: Path, prefix: str, limit: int) -> None:
        self._folder, self._prefix, self._limit = folder, prefix, limit
        self._number = 0
        self._shard = ExitStack()  # closes the open tar file
        self._tar: tarfile.TarFile | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._shard.close()

    def add(self, files: Mapping[str, bytes]) -> None:
        """Add the files of one picture; they are never in two tar files."""
        size = sum(_BLOCK + _rounded(len(data), _BLOCK) for data in files.values())
        if self._tar is None or _size_with_end(self._tar.offset + size) > self._limit:
            self._tar = self._next()
        for name, data in files.items():
            entry = tarfile.TarInfo(name)  # time, owner and group are 0
            entry.size = len(data)
            self._tar.addfile(entry, BytesIO(data))

    def _next(self) -> tarfile.TarFile:
        self._shard.close()
        file = self._shard.enter_context((self._folder / f"{self._prefix}{self._number:06}.tar").open("xb"))
        self._shard.callback(lambda: os.fsync(file.fileno()))
        self._shard.callback(file.flush)
        self._number += 1
        return self._shard.enter_context(tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT))


def _rounded(size: int, to: int) -> int:
    return -(-size // to) * to


def _size_with_end(size: int) -> int:
    """The size of a closed tar file: two empty blocks follow, and whole records are written."""
    return _rounded(size + 2 * _BLOCK, tarfile.RECORDSIZE)
