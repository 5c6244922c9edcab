"""A run's journal: one JSON object per line, one line per picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from darkroom.dataset import Photo
from darkroom.planning.plan import Step, last_summary, settings_of
from darkroom.record.picture_files import PictureFiles
from darkroom.record.schema import JournalLine


def journal_line(
    photo: Photo,
    digest: str | None,
    inputs: Mapping[str, str],
    trail: PictureFiles,
    steps: Sequence[Step],
    status: str,
    error: str | None,
) -> JournalLine:
    """What the journal says of one picture; `docs/run_folder.md` explains the keys.

    Args:
        photo: its photo.
        digest: SHA-256 of the photo's file; None where it cannot be read.
        inputs: the other files that were read for it: path to SHA-256.
        trail: its files, as far as it came.
        steps: the way to it, or for a picture that was not made the way that was planned.
        status: `done`, `failed` or `skipped`.
        error: why it was not made.
    """
    settings = settings_of(steps)
    summary = last_summary(steps)
    done = status == "done"
    return {
        "photo": photo.name,
        "folder": trail.folder,
        "status": status,
        "result": trail.image if done else None,
        "delivered": trail.delivered,
        "mask": trail.mask,
        "source": trail.source,
        "prompt": summary.prompt if summary else None,
        "negative_prompt": summary.negative_prompt if summary else None,
        "seed": summary.seed if summary else None,
        "variant": ", ".join(f"{step.name} {step.variant}" for step in steps if step.variant),
        "outside_max_diff": trail.outside_max_diff if done else None,
        "seconds": round(trail.seconds, 3) if done else None,
        "error": error,
        "flags": trail.flags,
        "path": str(photo.path),
        "digest": digest,
        "inputs": dict(inputs),
        "item": dict(photo.item),
        "settings": settings,
        "steps": trail.steps,
        "warnings": [],
        "thumbnails": trail.thumbnails(done),
        "files": {path: blob.partition(".")[0] for path, blob in trail.files.items()},
    }
