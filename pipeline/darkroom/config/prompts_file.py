"""Text files that fill a list parameter, such as `prompts_file` of `inpaint` (the marker `LinesFile`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from darkroom.config.recipe_paths import label
from darkroom.config.stage_defaults import MISSING, kinds_of, op_of
from darkroom.config.text_lists import read_lines, why_outside
from darkroom.config.wildcards import WILDCARD
from darkroom.errors import RecipeError
from darkroom.stages import STAGES
from darkroom.stages.markers import LinesFile


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
    """Refuse prompts files that a recipe names outside its own folder, or behind a link (`why_outside`).

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
        if isinstance(path, str) and path and (why := why_outside(path, start)):
            problems.append(f"{source}: {given.where}: {why}")
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
    lines = read_lines(path, fills)
    number = next((number for number, line in lines.items() if "${" in WILDCARD.sub("", line)), None)
    if number:
        text = f"of ${{...}}, a file of {fills}s may only have ${{wildcard.NAME}}"
        raise RecipeError(f"{label(path)}: line {number}: {text}")
    return list(lines.values())
