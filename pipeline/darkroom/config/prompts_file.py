"""Text files that fill a list parameter, such as `prompts_file` of `inpaint` (the marker `LinesFile`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from darkroom.config.recipe_paths import home, is_file, label, read_text
from darkroom.config.stage_defaults import MISSING, kinds_of, op_of
from darkroom.errors import RecipeError
from darkroom.stages import STAGES
from darkroom.stages.markers import LinesFile
from darkroom.system.files import Folder


class _Given(NamedTuple):
    """A file that a stage of a recipe names."""

    name: str  # of the stage
    stage: dict[str, Any]
    key: str  # the parameter that names the file
    fills: str  # the parameter that takes its lines

    @property
    def where(self) -> str:
        return f"stages.{self.name}.{self.key}"


def read_prompt_files(config: Mapping[str, Any]) -> None:
    """Put the lines of every prompts file into a composed recipe, so that its snapshot needs no other file.

    A prompts file, NAME.txt, is UTF-8 text with one prompt per line; blank lines and lines that begin with # are left
    out.

    Args:
        config: changed in place: `prompt` becomes the list of prompts, `prompts_file` null. Its paths are absolute.

    Raises:
        RecipeError: with every file that cannot be read, is not such a file or holds no prompt, or is given together
            with a `prompt`.
    """
    problems: list[str] = []
    for given in _files_in(config, {}):
        if STAGES.get(op_of(given.name, given.stage)) is None:
            continue  # reported when the recipe is checked
        try:
            lines = _lines(given)
        except RecipeError as error:
            problems += [f"{given.where}: {text}" for text in error.problems]
        else:
            given.stage.update({given.fills: lines, given.key: None})
    if problems:
        raise RecipeError(problems)


def confine_prompt_files(config: Mapping[str, Any], inherited: Mapping[str, Any], start: Path, source: str) -> None:
    """Refuse prompts files that a recipe names outside its own folder, or behind a link.

    Their lines end up in the metadata of pictures: a recipe from a stranger must not copy private texts into them.

    Args:
        config: the recipe, as written.
        inherited: the stages of its base.
        start: its folder.
        source: names the recipe in error lines.

    Raises:
        RecipeError: with every such file.
    """
    problems = []
    for given in _files_in(config, inherited):
        path = given.stage[given.key]
        if isinstance(path, str) and path:
            try:
                Folder(start).open(home(path).as_posix()).close()
            except FileNotFoundError:
                continue  # reported when its prompts are read, from the same place
            except OSError as error:
                text = "a recipe may name one in its own folder; give any other on the command line"
                problems.append(f"{source}: {given.where}: {path}: {error.strerror}; {text}")
    if problems:
        raise RecipeError(problems)


def _files_in(config: Mapping[str, Any], inherited: Mapping[str, Any]) -> Iterator[_Given]:
    stages = config.get("stages")
    for name, stage in stages.items() if isinstance(stages, Mapping) else ():
        for kind in kinds_of(op_of(name, stage, inherited)) if isinstance(stage, dict) else ():
            for key in kind.fields_with(LinesFile):
                if stage.get(key) is not None:
                    yield _Given(name, stage, key, kind.marker_of(key, LinesFile).fills)


def _lines(given: _Given) -> list[str]:
    """The lines of a file; the errors leave out its key."""
    path, fills = given.stage[given.key], given.fills
    if given.stage.get(fills) not in (None, MISSING):
        raise RecipeError(f"`{fills}` is given too; set one of them to null, as in stages.{given.name}.{fills}=null")
    if not isinstance(path, str) or not path:
        raise RecipeError(f"should be the path of a text file with one {fills} per line; got {path!r:.60}")
    if "${" in path:
        raise RecipeError(f"{path}: one file serves all photos; ${{...}} cannot be part of its path")
    return _read_lines(Path(path), fills)


def _read_lines(path: Path, fills: str) -> list[str]:
    if path.suffix.lower() != ".txt":
        raise RecipeError(f"{label(path)}: the name of a file of {fills}s must end in .txt")
    if not is_file(path):
        raise RecipeError(f"{label(path)}: no such file")
    lines = [line.strip() for line in re.split(r"\r\n?|\n", read_text(path))]
    kept = {number: line for number, line in enumerate(lines, 1) if line and not line.startswith("#")}
    number = next((number for number, line in kept.items() if "${" in line), None)
    if number:
        raise RecipeError(f"{label(path)}: line {number}: ${{...}} is not supported in a file of {fills}s")
    if not kept:
        raise RecipeError(f"{label(path)}: holds no {fills}; write one per line")
    return list(kept.values())
