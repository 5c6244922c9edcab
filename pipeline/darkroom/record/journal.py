"""Lines of a run's journal, one per picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from darkroom.dataset import Photo
from darkroom.planning.plan import Step, last_summary, settings_of
from darkroom.record.picture_files import PictureFiles
from darkroom.record.schema import JournalLine, PictureStatus, StageLine


def journal_line(
    photo: Photo,
    digest: str | None,
    inputs: Mapping[str, str],
    files: PictureFiles,
    steps: Sequence[Step],
    status: PictureStatus,
    error: str | None,
) -> JournalLine:
    """The journal line of a picture; `docs/run_folder.md` explains the keys.

    Args:
        photo: the photo.
        digest: SHA-256 of the photo's file; None if it cannot be read.
        inputs: SHA-256 of the input files of the steps, by path.
        files: the picture's files, up to the step that failed, if any.
        steps: the path to the picture; as planned, if it was not finished.
        status: the picture's.
        error: why the picture was not finished; None if it was.
    """
    summary = last_summary(steps)
    done = status == "done"
    return {
        "photo": photo.name,
        "folder": files.folder,
        "status": status,
        "result": files.image if done else None,
        "delivered": files.delivered,
        "outputs": files.outputs,
        "mask": files.mask,
        "source": files.source,
        "prompt": summary.prompt if summary else None,
        "negative_prompt": summary.negative_prompt if summary else None,
        "seed": summary.seed if summary else None,
        "variant": ", ".join(f"{step.name} {step.variant}" for step in steps if step.variant),
        "outside_max_diff": files.outside_max_diff if done else None,
        "seconds": round(files.seconds, 3) if done else None,
        "error": error,
        "flags": files.flags,
        "path": str(photo.path),
        "digest": digest,
        "inputs": dict(inputs),
        "item": dict(photo.item),
        "settings": cast(list[StageLine], settings_of(steps)),
        "steps": files.steps,
        "warnings": [],
        "thumbnails": files.thumbnails(done),
        "files": {path: blob.partition(".")[0] for path, blob in files.files.items()},
    }
