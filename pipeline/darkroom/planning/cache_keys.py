"""Cache keys: hashes that identify a result before it is computed. They hold no path, name or time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from darkroom.errors import PhotoError
from darkroom.models import Models
from darkroom.planning.by_identity import ByIdentity
from darkroom.stages import Stage
from darkroom.stages.markers import FileNamePart, LoraNames, PathField, StageName
from darkroom.system.files import digest_of

FORMAT = 3  # raise it when the format of stored results changes
LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "scipy")  # that any op may use

_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class Keys:
    """Makes the keys of photos and of the results of steps.

    A key is a SHA-256 over everything that a result depends on: the photo's bytes, the ops so far with their versions
    and parameters, the content of the files they read, the weights and numerics of the models, and the major versions
    of the libraries.

    Args:
        models: that the steps use.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._photo = _ENCODE(("photo", FORMAT, _libraries(), "")).removesuffix('""]')  # and a digest
        self._libraries = _ENCODE(_libraries())
        self._identity = cache(lambda kind, batch_size: _ENCODE(models.identity(kind)))
        self._facts = ByIdentity(_facts)
        self._print = lru_cache(maxsize=20_000)(self._fingerprint)

    def photo(self, digest: str) -> str:
        """The key of a photo as decoded.

        Args:
            digest: SHA-256 of its file.
        """
        return hashlib.sha256(f'{self._photo}"{digest}"]'.encode()).hexdigest()

    def step(self, op: str, stage: Stage, parent: str, above: Mapping[str, str], name: str) -> str:
        """The key of a step's result.

        Args:
            op: its operation.
            stage: its parameters, scalar.
            parent: key of the edit that it works on.
            above: keys of the earlier steps, by name in the recipe.
            name: file name of the photo, for stages that match files to it.

        Raises:
            PhotoError: a file that the stage reads is missing.
        """
        facts = self._facts(stage)
        size = self._models.batch_size
        fingerprint = facts.prints.get(size)
        if fingerprint is None:
            fingerprint = facts.prints[size] = self._print(op, stage, size)
        inputs = [parent, fingerprint]
        if facts.masks:
            inputs += [above.get(name, "") for name in facts.masks]
        if facts.reads_files:
            inputs += [content(path) for path in stage.input_files(name)]
        parts = '","'.join(inputs)
        return hashlib.sha256(f'["{parts}"]'.encode()).hexdigest()  # JSON of hexadecimal texts

    def _fingerprint(self, op: str, stage: Stage, batch_size: int) -> str:
        """The hash of a step without its input. `batch_size`, which can change during a run, is an argument so that the
        cache notices.
        """
        models = [self._identity(kind, batch_size) for kind in stage.models()]
        if loras := stage.loras():
            models += map(_ENCODE, self._models.lora_identity(loras))
        start, values = _ENCODE((op, stage.version)).removesuffix("]"), _ENCODE(parameters(stage))
        text = f"{start},{values},[{','.join(models)}],{self._libraries}]"  # as JSON, of parts that are encoded once
        return hashlib.sha256(text.encode()).hexdigest()


class _Facts(NamedTuple):
    """What the key of a stage needs.

    Attributes:
        masks: see `Stage.needed_masks`.
        reads_files: whether it may have input files.
        prints: its `Keys._fingerprint` by the size of a batch; filled in when needed.
    """

    masks: Sequence[str]
    reads_files: bool
    prints: dict[int, str]


def _facts(stage: Stage) -> _Facts:
    paths = stage.fields_with(PathField)
    overridden = type(stage).input_files is not Stage.input_files
    reads_files = any(getattr(stage, name) is not None for name in paths) or (overridden and not paths)
    return _Facts(stage.needed_masks(), reads_files, {})


def output_key(stage: Stage, key: str, parent: str) -> str:
    """The key of the edit that a step passes on: its own key, or its parent's for a gate, which changes nothing.

    Args:
        stage: of this step.
        key: of this step's own result.
        parent: of the edit that it works on.
    """
    return parent if stage.is_gate else key


def parameters(stage: Stage) -> dict[str, Any]:
    """The parameters of a stage that are part of cache keys; empty for a gate."""
    if stage.is_gate:
        return {}
    paths = {name for marker in (PathField, FileNamePart, StageName) for name in stage.fields_with(marker)}
    left_out = paths.union(stage.fields_with(LoraNames))
    values = {name: getattr(stage, name) for name in stage.__pydantic_fields__}
    names = {key: list(values[key]) for key in paths if isinstance(values[key], Mapping)}
    return {key: value for key, value in values.items() if key not in left_out} | names


def content(path: Path) -> str:
    """SHA-256 of a file that a stage reads; `PhotoError` where it cannot be read."""
    try:
        return digest_of(path)
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read: {error.strerror}") from None


@cache
def _libraries() -> dict[str, str]:
    return {name: version(name).split(".")[0] for name in LIBRARIES}
