"""Cache keys: hashes that identify a result before it is computed. They hold no path, name or time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from operator import is_
from pathlib import Path
from typing import Any, NamedTuple

from darkroom.errors import PhotoError
from darkroom.models import Models
from darkroom.stages import Stage
from darkroom.stages.markers import FileNamePart, LoraNames, PathField, StageName
from darkroom.system.files import digest_of

FORMAT = 3  # raise it when the format of stored results changes
LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "scipy")  # that any op may use

_REMEMBERED = 500  # stages
_GAP = "\0"  # which JSON writes otherwise

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
        self._photo = hashlib.sha256(_ENCODE(("photo", FORMAT, _libraries(), "")).removesuffix('"]').encode())
        self._libraries = _ENCODE(_libraries())
        self._identity = cache(lambda kind, batch_size: _ENCODE(models.identity(kind)))
        self._known: dict[int, _Known] = {}
        self._facts: dict[int, _Facts] = {}
        self._encoded: dict[type[Stage], _Encoded] = {}

    def photo(self, digest: str) -> str:
        """The key of a photo as decoded.

        Args:
            digest: SHA-256 of its file.
        """
        return _continued(self._photo, f'{digest}"]')

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
        known = self._known.get(id(stage))
        if known is None or known[1] != self._models.batch_size:
            known = self._know(op, stage)
        _, _, start, facts = known
        if facts.is_alone:  # most
            return _continued(start, f'{parent}"]')
        masks = [above.get(mask, "") for mask in facts.masks]
        files = [content(path) for path in stage.input_files(name)] if facts.reads_files else []
        return _continued(start, '","'.join([parent, *masks, *files]) + '"]')

    def _know(self, op: str, stage: Stage) -> _Known:
        """What the keys of a stage's results need, which stays as long as the size of batches does."""
        size, alike = self._models.batch_size, stage.alike
        facts = self._facts.get(id(alike))
        if facts is None or facts.batch_size != size:
            facts = _Facts(alike, size)
            _put(self._facts, id(alike), facts)
        if alike is stage:
            fingerprint = hashlib.sha256("".join(self._text(op, stage, size)).encode()).hexdigest()
        else:
            facts.around = facts.around or _Around(alike, self._text(op, alike, size, alike.plain_texts))
            fingerprint = facts.around.fingerprint(stage)
        # The beginning of a JSON list of hexadecimal texts, which keys continue.
        known = stage, size, hashlib.sha256(f'["{fingerprint}","'.encode()), facts
        _put(self._known, id(stage), known)
        return known

    def _text(self, op: str, stage: Stage, batch_size: int, without: Collection[str] = ()) -> list[str]:
        """What a step is without its input, as JSON, in the pieces that are left without the values of some parameters.
        `batch_size` can change during a run.
        """
        models = [self._identity(kind, batch_size) for kind in stage.models()]
        if loras := stage.loras():
            models += map(_ENCODE, self._models.lora_identity(loras))
        latest = self._encoded.setdefault(type(stage), _Encoded((), (), []))
        encoded = self._encoded[type(stage)] = latest.followed_by(parameters(stage))
        begin, end = f'["{op}",{stage.version},{{', f"}},[{','.join(models)}],{self._libraries}]"
        return (begin + ",".join(encoded.without(without)) + end).split(_GAP)


def _continued(start: hashlib._Hash, text: str) -> str:
    """The hash of a text that continues another one, in hexadecimal digits."""
    whole = start.copy()
    whole.update(text.encode())
    return whole.hexdigest()


class _Encoded(NamedTuple):
    """Parameters as JSON.

    Attributes:
        names: theirs, sorted.
        values: theirs.
        texts: of name and value.
    """

    names: Sequence[str]
    values: Sequence[Any]
    texts: list[str]

    def followed_by(self, parameters: Mapping[str, Any]) -> _Encoded:
        """The parameters of the next stage of this op; a value that is the very one of this stage is not encoded again,
        such as all but the prompts of a table's rows.
        """
        names, values = tuple(parameters), tuple(parameters.values())
        if names != self.names:
            return _Encoded(names, values, list(map(_pair, names, values)))
        texts = self.texts.copy()
        for index, is_same in enumerate(map(is_, values, self.values)):
            if not is_same:
                texts[index] = _pair(names[index], values[index])
        return _Encoded(names, values, texts)

    def without(self, left_out: Collection[str]) -> Sequence[str]:
        """The texts, with `_GAP` in the place of some values."""
        if not left_out:
            return self.texts
        pairs = zip(self.names, self.texts, strict=True)
        return [f"{_ENCODE(name)}:{_GAP}" if name in left_out else text for name, text in pairs]


