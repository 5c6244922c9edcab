"""The jobs of a command line: a recipe with its settings and the folder of its run, or why it cannot run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkroom.config.recipe import Recipe
from darkroom.config.result_name import column_of, references
from darkroom.config.settings import Settings


@dataclass(frozen=True)
class Job:
    """A checked job.

    Attributes:
        recipe: what to do with which photos.
        settings: which models, where they run, and the format of the results.
        folder: the run folder.
        files: the composed recipe and Hydra's snapshot, texts by path within the run folder.
        config: all keys of the configuration.
        words: the overrides of the command line.
        sweep: the folder of the sweep that the job belongs to; None for a job by itself.
        warnings: one line for each part of the recipe that has no effect or that the models will ignore.
        begun: the run folder holds an earlier attempt.
        unchecked: the photos' own parameters have not been checked against the models: a dry run does so as it counts.
        source: see `recipe.parse`.
        overridden: see `recipe.parse`.
    """

    recipe: Recipe
    settings: Settings
    folder: Path
    files: Mapping[str, str]
    config: Mapping[str, Any]
    words: Sequence[str]
    sweep: Path | None
    warnings: Sequence[str] = ()
    begun: bool = False
    unchecked: bool = False
    source: str = ""
    overridden: Collection[str] = ()

    @property
    def columns(self) -> set[str]:
        """The names of the columns that stages and names of results use."""
        named = map(column_of, references(self.settings.results.name or ""))
        return self.recipe.columns() | set(filter(None, named))


@dataclass(frozen=True)
class RefusedJob:
    """A job of a sweep that cannot run.

    Attributes:
        folder: where its results would have gone.
        words: the overrides of the command line.
        error: why it cannot run.
        sweep: the sweep's folder.
    """

    folder: Path
    words: Sequence[str]
    error: str
    sweep: Path
