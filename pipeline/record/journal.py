"""A run's journal: one JSON object per line, one line per picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.dataset import Photo
from pipeline.plan import Step, settings_of
from pipeline.record.artifacts import Branch


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


def journal_line(
    photo: Photo, branch: Branch | None, steps: Sequence[Step], status: str, error: str | None = None
) -> dict[str, Any]:
    """What the journal says of one picture; `docs/run_folder.md` explains the keys.

    Args:
        photo: its photo.
        branch: how far it came; None for a photo that could not be opened.
        steps: the way to it, or for a picture that was not made the way that was planned.
        status: `done`, `failed` or `skipped`.
        error: why it was not made.
    """
    settings = settings_of(steps)
    repaint = next((each for each in reversed(settings) if "prompt" in each), {})
    done = branch if status == "done" else None
    return {
        "photo": photo.name,
        "status": status,
        "result": done and done.image,
        "mask": branch and branch.mask,
        "source": branch and branch.source,
        "prompt": repaint.get("prompt"),
        "negative_prompt": repaint.get("negative_prompt"),
        "seed": repaint.get("seed"),
        "variant": ", ".join(f"{step.name} {step.variant}" for step in steps if step.variant),
        "outside_max_diff": done and done.edit.outside_max_diff(),
        "seconds": done and round(done.seconds, 3),
        "error": error,
        "digest": branch and branch.picture.digest,
        "item": dict(photo.item),
        "settings": settings,
    }
