"""The run folder: artifacts, journal, snapshot, environment. It knows files and JSON; no stages, no models.

Everything is written to a temporary file in the same folder and renamed, so that what is there is whole.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Self

from pipeline.errors import OutputError, RecipeError
from pipeline.files import link_or_copy, write_atomically, writing
from pipeline.record.artifacts import FOLDERS
from pipeline.record.journal import JOURNAL, read_journal

log = logging.getLogger("darkroom")

RUN = "run.json"

PACKAGES = (
    *("darkroom", "torch", "torchvision", "diffusers", "transformers", "compel", "segment-anything", "accelerate"),
    *("hydra-core", "omegaconf", "pydantic", "pillow", "numpy", "scipy", "opencv-python-headless", "safetensors"),
)

_EARLIER = "journal.earlier.jsonl"  # while a run is resumed: what the attempts before it have finished


class Record:
    """One run's folder, from its first file to its last.

    Args:
        folder: where.
        facts: goes into `run.json` as it is: name, configuration, command line.

    Attributes:
        folder: as given.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self.folder = folder
        self._now = datetime.now().astimezone()
        self._facts = {**facts, "status": "running"}
        self._photos = hashlib.sha256()
        self._folders: set[str] = set()
        self._resumed = False
        # What tells, where earlier attempts may have made others, which of those still count.
        self._marks: set[bytes] = set()  # of the pictures in the journal
        self._whole: set[tuple[str, str]] = set()  # names and folders of photos whose pictures are all in the journal
        self._linked: set[str] = set()  # paths

    @classmethod
    def begin(cls, folder: Path, name: str, files: Mapping[str, str], facts: Mapping[str, Any]) -> Self:
        """Start a run in a folder that holds none.

        Args:
            folder: where; it may exist.
            name: the recipe's name.
            files: texts to keep as they are, by path within the folder: the composed recipe, Hydra's snapshot.
            facts: for `run.json`.

        Raises:
            OutputError: the folder cannot be written, or holds another run.
        """
        record = cls(folder, {"name": name, "started": datetime.now().astimezone().isoformat(), **facts})
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / RUN).exists():
                raise OutputError(f"{folder}: holds another run already")
        for path, text in files.items():
            record._write(path, text.encode())
        record._open()
        return record

    @classmethod
    def resume(cls, folder: Path) -> Self:
        """Go on with a run that was stopped. Its journal is written anew, in the order of the plan; what the earlier
        attempts have finished is listed by `earlier_lines` until the run is finished.

        Raises:
            OutputError: the folder cannot be written.
            RecipeError: it holds no run.
        """
        record = cls(folder, read_facts(folder))
        with writing(folder):
            _set_aside(folder)
        record._resumed = True
        record._open()
        return record

    def photo_folder(self, name: str) -> str:
        """The folder of the next photo, named after its file: a path within the run folder.

        The same photos in the same order get the same folders.
        """
        stem = Path(name).with_suffix("").as_posix()
        slug = re.sub(r"[^\w-]+", "_", stem, flags=re.ASCII).strip("_")[:80] or "photo"  # no dot: `run.json` is a file
        slug = f"{slug}_" if slug.lower() in FOLDERS else slug
        folder, number = slug, 1
        while folder.lower() in self._folders:  # some file systems take A for a
            number += 1
            folder = f"{slug}-{number}"
        self._folders.add(folder.lower())
        return folder

    def add_photo(self, name: str, digest: str) -> None:
        """Count a photo into the dataset's fingerprint: the SHA-256 of all names and digests, in order."""
        self._photos.update(f"{name}\0{digest}\n".encode(errors="surrogateescape"))

    def link(self, path: str, blob: Path) -> None:
        """Give a blob of the store a name in the run folder."""
        target = self.folder / path
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(blob, target)
        if self._resumed:
            self._linked.add(path)

    def photo_done(self, name: str, folder: str) -> None:
        """All pictures of a photo have been appended: what earlier attempts made of it no longer counts."""
        if self._resumed:
            self._whole.add((name, folder))

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line to the journal. A killed process loses nothing of it; see `flush` for a power failure."""
        if self._resumed:
            self._marks |= _marks(line)
        path = self.folder / JOURNAL
        with writing(path), path.open("ab", buffering=0) as journal:  # not kept open: a sweep can have a thousand
            rest = memoryview(json.dumps(line, ensure_ascii=True).encode() + b"\n")
            while rest:  # on a disk nearly full, a part is written before the error comes
                rest = rest[journal.write(rest) :]

    def flush(self) -> None:
        """Have the journal on the disk when this returns."""
        path = self.folder / JOURNAL
        with writing(path), path.open("ab") as journal:
            os.fsync(journal.fileno())

    def finish(self, status: str, more: Mapping[str, Any]) -> None:
        """Complete `run.json`.

        Args:
            status: `done`, `failed` (some pictures), `interrupted`, or `stopped` by an error.
            more: facts that only the end tells: totals, models, what was reused.
        """
        self._carry_over()
        now = datetime.now().astimezone()
        self._facts |= {
            "status": status,
            "finished": now.isoformat(),
            "wall_seconds": round((now - self._now).total_seconds(), 3),
            "dataset_fingerprint": self._photos.hexdigest(),
            **more,
        }
        self._write_facts()

    def _carry_over(self) -> None:
        """Keep what earlier attempts have finished and this one has not come to, or no longer finds in the dataset.

        Of photos that it has come to the end of nothing else stays, as in an undisturbed run: with other photos beside
        it, a gate may have judged one otherwise.
        """
        carried = 0
        with writing(self.folder / JOURNAL):
            _mend(self.folder / JOURNAL)
        for line in earlier_lines(self.folder):
            with suppress(OSError, ValueError, TypeError, LookupError, AttributeError):  # not written by us, or damaged
                if (line["photo"], PurePosixPath(line["source"]).parts[0]) in self._whole:
                    self._remove(line)
                elif self._marks.isdisjoint(_marks(line)) and _is_finished(self.folder, line):
                    self.append(line)
                    carried += 1
        if carried:
            log.info("%d pictures of the earlier attempts were not asked for again; they stay as they were", carried)
        with writing(self.folder / _EARLIER):
            (self.folder / _EARLIER).unlink(missing_ok=True)

    def _remove(self, line: Mapping[str, Any]) -> None:
        """The files of an earlier picture that none of this attempt is called."""
        for path in set(line["files"]) - self._linked:
            inside = not PurePath(path).is_absolute() and ".." not in PurePath(path).parts
            if inside and (self.folder / path).is_file():
                (self.folder / path).unlink()

    def _open(self) -> None:
        self._facts["environment"] = environment()
        self._write_facts()
        self._write(JOURNAL, b"")

    def _write_facts(self) -> None:
        self._write(RUN, json.dumps(self._facts, indent=2, default=str).encode() + b"\n")

    def _write(self, path: str, data: bytes) -> None:
        target = self.folder / path
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, data)


def earlier_lines(folder: Path) -> Iterator[dict[str, Any]]:
    """The journal's lines of the earlier attempts at a run that is being resumed; some may be listed twice."""
    with suppress(FileNotFoundError):
        yield from read_journal(folder, _EARLIER)


