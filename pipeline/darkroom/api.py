"""The Python entry point: `darkroom.run`."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from darkroom.record.schema import JournalLine

_one_run = threading.RLock()  # runs share the models in memory and the log


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        folder: the run folder, absolute; `docs/run_folder.md` explains its files.
        pictures: the delivered pictures, absolute paths in the order of the journal.
        records: the journal's line on every picture: status, prompt, seed, files, and the reason of a failure.
    """

    folder: Path
    pictures: tuple[Path, ...]
    records: tuple[JournalLine, ...]

    @property
    def done(self) -> bool:
        """Whether every picture was made."""
        return all(record["status"] == "done" for record in self.records)


def run(recipe: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> RunResult:
    """Run a recipe as the command line does, quietly; the log is in the run folder.

    It touches neither signals nor standard streams, and can be called from any thread; runs in several threads wait
    for each other. Ctrl-C raises KeyboardInterrupt; finished pictures are kept.

    Args:
        recipe: the name of a shipped recipe, the path of a YAML file, or the recipe itself as a mapping, whose
            relative paths start at the current folder.
        overrides: as on the command line, one value each: `["models=sdxl", "outputs=results", "dataset.images=a.jpg"]`.

    Returns:
        The finished run. A photo that fails does not stop the others; `records` has the reason.

    Raises:
        RecipeError: recipe or overrides are wrong; nothing was started.
        SetupError: this machine lacks a device or weights that the recipe needs.
        OutputError: results cannot be written.
    """
    # Imported here, so that `import darkroom` is light and the command line can set up signals first.
    from darkroom.config.override_errors import check_words
    from darkroom.errors import RecipeError
    from darkroom.record import read_journal
    from darkroom.session.prepare import prepare_given
    from darkroom.session.session import run as run_jobs

    if isinstance(overrides, str):
        raise RecipeError(f"overrides: a list of KEY=VALUE; got the text {overrides!r:.60}")
    words = list(overrides)
    check_words(words)
    if named := [word for word in words if word.lstrip("+~").startswith("recipe=")]:
        raise RecipeError(f"{named[0]}: the recipe is the first argument of `run`")
    with _one_run:
        job = prepare_given(recipe if isinstance(recipe, Mapping) else _file(recipe), words)
        if job.settings.dry_run:
            raise RecipeError("dry_run=true: only the command line has a dry run; leave it out")
        run_jobs([job], on_screen=False)
        records = tuple(read_journal(job.folder))
    pictures = tuple(job.folder / record["delivered"] for record in records if record["delivered"])
    return RunResult(job.folder, pictures, records)


def _file(recipe: str | Path) -> Path:
    from darkroom.config.override_errors import unknown_recipe
    from darkroom.config.recipe_file import find
    from darkroom.errors import RecipeError

    path = find(str(recipe))
    if path is None:
        raise RecipeError(unknown_recipe(str(recipe)))
    return path
