"""Checks the C2PA manifests of delivered pictures: the signature is valid, and the manifest is that of this file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from darkroom.config.settings import OutputKind
from darkroom.imaging.content_credentials import manifest_problem
from darkroom.imaging.delivery_formats import MIME_TYPES
from darkroom.record import RUN, read_facts
from darkroom.record.schema import JournalLine
from darkroom.stages import STAGES
from darkroom.system.files import Folder

_SIGNED: tuple[OutputKind, ...] = ("picture", "background")


def is_signed(run_dir: Path) -> bool:
    """Whether the edited pictures of a run were signed. Raises `RecordError` if its record is damaged."""
    results = read_facts(run_dir)["config"].get("results") if Folder(run_dir).holds(RUN) else None
    return isinstance(results, Mapping) and results.get("c2pa_certificate") is not None


def signature_problems(folder: Folder, line: JournalLine) -> Iterator[str]:
    """What is wrong with the manifests of a picture's files, which are as they were written.

    Args:
        folder: the run folder.
        line: of a finished picture of a run that was signed.
    """
    if not any(settings["op"] in STAGES and STAGES[settings["op"]].repaints for settings in line["settings"]):
        return  # a photo that was kept, or a mask
    for kind in _SIGNED:
        path = line["outputs"].get(kind)
        mime_type = MIME_TYPES.get(PurePosixPath(path).suffix) if path else None
        if path and mime_type and (problem := manifest_problem(folder.read(path), mime_type)):
            yield f"{path}: {problem}"