def _marks(line: Mapping[str, Any]) -> set[bytes]:
    """What tells a picture from the others of a run: its photo with the way to it, and its file, if there is one."""
    marks = [[line.get("photo"), line.get("settings")]]
    if line.get("result") != line.get("source"):
        marks.append([line["result"]])
    return {hashlib.sha256(json.dumps(each).encode()).digest() for each in marks}


def _is_finished(folder: Path, line: Mapping[str, Any]) -> bool:
    """Whether a picture was made and all its files are what was written."""
    if line["status"] != "done" or not line["files"]:
        return False
    return all(hashlib.sha256((folder / path).read_bytes()).hexdigest() == each for path, each in line["files"].items())


def _mend(path: Path) -> None:
    """Cut off a last line that was torn."""
    with suppress(FileNotFoundError), path.open("r+b") as file:
        end = sum(len(line) for line in file if line.endswith(b"\n"))
        file.truncate(end)


def _set_aside(folder: Path) -> None:
    """Move the journal's lines to those of earlier attempts; at no moment are they in neither file."""
    temporary = folder / f".{_EARLIER}.tmp"
    with temporary.open("wb") as file:
        for name in (_EARLIER, JOURNAL):
            with suppress(FileNotFoundError), (folder / name).open("rb") as lines:
                file.writelines(filter(_is_whole, lines))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / _EARLIER)
    (folder / JOURNAL).unlink(missing_ok=True)


def _is_whole(line: bytes) -> bool:
    """Whether it is neither torn nor damaged; what it told of is made again, if it is nowhere else."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return line.endswith(b"\n")


def read_facts(folder: Path) -> dict[str, Any]:
    """What `run.json` says.

    Raises:
        RecipeError: the folder holds no run, or its `run.json` is damaged.
    """
    try:
        facts = json.loads((folder / RUN).read_bytes())
    except OSError as error:
        raise RecipeError(f"{folder}: no run folder: {RUN}: {error.strerror}") from None
    except ValueError:
        facts = None
    if not isinstance(facts, dict) or not isinstance(facts.get("config"), dict):
        raise RecipeError(f"{folder}: {RUN} is damaged")
    return facts


def settled_config(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration in `run.json`, with every `auto` as it was chosen when the run began."""
    return {**facts["config"], **facts.get("settled", {})}


@cache
def environment() -> dict[str, Any]:
    """Package versions, platform, and the commit that ran; nothing of the process's environment variables."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git": _git(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Commit and whether tracked files differ from it; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]

    def ask(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if Path(ask("rev-parse", "--show-toplevel")).resolve() != root:
            return None
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None
