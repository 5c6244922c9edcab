"""What the results of a run depend on besides its configuration, models and photos: for `run.json`, as fingerprints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from darkroom.config.recipe import Recipe
from darkroom.dataset import Photo
from darkroom.errors import PhotoError
from darkroom.planning.cache_keys import FORMAT, content
from darkroom.planning.plan import Step
from darkroom.stages import STAGES


class Fingerprints:
    """Takes up a run's photos in their order; the same photos, values and files give the same fingerprints.

    Args:
        recipe: of the run.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._ops = {spec.op: STAGES[spec.op].version for spec in recipe.stages}
        self._columns = {name: hashlib.sha256() for name in sorted(recipe.columns())}
        self._files: dict[str, Any] = {}

    def add_values(self, photo: Photo) -> None:
        """Add the photo's values of the columns that the recipe uses."""
        for name, values in self._columns.items():
            values.update(json.dumps([photo.name, photo.item.get(name)]).encode() + b"\n")

    def add_files(self, photo: Photo, tree: Sequence[Step]) -> None:
        """Add the files, such as masks, that the steps of a photo read."""
        level = tree
        while level:
            for stage, digest in _digests(level, photo.name):
                files = self._files.setdefault(stage, hashlib.sha256())
                files.update(json.dumps([photo.name, digest]).encode() + b"\n")
            level = level[0].children  # siblings share them

    def facts(self) -> dict[str, Any]:
        """As plain data: the versions of the ops and of the keys, a SHA-256 for each column and each stage's files."""
        return {
            "keys": FORMAT,
            "ops": self._ops,
            "columns": {name: values.hexdigest() for name, values in self._columns.items()},
            "files": {stage: files.hexdigest() for stage, files in self._files.items()},
        }


def _digests(steps: Sequence[Step], photo: str) -> Iterator[tuple[str, str]]:
    """(stage, SHA-256) of each file that steps read for a photo; an empty text for one that is not there."""
    for step in steps:
        try:
            yield from ((step.name, content(path)) for path in step.stage.input_files(photo))
        except PhotoError:
            yield step.name, ""