def _pair(name: str, value: Any) -> str:
    """A parameter in the JSON of an object."""
    return f"{_ENCODE(name)}:{_ENCODE(value)}"


class _Around:
    """What is hashed of stages that are alike, apart from their plain texts.

    Args:
        alike: any of them.
        pieces: see `Keys._text`.
    """

    def __init__(self, alike: Stage, pieces: Sequence[str]) -> None:
        self._start = hashlib.sha256(pieces[0].encode())
        self._rest = list(zip(sorted(alike.plain_texts), pieces[1:], strict=True))

    def fingerprint(self, stage: Stage) -> str:
        """The hash for one of the stages."""
        given = vars(stage)
        return _continued(self._start, "".join([f'"{given[name]}"{text}' for name, text in self._rest]))


class _Facts:
    """What is known of stages that are alike.

    Attributes:
        batch_size: for which it is known.
        masks: see `Stage.needed_masks`.
        reads_files: whether they may have input files.
        is_alone: whether their results depend on nothing else but those of the step before them.
        around: made when there are several of them.
    """

    def __init__(self, stage: Stage, batch_size: int) -> None:
        self._stage = stage  # kept alive, so that its identity is its own
        self.batch_size = batch_size
        self.around: _Around | None = None
        paths = stage.fields_with(PathField)
        self.masks = stage.needed_masks() if stage.fields_with(StageName) else ()
        overridden = type(stage).input_files is not Stage.input_files
        self.reads_files = any([getattr(stage, name) is not None for name in paths]) or (overridden and not paths)
        self.is_alone = not (self.masks or self.reads_files)


_Known = tuple[Stage, int, Any, _Facts]
"""A stage, which is kept alive; the size of batches; the hash of the beginning of its keys; and its facts."""


def _put(memory: dict[int, Any], which: int, value: Any) -> None:
    """Remember a value; a memory that is full begins anew."""
    if len(memory) >= _REMEMBERED:
        memory.clear()
    memory[which] = value


def output_key(stage: Stage, key: str, parent: str) -> str:
    """The key of the edit that a step passes on: its own key, or its parent's for a gate, which changes nothing.

    Args:
        stage: of this step.
        key: of this step's own result.
        parent: of the edit that it works on.
    """
    return parent if stage.is_gate else key


def parameters(stage: Stage) -> dict[str, Any]:
    """The parameters of a stage that are part of cache keys, in the order of their names; empty for a gate.

    Of files and stages that are given by name, as in `{depth: depth.png}`, the names are part.
    """
    by_value, by_name = _parts_of_keys(type(stage))
    given = vars(stage)
    values = {key: given[key] for key in by_value}
    named = [key for key in by_name if given[key] is not None and isinstance(given[key], Mapping)]
    return dict(sorted((values | {key: list(given[key]) for key in named}).items())) if named else values


@cache
def _parts_of_keys(kind: type[Stage]) -> tuple[Sequence[str], Sequence[str]]:
    """The parameters whose values are part of cache keys, sorted, and those whose names can be."""
    if kind.is_gate:
        return (), ()
    paths = {name for marker in (PathField, FileNamePart, StageName) for name in kind.fields_with(marker)}
    return sorted(kind.__pydantic_fields__.keys() - paths.union(kind.fields_with(LoraNames))), sorted(paths)


def content(path: Path) -> str:
    """SHA-256 of a file that a stage reads; `PhotoError` where it cannot be read."""
    try:
        return digest_of(path)
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read: {error.strerror}") from None


@cache
def _libraries() -> dict[str, str]:
    return {name: version(name).split(".")[0] for name in LIBRARIES}
