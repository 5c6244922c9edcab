"""Reading a run's journal: one JSON object per line, one line per picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_journal(run_dir: Path) -> Iterator[dict[str, Any]]:
    """The lines of `journal.jsonl` as they are read, oldest first.

    A run that was killed while writing leaves a torn last line; it is left out, its picture not finished.

    Raises:
        FileNotFoundError: there is no journal.
        ValueError: a line other than the last is not JSON: the file has been damaged.
    """
    with (run_dir / "journal.jsonl").open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)
