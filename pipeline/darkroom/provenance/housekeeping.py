"""What the store holds for which run, and freeing what no run holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from darkroom.errors import RecordError
from darkroom.record import JOURNAL, RUN, read_journal
from darkroom.record.earlier import EARLIER
from darkroom.store import FOLDER, Store
from darkroom.system.files import Folder, locked, writing


@dataclass
class _Held:
    """What runs refer to: keys of results and names of blobs."""

    keys: set[str] = field(default_factory=set)
    blobs: set[str] = field(default_factory=set)

    def add(self, other: _Held) -> None:
        self.keys |= other.keys
        self.blobs |= other.blobs


def report(outputs: Path) -> Iterator[str]:
    """Lines that tell, for every run, what it shares with the store, and what no run holds.

    Raises:
        RecordError: there is no store, or a run's journal is damaged.
    """
    store = _store(outputs)
    sizes, damaged = {}, 0
    for path, size, _ in store.blobs():
        folder, _, name = path.rpartition("/")
        damaged += folder == "damaged"
        if folder != "damaged":
            sizes[name] = size
    held = _Held()
    for run in _runs(outputs):
        own = _held_by(run)
        there = own.blobs & sizes.keys()
        size = _size(sum(sizes[name] for name in there))
        yield f"{size:>10}  {len(there):7,} files  {run.relative_to(outputs)}"
        held.add(own)
    free = sizes.keys() - held.blobs
    yield f"{_size(sum(sizes.values())):>10}  {len(sizes):7,} files  together; what runs share counts once"
    unused = _size(sum(sizes[name] for name in free))
    yield f"{unused:>10}  {len(free):7,} files  held by no run: store=prune frees them"
    if damaged:
        yield f"{damaged:,} damaged files were put aside"


def prune(outputs: Path) -> Iterator[str]:
    """Remove from the store what no run folder under `outputs` refers to; tells what was freed.

    Only files of the names that a store gives are removed, and only from a folder that is marked as a store.

    Raises:
        RecordError: there is no store, or a run's journal is damaged, so that nobody can tell what it holds.
        OutputError: a run is using it, or it cannot be written.
    """
    store = _store(outputs)
    with locked(store.folder, busy=f"{store.folder}: a run is using it; try again when it has ended"):
        held = _Held()
        for run in _runs(outputs):
            held.add(_held_by(run))
        results = [path for path, key in store.entries() if key not in held.keys]
        blobs = [
            each for each in store.blobs() if "damaged/" in each[0] or PurePosixPath(each[0]).name not in held.blobs
        ]
        # Only what has no other name, such as in a run folder that lies elsewhere, gives back its room.
        freed = sum(size for _, size, names in blobs if names == 1)
        with writing(store.folder):
            for path in (*results, *(path for path, _, _ in blobs)):
                store.files.remove(path)
        store.files.remove_leftovers()
    yield f"removed {len(results):,} results and {len(blobs):,} files; freed {_size(freed)}"


def _store(outputs: Path) -> Store:
    store = Store(outputs / FOLDER)
    if not store.folder.is_dir():
        raise RecordError(f"{outputs}: there is no store here")
    if not store.is_marked():
        raise RecordError(f"{store.folder}: is not a store of Darkroom; nothing in it is touched")
    return store


def _runs(outputs: Path) -> Iterator[Path]:
    """All run folders, also those in sweeps, by name."""
    for pattern in (f"*/{RUN}", f"*/*/{RUN}"):
        yield from sorted(path.parent for path in outputs.glob(pattern))


def _held_by(run: Path) -> _Held:
    held = _Held()
    files = Folder(run)
    for name in filter(files.holds, (JOURNAL, EARLIER)):  # none, where it was killed before its first picture
        try:
            for line in read_journal(run, name):
                held.keys |= {step["key"] for step in line["steps"]}
                held.blobs |= {digest + PurePosixPath(path).suffix for path, digest in line["files"].items()}
        except RecordError as error:
            text = "move the folder elsewhere or delete it, since nobody can tell what it holds"
            raise RecordError(f"{error}; {text}") from None
    return held


def _size(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
