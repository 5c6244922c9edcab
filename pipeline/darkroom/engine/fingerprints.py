"""Fingerprints, for `run.json`, of what results depend on besides configuration, models and photos."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from darkroom.config.recipe import Recipe
from darkroom.dataset import Photo
from darkroom.errors import PhotoError
from darkroom.planning.cache_keys import FORMAT, content
from darkroom.planning.plan import Step
from darkroom.stages import STAGES


class Fingerprints:
    """Fingerprints of the manifest's values and the input files that a run uses. The order of the photos matters.

    Args:
        recipe: the run's.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._ops = {spec.op: STAGES[spec.op].version for spec in recipe.stages}
        self._columns = {name: hashlib.sha256() for name in sorted(recipe.columns())}
        self._files: dict[str, Any] = {}

    def add_values(self, photo: Photo) -> None:
        """Add a photo's values in the columns that the recipe uses."""
        item: Mapping[str, Any] = {}
        with suppress(PhotoError):  # the plan reports it
            item = photo.columns(self._columns)
        for name, values in self._columns.items():
            values.update(json.dumps([photo.name, item.get(name)]).encode() + b"\n")

    def add_files(self, photo: Photo, tree: Sequence[Step]) -> None:
        """Add the input files, such as masks, of a photo's steps."""
        level = tree
        while level:
            for stage, digest in _digests(level, photo.name):
                files = self._files.setdefault(stage, hashlib.sha256())
                files.update(json.dumps([photo.name, digest]).encode() + b"\n")
            level = level[0].children  # all siblings have the same

    def facts(self) -> dict[str, Any]:
        """For `run.json`: versions of ops and of cache keys, and SHA-256 by column and by stage with input files."""
        return {
            "keys": FORMAT,
            "ops": self._ops,
            "columns": {name: values.hexdigest() for name, values in self._columns.items()},
            "files": {stage: files.hexdigest() for stage, files in self._files.items()},
        }


def _digests(steps: Sequence[Step], photo: str) -> Iterator[tuple[str, str]]:
    """(stage, SHA-256) of each input file of the steps; an empty text for a missing file."""
    for step in steps:
        try:
            yield from ((step.name, content(path)) for path in step.stage.input_files(photo))
        except PhotoError:
            yield step.name, ""
