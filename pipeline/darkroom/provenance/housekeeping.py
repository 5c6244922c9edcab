"""Reports how runs use the store, and removes what no run refers to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from darkroom.errors import OutputError, RecordError
from darkroom.record import JOURNAL, RUN, read_journal
from darkroom.record.earlier import EARLIER
from darkroom.store import FOLDER, UNSAFE, Store
from darkroom.system.files import Folder, writing
from darkroom.system.locks import locked


@dataclass
class _References:
    """What runs refer to: keys of results and names of blobs."""

    keys: set[str] = field(default_factory=set)
    blobs: set[str] = field(default_factory=set)

    def add(self, other: _References) -> None:
        self.keys |= other.keys
        self.blobs |= other.blobs


def report(outputs: Path) -> Iterator[str]:
    """How much each run uses of the store, the store's size, and how much of it no run uses; one line each.

    Raises:
        RecordError: there is no store, or a run's journal is damaged.
    """
    store = _store(outputs)
    sizes: dict[str, int] = {}
    damaged = 0
    for path, size, _ in store.blobs():
        folder, _, name = path.rpartition("/")
        if folder == "damaged":
            damaged += 1
        else:
            sizes[name] = size

    def line(names: Iterable[str], text: str) -> str:
        known = [sizes[name] for name in names if name in sizes]
        return f"{_megabytes(sum(known)):>10}  {len(known):7,} files  {text}"

    all_references = _References()
    for run in _runs(outputs):
        references = _references_of(run)
        yield line(references.blobs, str(run.relative_to(outputs)))
        all_references.add(references)
    yield line(sizes, "in total; files that runs share count once")
    yield line(sizes.keys() - all_references.blobs, "used by no run; store=prune removes them")
    if damaged:
        yield f"{damaged:,} damaged files were set aside"


def prune(outputs: Path) -> Iterator[str]:
    """Remove from the store what no run folder under `outputs` refers to, and report how much was freed.

    Only files with names that a store gives are removed, and only from a folder that is marked as a store.

    Raises:
        RecordError: there is no store, or a run's journal is damaged, so its references are unknown.
        OutputError: a run is using the store, or it cannot be written.
    """
    store = _store(outputs)
    if store.files.holds(UNSAFE):
        reason = "locks or renames do not hold on this file system, so a run on another machine may be using the store"
        raise OutputError(f"{store.folder}: {reason}; when none is, delete {store.folder / UNSAFE} and prune again")
    with locked(store.folder, busy=f"{store.folder}: in use by a run; try again when the run has ended"):
        references = _References()
        for run in _runs(outputs):
            references.add(_references_of(run))
        results = [path for path, key in store.entries() if key not in references.keys]
        blobs = [
            blob
            for blob in store.blobs()
            if "damaged/" in blob[0] or PurePosixPath(blob[0]).name not in references.blobs
        ]
        # A file with a second hard link, such as in a run folder elsewhere, frees no space.
        freed = sum(size for _, size, names in blobs if names == 1)
        with writing(store.folder):
            for path in (*results, *(path for path, _, _ in blobs)):
                store.files.remove(path)
        store.files.remove_leftovers()
    yield f"removed {len(results):,} results and {len(blobs):,} files; freed {_megabytes(freed)}"


def _store(outputs: Path) -> Store:
    store = Store(outputs / FOLDER)
    if not store.folder.is_dir():
        raise RecordError(f"{outputs}: no store here")
    if not store.exists():
        raise RecordError(f"{store.folder}: is not a store of Darkroom; left untouched")
    return store


def _runs(outputs: Path) -> Iterator[Path]:
    """All run folders, then those in sweeps, by name."""
    for pattern in (f"*/{RUN}", f"*/*/{RUN}"):
        yield from sorted(path.parent for path in outputs.glob(pattern))


def _references_of(run: Path) -> _References:
    references = _References()
    files = Folder(run)
    for name in filter(files.holds, (JOURNAL, EARLIER)):  # neither exists if the run was killed early
        try:
            for line in read_journal(run, name):
                references.keys |= {step["key"] for step in line["steps"]}
                references.blobs |= {digest + PurePosixPath(path).suffix for path, digest in line["files"].items()}
        except RecordError as error:
            text = "move the folder elsewhere or delete it, because its references are unknown"
            raise RecordError(f"{error}; {text}") from None
    return references


def _megabytes(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
