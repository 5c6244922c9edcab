"""Results by content key, shared by all runs under one outputs folder. It knows files and JSON; no stages, no runs.

    .store/CACHEDIR.TAG             says that it is one of Darkroom's
    .store/blobs/ab/<sha256>.png    what was made, named by its content
    .store/results/ab/<key>.json    what a step has made: the names of its blobs; with the user's seal
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
from typing_extensions import TypedDict  # pydantic asks for it before Python 3.12

from darkroom.errors import OutputError
from darkroom.store.seal import is_sealed, seal
from darkroom.system.files import Folder, writing

FOLDER = ".store"

_READ_ONLY = 0o444  # a blob has names in run folders; a program that edits one in place would change them all
_REMEMBERED = 50_000  # blobs that this process has checked
_MAX_ENTRY = 1_000_000  # bytes

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


class _Entry(TypedDict):
    """A file of `results/`: a `Result` as JSON, and the seal of this JSON with its key."""

    result: str
    seal: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


_ENTRY = TypeAdapter(_Entry)
_RESULT = TypeAdapter(Result)
_MARK = "CACHEDIR.TAG"
_MARK_TEXT = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"  # https://bford.info/cachedir/
    "# This folder is a store of Darkroom. Everything in it can be computed again.\n"
)


class Store:
    """The store of an outputs folder.

    Its entries are sealed with the user's own key: what somebody else has put there, or changed, counts as missing.

    Args:
        folder: `outputs/.store`; made when something is put into it.

    Attributes:
        folder: as given.
        files: what is in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = Folder(folder)
        self._checked: OrderedDict[str, None] = OrderedDict()
        self._lent: dict[str, Result] = {}

    def claim(self) -> None:
        """Make the folder and mark it as a store.

        Raises:
            OutputError: it cannot be made, is a link, or holds something else.
        """
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self.is_marked():
                if not all(map(Folder.is_leftover, self.files.files())):
                    text = "is not a store of Darkroom; rename it or choose another folder: outputs=DIR"
                    raise OutputError(f"{self.folder}: {text}")
                self.files.write(_MARK, _MARK_TEXT.encode())

    def is_marked(self) -> bool:
        """Whether the folder is a store, not a link to one and not another program's folder of that name."""
        if self.folder.is_symlink():
            raise OutputError(f"{self.folder}: is a link; a store is a folder of its own")
        with suppress(OSError):
            return self.files.read(_MARK, len(_MARK_TEXT) + 1) == _MARK_TEXT.encode()
        return False

    def has(self, key: str) -> bool:
        """Whether there is a result, without checking its blobs."""
        return self._entry(key) is not None

    def recall(self, key: str) -> Result | None:
        """The result, whole and checked; None where it is missing or any of it is damaged."""
        result = self._entry(key)
        return result if result and all(map(self.holds, result.blobs())) else None

    def keep(self, key: str, result: Result) -> None:
        """Put a result in; its blobs are there already.

        Raises:
            OutputError: it cannot be written.
            ValueError: this is no key, but perhaps somebody's way out of the store.
        """
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r:.80} is no key")
        text = json.dumps(asdict(result), sort_keys=True)
        self._write(_entry_path(key), json.dumps({"result": text, "seal": seal(f"{key} {text}")}).encode())

    def lend(self, key: str, result: Result) -> None:
        """Use a result of a run folder in this process only; its key cannot be verified."""
        self._lent[key] = result

    def lent(self, key: str) -> Result | None:
        """A result that was lent, with all its blobs there."""
        result = self._lent.get(key)
        return result if result and all(map(self.holds, result.blobs())) else None

    def add(self, data: bytes, suffix: str) -> str:
        """Put a blob in and return its name.

        Args:
            data: its content.
            suffix: of its name, such as `.png`.

        Raises:
            OutputError: it cannot be written.
        """
        name = hashlib.sha256(data).hexdigest() + suffix
        if not self.holds(name):
            self._write(self.path(name), data, _READ_ONLY)
            self._remember(name)
        return name

    def adopt(self, folder: Folder, path: str, name: str) -> bool:
        """Take a file of a run folder in as a blob, if that is what it is; returns whether the blob is there now.

        It is copied: the store shares no file that others may write to.
        """
        if not _BLOB.fullmatch(name):  # run folders come from strangers, too
            return False
        if self.holds(name):
            return True
        try:
            data = folder.read(path)
        except OSError:
            return False
        return hashlib.sha256(data).hexdigest() == Path(name).stem and self.add(data, Path(name).suffix) == name

    def read(self, name: str) -> bytes:
        """A blob's content. It was checked by `recall`, `lent`, `add` or `adopt`.

        Raises:
            OSError: it has gone since.
        """
        return self.files.read(self.path(name))

    def path(self, name: str) -> str:
        """Where a blob lies in the store."""
        return f"blobs/{name[:2]}/{name}"

    def holds(self, name: str) -> bool:
        """Whether a blob is there with the content that its name says; one that has another is put aside."""
        if name in self._checked:
            self._checked.move_to_end(name)
            return True
        if not _BLOB.fullmatch(name):
            return False
        path = self.path(name)
        try:
            digest = self.files.digest(path)
        except OSError:
            return False
        if digest != Path(name).stem:
            with suppress(OSError):
                self.files.move(path, f"damaged/{name}")
            return False
        self._remember(name)
        return True

    def is_blob(self, folder: Folder, path: str) -> bool:
        """Whether a file of a run folder is a hard link to one of the blobs, so that nothing is lost with it."""
        try:
            name = folder.digest(path) + Path(path).suffix
            one, other = folder.status(path), self.files.status(self.path(name))
        except OSError:
            return False
        return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)

    def blobs(self) -> Iterator[tuple[str, int, int]]:
        """Path, size in bytes and number of names of every blob, the damaged ones too."""
        for path in self.files.files():
            folder, _, name = path.rpartition("/")
            if _BLOB.fullmatch(name) and folder in (f"blobs/{name[:2]}", "damaged"):
                status = self.files.status(path)
                yield path, status.st_size, status.st_nlink

    def entries(self) -> Iterator[tuple[str, str]]:
        """Path and key of every result."""
        for path in self.files.files():
            folder, _, name = path.rpartition("/")
            if folder == f"results/{name[:2]}" and name.endswith(".json") and _KEY.fullmatch(name[:-5]):
                yield path, name[:-5]

    def _entry(self, key: str) -> Result | None:
        """What is stored under a key, if this user stored it."""
        try:
            entry = _ENTRY.validate_json(self.files.read(_entry_path(key), _MAX_ENTRY))
            if is_sealed(f"{key} {entry['result']}", entry["seal"]):
                return _RESULT.validate_json(entry["result"])
        except (OSError, ValueError):
            pass
        return None

    def _write(self, path: str, data: bytes, mode: int | None = None) -> None:
        with writing(self.folder / path):
            self.files.write(path, data, mode)

    def _remember(self, name: str) -> None:
        self._checked[name] = None
        if len(self._checked) > _REMEMBERED:
            self._checked.popitem(last=False)


def _entry_path(key: str) -> str:
    return f"results/{key[:2]}/{key}.json"
