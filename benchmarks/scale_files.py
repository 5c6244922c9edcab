"""Measures how many small files a file system takes per second, written as the store and run folders write them."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from darkroom.system.files import Folder

THREADS = (1, 4, 16)
_SECONDS = 1.5  # for each figure
_PICTURE = 1_500_000  # bytes; a PNG of 1024 px has about as many
_ENTRY = 600  # bytes of an entry of the store

Rates = Mapping[str, Mapping[int, float]]
"""Operations per second, by operation and number of threads."""

WRITE, WRITE_PICTURE, LINK = "write an entry, fsync, rename", "write a picture, fsync, rename", "hard link, rename"
RENAME = "write an entry, rename, without fsync"


def measure_files() -> Rates:
    """The rates in the folder for temporary files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Folder(Path(name))
        folder.write("source", os.urandom(_ENTRY), 0o444)
        entry, picture = os.urandom(_ENTRY), os.urandom(_PICTURE)
        operations: dict[str, Callable[[str], object]] = {
            WRITE: lambda path: folder.write(path, entry),
            WRITE_PICTURE: lambda path: folder.write(path, picture),
            RENAME: lambda path: _bare(Path(name) / path, entry),
            LINK: lambda path: folder.link(path, folder, "source"),
        }
        return {
            what: {threads: _rate(operation, threads) for threads in THREADS} for what, operation in operations.items()
        }


def _bare(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{path.name}.new")
    path.parent.mkdir(exist_ok=True)
    temporary.write_bytes(data)
    temporary.replace(path)


def _rate(operation: Callable[[str], object], threads: int) -> float:
    """Operations per second, into 256 folders as in the store; names repeat, so that the disk does not fill up."""
    stop, began = threading.Event(), time.monotonic()

    def work(thread: int) -> int:
        done = 0
        while not stop.is_set():
            operation(f"{done % 256:02x}/{thread}")
            done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        counts = [pool.submit(work, thread) for thread in range(threads)]
        time.sleep(_SECONDS)
        stop.set()
        return sum(count.result() for count in counts) / (time.monotonic() - began)
