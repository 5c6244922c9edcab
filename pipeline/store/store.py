"""Results by content key, shared by all runs under one outputs folder. It knows files and JSON; no stages, no runs.

    .store/blobs/ab/<sha256>.png    what was made, named by its content
    .store/results/ab/<key>.json    what a step has made: the names of its blobs
    .store/damaged/                 blobs whose content was not what their name says

It is a cache: losing it costs time and nothing else, since run folders hold their files themselves.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter
from pydantic.dataclasses import dataclass

from pipeline.files import write_atomically, writing

FOLDER = ".store"

_READ_ONLY = 0o444  # a blob has names in run folders; a program that edits one in place would change them all
_REMEMBERED = 50_000  # blobs that this process has checked

_KEY = re.compile(r"[0-9a-f]{64}")
_BLOB = re.compile(r"[0-9a-f]{64}\.(png|jpg|webp)")

Blob = Annotated[str, StringConstraints(pattern=f"^{_BLOB.pattern}$")]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class Result:
    """What a step has made: names of blobs, where it changed something.

    Attributes:
        image: the picture, a PNG.
        mask: the mask that the next stage gets, a grey PNG.
        repainted: the alpha of everything repainted so far, a grey PNG; of repaints only.
        artifacts: what else the stage shows, by label.
        figures: what the stage has measured, by label.
        thumbnail: of the image, a JPEG.
        mask_thumbnail: of `repainted`, else of the mask; a grey PNG.
        empty: there is a mask, nothing is white in it, and nothing has been repainted.
        outside_max_diff: largest difference, 0 to 255, between image and photo where nothing was repainted.
        seconds: what the stage took.
    """

    image: Blob | None = None
    mask: Blob | None = None
    repainted: Blob | None = None
    artifacts: Mapping[str, Blob] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    thumbnail: Blob | None = None
    mask_thumbnail: Blob | None = None
    empty: bool = False
    outside_max_diff: int = Field(0, ge=0, le=255)
    seconds: float = Field(0.0, ge=0)

    def blobs(self) -> Iterator[str]:
        """All names."""
        named = (self.image, self.mask, self.repainted, self.thumbnail, self.mask_thumbnail)
        yield from (name for name in (*named, *self.artifacts.values()) if name)


_RESULT = TypeAdapter(Result)


class Store:
    """The store of an outputs folder.

    Args:
        folder: `outputs/.store`; made when something is put into it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._checked: OrderedDict[str, None] = OrderedDict()
        self._lent: dict[str, Result] = {}

    def has(self, key: str) -> bool:
        """Whether there is a result, without checking its blobs."""
        return self._result(key).is_file()

    def recall(self, key: str) -> Result | None:
        """The result, whole and checked; None where it is missing or any of it is damaged."""
        try:
            result = _RESULT.validate_json(self._result(key).read_bytes())
        except (OSError, ValueError):
            result = self._lent.get(key)
        return result if result and all(self._check(name) for name in result.blobs()) else None

    def keep(self, key: str, result: Result) -> None:
        """Put a result in; its blobs are there already.

        Raises:
            OutputError: it cannot be written.
            ValueError: this is no key, but perhaps somebody's way out of the store.
        """
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r:.80} is no key")
        self._write(self._result(key), json.dumps(asdict(result), sort_keys=True).encode())

    def lend(self, key: str, result: Result) -> None:
        """Take a result from a run folder, for this process alone: nobody can tell whether it is what its key says."""
        self._lent[key] = result

    def add(self, data: bytes, suffix: str) -> str:
        """Put a blob in and return its name.

        Args:
            data: its content.
            suffix: of its name, such as `.png`.

        Raises:
            OutputError: it cannot be written.
        """
        name = hashlib.sha256(data).hexdigest() + suffix
        if not self._check(name):
            self._write(self.path(name), data, _READ_ONLY)
            self._remember(name)
        return name

    def adopt(self, path: Path, name: str) -> bool:
        """Take a file of a run folder in as a blob, if that is what it is; returns whether the blob is there now.

        It is copied: the store shares no file that others may write to.
        """
        if not _BLOB.fullmatch(name):  # run folders come from strangers, too
            return False
        if self._check(name):
            return True
        try:
            data = path.read_bytes() if path.is_file() else b""
        except OSError:
            return False
        return hashlib.sha256(data).hexdigest() == Path(name).stem and self.add(data, Path(name).suffix) == name

    def read(self, name: str) -> bytes:
        """A blob's content. It was checked by `recall`, `add` or `adopt`.

        Raises:
            OSError: it has gone since.
        """
        return self.path(name).read_bytes()

    def path(self, name: str) -> Path:
        """Where a blob lies."""
        return self.folder / "blobs" / name[:2] / name

    def _result(self, key: str) -> Path:
        return self.folder / f"results/{key[:2]}/{key}.json"  # one join: a dry run asks for each of many results

    def _write(self, target: Path, data: bytes, mode: int | None = None) -> None:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, data, mode)

    def _check(self, name: str) -> bool:
        """Whether a blob is there with the content that its name says; one that has another is put aside."""
        if name in self._checked:
            self._checked.move_to_end(name)
            return True
        path = self.path(name)
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return False
        if digest != path.stem:
            self._put_aside(path)
            return False
        self._remember(name)
        return True

    def _remember(self, name: str) -> None:
        self._checked[name] = None
        if len(self._checked) > _REMEMBERED:
            self._checked.popitem(last=False)

    def _put_aside(self, path: Path) -> None:
        damaged = self.folder / "damaged"
        with suppress(OSError):
            damaged.mkdir(exist_ok=True)
            path.replace(damaged / path.name)
