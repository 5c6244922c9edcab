"""`Loras`: the LoRAs that a run knows by name, found, checked and identified without loading the base model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from darkroom.errors import SetupError, suggest
from darkroom.models.weights import MINIATURE_WEIGHTS, ModelFiles, weight_folders

LoraState = tuple[tuple[str, float], ...]
"""What is attached to the networks: pairs of (SHA-256 of a LoRA's file, weight), in one order; () for nothing."""

_FOLDER = "loras"  # in each folder for weights
_PUBLISHED = "pytorch_lora_weights.safetensors"  # diffusers' name for the file in a repository


class Loras:
    """The LoRAs of a run.

    Args:
        given: name to `miniature`, a path, or a file in a Hub repository (`models.loras`).
        checkpoint: returns the folder with the configuration of the inpainting model.

    Attributes:
        given: as given, with absolute paths.
    """

    def __init__(self, given: Mapping[str, str], checkpoint: Callable[[], Path]) -> None:
        self.given = {name: _absolute(place) for name, place in given.items()}
        self._checkpoint = checkpoint
        self._problems: dict[str, str | None] = {}
        self._paths: dict[str, Path] = {}  # by digest

    def problem(self, name: str) -> str | None:
        """Why a LoRA cannot be used, in one line: unknown, missing, damaged, or made for another model."""
        if name not in self._problems:
            self._problems[name] = self._problem(name)
        return self._problems[name]

    def state(self, weights: Mapping[str, float] | None) -> LoraState:
        """What some weights by name attach. A weight of 0 attaches nothing; the same file twice gets the sum.

        Raises:
            SetupError: one is not there.
        """
        total: dict[str, float] = {}
        for name, weight in (weights or {}).items():
            digest = self._digest(name)
            total[digest] = total.get(digest, 0.0) + weight
        return tuple(sorted((digest, weight) for digest, weight in total.items() if weight))

    def path(self, digest: str) -> Path:
        """The file of a part of a `state`."""
        return self._paths[digest]

    def describe(self, names: Iterable[str]) -> dict[str, Any]:
        """For `run.json`: the file and the digest of each; those that are not there are left out."""
        described = {}
        for name in dict.fromkeys(names):
            if self.problem(name) is None:
                digest = self._digest(name)
                described[name] = {"name": self.given[name], "weights": f"sha256:{digest}"}
        return described

    @property
    def names(self) -> list[str]:
        """All names that recipes may use."""
        return list(self.given)

    def _problem(self, name: str) -> str | None:
        if name not in self.given:
            return f"no LoRA '{name}' in models.loras, {suggest(name, self.names)}"
        from darkroom.models.lora_file import check

        try:
            return check(find_lora(name, self.given[name]), self._checkpoint())
        except SetupError as error:
            return str(error)

    def _digest(self, name: str) -> str:
        if name not in self.given:
            raise SetupError(f"no LoRA '{name}' in models.loras, {suggest(name, self.names)}")
        path = find_lora(name, self.given[name])
        digest = ModelFiles(name, path).identity().removeprefix("sha256:")
        self._paths[digest] = path
        return digest


def find_lora(name: str, given: str) -> Path:
    """The file of a LoRA.

    Args:
        name: of the LoRA.
        given: `miniature`, an absolute path, `owner/repository` or `owner/repository/file.safetensors` in the Hugging
            Face cache.

    Raises:
        SetupError: it is not there; the line gives the command that downloads it.
    """
    if given == "miniature":
        return _existing(name, MINIATURE_WEIGHTS / _FOLDER / f"{name}.safetensors")
    if Path(given).is_absolute():
        return _existing(name, Path(given))
    owner, repository, *rest = given.split("/")
    return _in_cache(name, f"{owner}/{repository}", "/".join(rest) or _PUBLISHED)


def _absolute(place: str) -> str:
    """A path as an absolute one; names of repositories, and `miniature`, as they are."""
    path = Path(place).expanduser()
    is_path = path.is_absolute() or place.startswith(".") or ("/" not in place and place != "miniature")
    return str(path.absolute()) if is_path or _is_file(path) else place


def find_again(name: str, given: Mapping[str, str], wanted: str) -> str | None:
    """Where the file of a LoRA is now: as given, among the other paths, or in `loras/` of a folder for weights.

    Args:
        name: of the LoRA.
        given: the places of all LoRAs, by name (`find_lora`).
        wanted: `sha256:` and the SHA-256 of its file.
    """
    if name in given:
        try:
            if ModelFiles(name, find_lora(name, given[name])).identity() == wanted:
                return given[name]
        except SetupError:
            pass
    found = (path for path in _candidates(given.values()) if ModelFiles(name, path).identity() == wanted)
    return next(map(str, found), None)


def _candidates(known: Iterable[str]) -> Iterator[Path]:
    for given in known:
        path = Path(given).expanduser().absolute()
        if _is_file(path):
            yield path
    for folder in (MINIATURE_WEIGHTS, *weight_folders()):
        yield from sorted((folder / _FOLDER).glob("*.safetensors"))


def _existing(name: str, path: Path) -> Path:
    if not _is_file(path):
        takes = "takes the path of a .safetensors file, or owner/repository/file.safetensors"
        problem = "is a folder, pipe or device, not a file" if os.path.lexists(path) else "no such file"
        raise SetupError(f"models.loras.{name}={path}: {problem}; models.loras {takes}")
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # such as a name of more than 255 characters
        return False


def _in_cache(name: str, repository: str, file: str) -> Path:
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(repository, file)
    except ValueError as error:  # no repository can have this name
        raise SetupError(f"models.loras.{name}={repository}/{file}: {error}") from None
    if not isinstance(found, str):
        raise SetupError(f"{repository}: {file} not in the Hugging Face cache; get it: hf download {repository} {file}")
    return Path(found)
