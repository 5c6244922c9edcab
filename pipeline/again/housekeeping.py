"""What the store holds for which run, and freeing what no run holds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pipeline.errors import RecipeError
from pipeline.files import locked, writing
from pipeline.record.journal import read_journal
from pipeline.record.record import RUN, earlier_lines
from pipeline.store import FOLDER


@dataclass
class _Held:
    """What runs refer to: keys of results and names of blobs."""

    keys: set[str] = field(default_factory=set)
    blobs: set[str] = field(default_factory=set)


def report(outputs: Path) -> Iterator[str]:
    """Lines that tell, for every run, what it shares with the store, and what no run holds.

    Raises:
        RecipeError: there is no store, or a run's journal is damaged.
    """
    folder = _store(outputs)
    sizes = {path.name: path.stat().st_size for path in folder.glob("blobs/*/*") if _is_blob(path)}
    held = _Held()
    for run in _runs(outputs):
        own = _held_by(run)
        there = own.blobs & sizes.keys()
        size = _size(sum(sizes[name] for name in there))
        yield f"{size:>10}  {len(there):7,} files  {run.relative_to(outputs)}"
        held.keys |= own.keys
        held.blobs |= own.blobs
    free = sizes.keys() - held.blobs
    yield f"{_size(sum(sizes.values())):>10}  {len(sizes):7,} files  together; what runs share counts once"
    unused = _size(sum(sizes[name] for name in free))
    yield f"{unused:>10}  {len(free):7,} files  held by no run: store=prune frees them"
    if damaged := sum(1 for _ in folder.glob("damaged/*")):
        yield f"{damaged:,} damaged files were put aside"


def prune(outputs: Path) -> Iterator[str]:
    """Remove from the store what no run folder under `outputs` refers to; tells what was freed.

    Raises:
        RecipeError: there is no store, or a run's journal is damaged, so that nobody can tell what it holds.
        OutputError: a run is using it, or it cannot be written.
    """
    folder = _store(outputs)
    with locked(folder, busy=f"{folder}: a run is using it; try again when it has ended"):
        held = _Held()
        for run in _runs(outputs):
            own = _held_by(run)
            held.keys |= own.keys
            held.blobs |= own.blobs
        results = [path for path in folder.glob("results/*/*") if path.stem not in held.keys]
        blobs = [path for path in folder.glob("blobs/*/*") if path.name not in held.blobs]
        # Only what has no other name, such as in a run folder that lies elsewhere, gives back its room.
        freed = sum(path.stat().st_size for path in blobs if path.stat().st_nlink == 1)
        with writing(folder):
            for path in (*results, *blobs):
                path.unlink(missing_ok=True)
            shutil.rmtree(folder / "damaged", ignore_errors=True)
    yield f"removed {len(results):,} results and {len(blobs):,} files; freed {_size(freed)}"


def _store(outputs: Path) -> Path:
    folder = outputs / FOLDER
    if not folder.is_dir():
        raise RecipeError(f"{outputs}: there is no store here")
    return folder


def _runs(outputs: Path) -> Iterator[Path]:
    """All run folders, also those in sweeps, by name."""
    for pattern in (f"*/{RUN}", f"*/*/{RUN}"):
        yield from sorted(path.parent for path in outputs.glob(pattern))


def _held_by(run: Path) -> _Held:
    held = _Held()
    for lines in (read_journal(run), earlier_lines(run)):
        try:
            for line in lines:
                files = line.get("files", {})  # none: of a version that had no store
                held.keys |= {step["key"] for step in line.get("steps", ())}
                held.blobs |= {digest + PurePosixPath(path).suffix for path, digest in files.items()}
        except FileNotFoundError:  # such as of a run that was killed before its first picture
            pass
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            problem = "its journal is damaged; move it elsewhere or delete it, since nobody can tell what it holds"
            raise RecipeError(f"{run}: {problem}") from None
    return held


def _is_blob(path: Path) -> bool:
    return not path.name.startswith(".")


def _size(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
