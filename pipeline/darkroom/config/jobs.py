"""The jobs of a command line: what is checked and ready, and what was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkroom.config.recipe import Recipe
from darkroom.config.settings import Settings


@dataclass(frozen=True)
class Ready:
    """A checked job: what to do, how, and where its results go.

    Attributes:
        recipe: what is done to which photos.
        settings: which models, and where they run.
        folder: the run folder.
        files: the composed recipe and Hydra's own snapshot, by path within the run folder.
        config: all keys of the configuration.
        words: the command line's.
        sweep: folder of the sweep that it is one of, if it runs together with the others.
        warnings: what of the recipe the models will not heed, a line each.
        begun: its folder holds what an earlier attempt has left.
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


@dataclass(frozen=True)
class Refused:
    """A job that cannot run.

    Attributes:
        folder: where its results would have gone.
        words: the command line's.
        code: the exit code.
        error: why.
        sweep: see `Ready`.
    """

    folder: Path
    words: Sequence[str]
    code: int
    error: str
    sweep: Path | None
