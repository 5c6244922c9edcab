"""Results by content key, shared by all runs in one outputs folder. The store knows files and JSON, no stages or runs.

    .store/CACHEDIR.TAG             marks the folder as a cache of Darkroom
    .store/blobs/ab/<sha256>.png    files, named by their content
    .store/results/ab/<key>.json    the result of a step: the names of its blobs, sealed with the user's key
    .store/damaged/                 blobs whose content did not match their name

The store is a cache: losing it costs only computing time, because run folders hold their own files.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict  # pydantic requires it before Python 3.12

from darkroom.errors import OutputError
from darkroom.imaging.layers import LayerSide
from darkroom.store.seal import is_sealed, seal
from darkroom.system.files import Folder, writing
from darkroom.system.profiling import span

FOLDER = ".store"
UNSAFE = "UNSAFE"  # a file in a store on a file system where locks or renames do not hold

_READ_ONLY = 0o444  # run folders hold hard links to blobs; a program that writes into one would change them all
_REMEMBERED = 50_000  # names of checked blobs that are kept in memory
_MAX_ENTRY = 1_000_000  # bytes

_KEY = re.compile(r"[0-9a-f]{64}")
_BLOB = re.compile(r"[0-9a-f]{64}\.(png|jpg|webp|psd|npy)")

Blob = Annotated[str, StringConstraints(pattern=f"^{_BLOB.pattern}$")]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class Result:
    """The result of a step: names of blobs for what it changed, and measurements.

    Attributes:
        image: the picture, a PNG.
        mask: the mask for the next stage, a grey PNG.
        repainted: the maximum of all blend masks so far (`Edit.repainted`), a grey PNG; only from repaints.
        layers: `inside` and `outside` (`Layers`), RGB PNGs; empty if the edit has none.
        artifacts: further pictures, by label; grey PNGs.
        figures: measurements, by label.
        thumbnail: of the image, a JPEG.
        mask_thumbnail: of `repainted`, or else of the mask; a grey PNG.
        enlarged: the picture, larger than the photo, a PNG.
        embedding: of a photo, by SAM; a NumPy file. It is no step of a recipe.
        empty: the mask is black everywhere, and nothing has been repainted.
        outside_max_diff: largest difference, 0 to 255, between image and photo where nothing was repainted.
        seconds: computing time.
    """

    image: Blob | None = None
    mask: Blob | None = None
    repainted: Blob | None = None
    layers: Mapping[LayerSide, Blob] = field(default_factory=dict)
    artifacts: Mapping[str, Blob] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    thumbnail: Blob | None = None
    mask_thumbnail: Blob | None = None
    enlarged: Blob | None = None
    embedding: Blob | None = None
    empty: bool = False
    outside_max_diff: Annotated[int, Field(ge=0, le=255)] = 0
    seconds: Annotated[float, Field(ge=0)] = 0.0

    def blobs(self) -> Iterator[str]:
        """The names of all its blobs."""
        names = (self.image, self.mask, self.repainted, self.thumbnail, self.mask_thumbnail)
        more = (self.enlarged, self.embedding, *self.layers.values(), *self.artifacts.values())
        yield from (name for name in (*names, *more) if name)


class _Entry(TypedDict):
    """A file of `results/`: a `Result` as JSON text, and the seal of this text with its key."""

    result: str
    seal: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


@cache
def _schema(kind: Any) -> TypeAdapter[Any]:
    """Made at first use, as a recipe that is refused needs none."""
    return TypeAdapter(kind)


_TAG = "CACHEDIR.TAG"
_TAG_TEXT = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"  # https://bford.info/cachedir/
    "# This folder is a store of Darkroom. Everything in it can be computed again.\n"
)


class Store:
    """The store of an outputs folder.

    Entries are sealed with the user's own key: an entry that somebody else wrote or changed counts as missing. Several
    threads may use it.

    Args:
        folder: `outputs/.store`; created with the first file.

    Attributes:
        folder: as given.
        files: the folder's files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = Folder(folder)
        self._checked: OrderedDict[str, None] = OrderedDict()
        self._checked_lock = threading.Lock()
        self._unverified: dict[str, Result] = {}

    def create(self) -> None:
        """Create the folder and tag it as a store, if it is none yet.

        Raises:
            OutputError: the folder cannot be created, is a link, or holds other files.
        """
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self.exists():
                if not all(map(Folder.is_leftover, self.files.files())):
                    text = "is not a store of Darkroom; rename it or choose another folder: outputs=DIR"
                    raise OutputError(f"{self.folder}: {text}")
                self.files.write(_TAG, _TAG_TEXT.encode())

    def mark_unsafe(self) -> None:
        """Note that locks or renames do not hold on this file system, so that pruning may harm a run at work."""
        self._write(UNSAFE, b"Locks or renames do not hold here: see the page docs/scale.md of Darkroom.\n")

    def exists(self) -> bool:
        """Whether the folder is tagged as a store. Raises `OutputError` if it is a link."""
        if self.folder.is_symlink():
            raise OutputError(f"{self.folder}: is a link; a store is a folder of its own")
        with suppress(OSError):
            return self.files.read(_TAG, len(_TAG_TEXT) + 1) == _TAG_TEXT.encode()
        return False

    def has(self, key: str) -> bool:
        """Whether there is a result for a key; its blobs are not checked."""
        return self._entry(key) is not None

    def get(self, key: str) -> Result | None:
        """The result for a key; None if there is none, or a blob of it is missing or damaged."""
        return self._if_complete(self._entry(key))

    def put(self, key: str, result: Result) -> None:
        """Add a result whose blobs have been added.

        Raises:
            OutputError: it cannot be written.
            ValueError: the key has the wrong form, so that it might be a path out of the store.
        """
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r:.80} is no key")
        text = json.dumps(vars(result), sort_keys=True, default=dict)
        self._write(_entry_path(key), json.dumps({"result": text, "seal": seal(f"{key} {text}")}).encode())

    def remove(self, key: str) -> None:
        """Remove a result, but not its blobs. Raises `OutputError` if it cannot be removed."""
        with writing(self.folder):
            self.files.remove(_entry_path(key))

    def clear(self) -> None:
        """Remove all results and blobs. No other process may use the store. Raises `OutputError` if one stays."""
        with writing(self.folder):
            for path in [*(path for path, _ in self.entries()), *(path for path, *_ in self.blobs())]:
                self.files.remove(path)
        with self._checked_lock:
            self._checked.clear()

    @property
    def has_any_unverified(self) -> bool:
        """Whether `put_unverified` has been called."""
        return bool(self._unverified)

    def get_unverified(self, key: str) -> Result | None:
        """The result that `put_unverified` added; None if a blob of it is missing or damaged."""
        return self._if_complete(self._unverified.get(key))

    def put_unverified(self, key: str, result: Result) -> None:
        """Add a run folder's result for this process only, since nothing proves that it belongs to its key."""
        self._unverified[key] = result

    def add_blob(self, data: bytes, suffix: str) -> str:
        """Add a blob.

        Args:
            data: its content.
            suffix: such as `.png`.

        Returns:
            its name.

        Raises:
            OutputError: it cannot be written.
        """
        with span("hash"):
            name = hashlib.sha256(data).hexdigest() + suffix
        if not self.has_blob(name):
            self._write(self.blob_path(name), data, _READ_ONLY)
            self._remember(name)
        return name

    def import_blob(self, folder: Folder, path: str, name: str) -> bool:
        """Copy a file of a run folder into the store as a blob; not as a hard link, because others may write to the
        file.

        Args:
            folder: the run folder.
            path: the path of the file in it.
            name: the name of the blob; a file with other content is not copied.

        Returns:
            whether the store has the blob now.
        """
        if not _BLOB.fullmatch(name):  # the run folder may come from a stranger
            return False
        if self.has_blob(name):
            return True
        try:
            data = folder.read(path)
        except OSError:
            return False
        return hashlib.sha256(data).hexdigest() == Path(name).stem and self.add_blob(data, Path(name).suffix) == name

    def read_blob(self, name: str) -> bytes:
        """The content of a blob that the store has.

        Raises:
            OSError: the blob has been removed in the meantime.
        """
        return self.files.read(self.blob_path(name))

    def blob_path(self, name: str) -> str:
        """The path of a blob within the store."""
        return f"blobs/{name[:2]}/{name}"

    def has_blob(self, name: str) -> bool:
        """Whether there is a blob whose content matches its name; one that does not match is moved to `damaged/`."""
        with self._checked_lock:
            if name in self._checked:
                self._checked.move_to_end(name)
                return True
        if not _BLOB.fullmatch(name):
            return False
        path = self.blob_path(name)
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

    def is_linked(self, folder: Folder, path: str) -> bool:
        """Whether a file of a run folder is a hard link to a blob, so that replacing the file loses nothing."""
        try:
            name = folder.digest(path) + Path(path).suffix
            one, other = folder.status(path), self.files.status(self.blob_path(name))
        except OSError:
            return False
        return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)

    def blobs(self) -> Iterator[tuple[str, int, int]]:
        """Path, size in bytes and number of hard links of every blob, including damaged ones."""
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
        """The stored result for a key, if this user stored it."""
        try:
            entry: _Entry = _schema(_Entry).validate_json(self.files.read(_entry_path(key), _MAX_ENTRY))
            if is_sealed(f"{key} {entry['result']}", entry["seal"]):
                result: Result = _schema(Result).validate_json(entry["result"])
                return result
        except (OSError, ValueError):
            pass
        return None

    def _if_complete(self, result: Result | None) -> Result | None:
        return result if result and all(map(self.has_blob, result.blobs())) else None

    def _write(self, path: str, data: bytes, mode: int | None = None) -> None:
        with writing(self.folder / path):
            self.files.write(path, data, mode)

    def _remember(self, name: str) -> None:
        with self._checked_lock:
            self._checked[name] = None
            if len(self._checked) > _REMEMBERED:
                self._checked.popitem(last=False)


def _entry_path(key: str) -> str:
    return f"results/{key[:2]}/{key}.json"
