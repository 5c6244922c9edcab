"""The run folder: artifacts, journal, snapshot, environment. It knows files and JSON; no stages, no models.

Everything is written to a temporary file in the same folder and renamed, so that what is there is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.errors import OutputError

PACKAGES = (
    *("darkroom", "torch", "torchvision", "diffusers", "transformers", "segment-anything", "accelerate"),
    *("hydra-core", "omegaconf", "pydantic", "pillow", "numpy", "scipy", "opencv-python-headless", "safetensors"),
)


class Record:
    """One run's folder, from its first file to its last.

    Args:
        folder: where; it may exist but must not hold a run.
        name: the recipe's name.
        files: texts to keep as they are, by path within the folder: the composed recipe, Hydra's snapshot.
        facts: goes into `run.json` as it is: configuration, command line.

    Raises:
        OutputError: the folder cannot be written, or holds another run.
    """

    def __init__(self, folder: Path, name: str, files: Mapping[str, str], facts: Mapping[str, Any]) -> None:
        self.folder = folder
        self._started = datetime.now().astimezone()
        self._facts = {"name": name, "status": "running", "started": self._started.isoformat(), **facts}
        self._photos = hashlib.sha256()
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                self._journal = (folder / "journal.jsonl").open("xb", buffering=0)
            except FileExistsError:
                raise OutputError(f"{folder}: holds another run already") from None
        for path, text in files.items():
            self.write(path, text.encode())
        self._facts["environment"] = environment()
        self._write_facts()

    def photo_folder(self, name: str) -> str:
        """Make the folder of one photo, named after its file, and return its path within the run folder."""
        stem = Path(name).with_suffix("").as_posix()
        slug = re.sub(r"[^\w.-]+", "_", stem, flags=re.ASCII).strip("._")[:80] or "photo"
        number = 1
        while True:
            folder = slug if number == 1 else f"{slug}-{number}"
            with _writing(self.folder):
                try:
                    (self.folder / folder).mkdir()
                    return folder
                except FileExistsError:
                    number += 1

    def add_photo(self, name: str, digest: str) -> None:
        """Count a photo into the dataset's fingerprint: the SHA-256 of all names and digests, in order."""
        self._photos.update(f"{name}\0{digest}\n".encode(errors="surrogateescape"))

    def write(self, path: str, data: bytes) -> str:
        """Write a file of the run folder, whole or not at all, and return its path within it."""
        target = self.folder / path
        with _writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, data)
        return path

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line to the journal; it is on the disk when this returns."""
        with _writing(self.folder / "journal.jsonl"):
            rest = memoryview(json.dumps(line, ensure_ascii=True).encode() + b"\n")
            while rest:  # on a disk nearly full, a part is written before the error comes
                rest = rest[self._journal.write(rest) :]
            os.fsync(self._journal.fileno())

    def finish(self, status: str, models: Mapping[str, Any], totals: Mapping[str, int]) -> None:
        """Close the journal and complete `run.json`.

        Args:
            status: `done`, `failed` (some pictures), `interrupted`, or `stopped` by an error.
            models: what was loaded, as `Models.describe` tells it.
            totals: counts of photos and of pictures done, failed and skipped.
        """
        with _writing(self.folder):
            self._journal.close()
        now = datetime.now().astimezone()
        self._facts |= {
            "status": status,
            "finished": now.isoformat(),
            "wall_seconds": round((now - self._started).total_seconds(), 3),
            "totals": dict(totals),
            "dataset_fingerprint": self._photos.hexdigest(),
            "models": dict(models),
        }
        self._write_facts()

    def _write_facts(self) -> None:
        self.write("run.json", json.dumps(self._facts, indent=2, default=str).encode() + b"\n")


def write_atomically(target: Path, data: bytes) -> None:
    """Replace a file by its new content at once; a crash leaves the old one or the new one."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


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


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what the operating system says while writing into the one line that a user can act on."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from None
