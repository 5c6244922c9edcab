"""Finds earlier runs of the same recipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from darkroom.errors import RecordError
from darkroom.record import RUN, read_facts
from darkroom.record.schema import RunFacts

_MAX_FOLDERS = 200  # run folders to read; the wanted run is usually the newest


def earlier_runs(outputs: Path, name: str) -> Iterator[tuple[Path, RunFacts]]:
    """The completed runs of a recipe, newest first, those in sweeps included.

    Args:
        outputs: the folder that holds the run folders.
        name: the recipe's name.

    Yields:
        a run folder and its `run.json`; damaged runs are left out.
    """
    patterns = f"*/{RUN}", f"*_sweep/*_{name}/{RUN}"
    folders = sorted((path.parent for pattern in patterns for path in outputs.glob(pattern)), reverse=True)
    for folder in folders[:_MAX_FOLDERS]:
        with suppress(RecordError):  # damaged, or written by another program
            facts = read_facts(folder)
            if facts["name"] == name and facts["status"] in ("done", "failed"):
                yield folder, facts
