"""Content keys: what identifies a result before it is computed. Never a path, a name or a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from darkroom.errors import PhotoError
from darkroom.models import Models
from darkroom.stages import Stage
from darkroom.stages.markers import PathField, StageName
from darkroom.system.files import digest_of

FORMAT = 3  # raised when the same key would stand for results stored in another way
LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "scipy")  # what every op may compute with

_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class Keys:
    """Gives keys to photos and to the results of steps.

    A key is a SHA-256 over all that a result depends on: the photo's bytes, the ops so far with their versions and
    parameters, the content of the files that they read, the models' weights and numerics, the libraries' series.

    Args:
        models: which models the steps ask.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._print = lru_cache(maxsize=20_000)(self._fingerprint)

    def photo(self, digest: str) -> str:
        """The key of a photo as decoded.

        Args:
            digest: SHA-256 of its file.
        """
        return _hash("photo", FORMAT, _libraries(), digest)

    def step(self, op: str, stage: Stage, parent: str, above: Mapping[str, str], name: str) -> str:
        """The key of what a step makes.

        Args:
            op: its operation.
            stage: its parameters, scalar.
            parent: key of what it works on.
            above: keys of the earlier steps by their names in the recipe.
            name: the photo's, for stages that match files to it.

        Raises:
            PhotoError: a file that the stage reads is missing.
        """
        found = [above.get(each, "") for each in stage.needed_masks()]
        files = [content(path) for path in stage.input_files(name)]
        return _hash(parent, self._print(op, stage, self._models.batch_size), *found, *files)

    def _fingerprint(self, op: str, stage: Stage, batch_size: int) -> str:
        """Of a step without what it works on. A batch size that has changed is another numerics."""
        models = [self._models.identity(kind) for kind in stage.uses]
        return _hash(op, stage.version, parameters(stage), models, _libraries())


def handed_on(stage: Stage, key: str, parent: str) -> str:
    """The key of what the next step works on: a stage that only judges hands on what it was given.

    Args:
        stage: of this step.
        key: of this step's own result.
        parent: of what it was given.
    """
    return parent if stage.is_gate else key


def parameters(stage: Stage) -> dict[str, Any]:
    """The parameters of a stage that are part of cache keys; none of a gate's."""
    if stage.is_gate:
        return {}
    left_out = {*stage.fields_with(PathField), *stage.fields_with(StageName)}
    return {key: value for key, value in asdict(stage).items() if key not in left_out}


def _hash(*parts: Any) -> str:
    return hashlib.sha256(_ENCODE(parts).encode()).hexdigest()


def content(path: Path) -> str:
    """SHA-256 of a file that a stage reads; `PhotoError` where it cannot be read."""
    try:
        return digest_of(path)
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read: {error.strerror}") from None


@cache
def _libraries() -> dict[str, str]:
    return {name: version(name).split(".")[0] for name in LIBRARIES}
