"""Paths that users write: in recipes and on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from darkroom.config.stage_defaults import MISSING, kinds_of, op_of
from darkroom.errors import RecipeError
from darkroom.resources import ROOT
from darkroom.stages.markers import PathField
from darkroom.system.files import read_file

_MAX_BYTES = 1_000_000
_PATHS = ("images", "manifest", "folder")  # of `dataset`
_RESULT_PATHS = ("c2pa_certificate", "c2pa_key")  # of `results`, on the command line
_PATTERNS = ("only", "exclude")


def home(text: str) -> Path:
    """A path with `~` expanded, or unchanged if there is no such user."""
    try:
        return Path(text).expanduser()
    except (RuntimeError, ValueError):  # or none can have this name
        return Path(text)


def label(path: Path) -> str:
    """The name of a recipe file in error lines: relative to the project or the current folder if it lies inside."""
    for start in (ROOT, Path.cwd()):
        if path.is_relative_to(start):
            return path.relative_to(start).as_posix()
    return str(path)


def outputs_folder(text: str) -> Path:
    """The folder in which run folders are made, absolute.

    Raises:
        RecipeError: no folder can have this name.
    """
    path = Path.cwd() / home(text)
    try:
        path.exists()
    except (OSError, ValueError) as error:  # such as a name of more than 255 characters, or a null character
        reason = getattr(error, "strerror", None) or error
        raise RecipeError(f"command line: outputs={text:.80}: no folder can have this name: {reason}") from None
    return path


def is_file(path: Path) -> bool:
    """Whether there is such a file; False for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # such as a name of more than 255 characters, or a null character
        return False


def read_text(path: Path) -> str:
    """The text of a recipe or prompts file. Raises `RecipeError` if it is not UTF-8, too large or cannot be read."""
    try:
        return read_file(path, _MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{label(path)}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise RecipeError(f"{label(path)}: cannot be read: {error.strerror}") from None


def is_photo_list(entry: Any) -> bool:
    """Whether an entry of `dataset.only` or `dataset.exclude` is a text file with names, and not a pattern."""
    return isinstance(entry, str) and entry.lower().endswith(".txt")


def make_paths_absolute(config: dict[str, Any], start: Path, inherited: Mapping[str, Any] | None = None) -> None:
    """Make relative paths in a recipe absolute, in place. A path that begins with `${item.COLUMN}` stays.

    Args:
        config: the recipe.
        start: the folder where relative paths start.
        inherited: the stages of its base, from which stages without an `op` take theirs.
    """
    for mapping, key in _paths_in(config, inherited or {}):
        mapping[key] = _absolute(mapping[key], start)
    for mapping, key in _given(config.get("dataset"), _PATTERNS):
        entries = mapping[key] if isinstance(mapping[key], list) else [mapping[key]]
        mapping[key] = [_absolute(entry, start) if is_photo_list(entry) else entry for entry in entries]
    wildcards = config.get("wildcards")
    for mapping, key in _given(wildcards, tuple(wildcards) if isinstance(wildcards, dict) else ()):
        if isinstance(mapping[key], str):
            mapping[key] = _absolute(mapping[key], start)


def _absolute(value: Any, start: Path) -> Any:
    if isinstance(value, list):
        return [_absolute(path, start) for path in value]
    if isinstance(value, dict):
        return {name: _absolute(path, start) for name, path in value.items()}
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # a folder called 2024, which the command line reads as a number
    is_path = isinstance(value, str) and value and not value.startswith("${")
    return str(start / home(value)) if is_path else value


def _paths_in(config: Mapping[str, Any], inherited: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """(mapping, key) of every path in a recipe that is given and not null."""
    yield from _given(config.get("dataset"), _PATHS)
    yield from _given(config.get("results"), _RESULT_PATHS)
    stages = config.get("stages")
    for name, stage in stages.items() if isinstance(stages, Mapping) else ():
        kinds = kinds_of(op_of(name, stage, inherited))
        yield from _given(stage, {key: None for kind in kinds for key in kind.fields_with(PathField)})


def _given(section: Any, keys: Iterable[str]) -> Iterator[tuple[dict[str, Any], str]]:
    for key in keys if isinstance(section, dict) else ():
        if section.get(key) not in (None, MISSING):
            yield section, key
