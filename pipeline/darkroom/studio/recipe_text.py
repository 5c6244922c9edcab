"""Writes a draft as somebody would have written it by hand: a commented recipe, and a manifest where photos differ."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkroom.config import recipe_yaml
from darkroom.dataset import Dataset, Photo
from darkroom.dataset.table_rows import IMAGE
from darkroom.resources import COMMAND
from darkroom.stages import STAGES
from darkroom.studio.brush import Painting, is_brush
from darkroom.studio.clicks import made_by_clicks

if TYPE_CHECKING:
    from darkroom.studio.state import State

_WIDTH = 100  # characters of a stage on one line
_COLUMN = 48  # where comments begin
_ITEM = re.compile(r"\$\{item\.(\w+)\}")


@dataclass(frozen=True)
class Written:
    """A draft as text.

    Attributes:
        name: of the recipe.
        rest: of the recipe, where it is not the default: `wildcards` and `on_empty`.
        dataset: the recipe's section `dataset`; `manifest` is left out if there is one: its file has no name yet.
        stages: as they are written.
        rows: the manifest's rows; None if the recipe needs no manifest.
        begun: rows of photos that wait for more clicks, which the recipe leaves out.
        paintings: all masks of the draft, by the name of their file.
    """

    name: str
    rest: Mapping[str, Any]
    dataset: Mapping[str, Any]
    stages: Mapping[str, Mapping[str, Any]]
    rows: list[dict[str, Any]] | None
    begun: list[dict[str, Any]]
    paintings: Mapping[str, Painting]

    @classmethod
    def of(
        cls,
        name: str,
        rest: Mapping[str, Any],
        dataset: Dataset,
        photos: Mapping[str, Photo],
        state: State,
        folders: tuple[Path, str],
    ) -> Written:
        """A draft as it stands; for the arguments see `Draft.written`, whose `start` and `masks` are the folders."""
        start, masks = folders
        columns = {stage: _columns(state, stage) for stage in state.clicked}
        if len(photos) == 1:
            clicks = state.from_clicks(next(iter(photos)), masks)
        elif state.clicks and any(any(of_photo.values()) for of_photo in state.clicks.values()):
            clicks = {
                stage: {key: f"${{item.{column}}}" for key, column in columns[stage].items()} for stage in columns
            }
            rows = [_row(photo, state, columns, masks) for photo in photos.values() if state.takes(photo.name)]
            begun = [_row(photo, state, columns, masks) for photo in photos.values() if state.is_begun(photo.name)]
            stages = {stage: {**given, **clicks.get(stage, {})} for stage, given in state.stages.items()}
            return cls(name, rest, {"folder": _shown(_root(photos), start)}, stages, rows, begun, state.paintings())
        else:
            clicks = state.from_clicks("", masks)
        stages = {stage: {**given, **clicks.get(stage, {})} for stage, given in state.stages.items()}
        return cls(name, rest, plain(dataset, start), stages, None, [], state.paintings())

    def recipe(self, path: str, manifest: str) -> str:
        """The recipe file.

        Args:
            path: of this file, for the command in its first lines.
            manifest: the name of the manifest beside it.
        """
        dataset = dict(self.dataset) if self.rows is None else {"manifest": manifest, **self.dataset}
        lines = [
            f"# {self.name}, made in the studio.",
            f"#   {COMMAND} recipe={path}",
            f"name: {recipe_yaml.inline(self.name)}",
            f"dataset: {recipe_yaml.inline(dataset)}",
            *(f"{key}: {recipe_yaml.inline(value)}" for key, value in self.rest.items() if value != "fail"),
            "",
            "stages:",
        ]
        for name, stage in self.stages.items():
            lines += _stage_lines(name, stage)
        return "\n".join(lines) + "\n"

    def named_paintings(self) -> dict[str, Painting]:
        """The masks that the files name: not those of photos that wait for clicks."""
        values = [value for each in (*self.stages.values(), *(self.rows or ())) for value in each.values()]
        names = {value.rpartition("/")[2] for value in values if isinstance(value, str)}
        return {name: painting for name, painting in self.paintings.items() if name in names}

    def manifest(self) -> str:
        """The manifest file, in JSON Lines."""
        return as_lines(self.rows or ())


def as_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows in JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def summary_of(op: str) -> str:
    """What an op does, in one line: the first line of its module."""
    text = (sys.modules[STAGES[op].__module__].__doc__ or "").partition("\n")[0]
    return text.partition(": ")[2].rstrip(".") or op


def columns_of(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The manifest columns that parameters consist of, by parameter."""
    found = {key: _ITEM.fullmatch(value) for key, value in parameters.items() if isinstance(value, str)}
    return {key: match[1] for key, match in found.items() if match}


def _stage_lines(name: str, stage: Mapping[str, Any]) -> list[str]:
    op = stage["op"]
    parameters = {key: value for key, value in stage.items() if key != "op" or op != name}
    comment = f"# {summary_of(op)}" if op in STAGES else ""
    key = recipe_yaml.inline(name)
    if not parameters:
        return [f"  {key}:".ljust(_COLUMN) + f" {comment}"]
    line = f"  {key}: {recipe_yaml.inline(parameters)}"
    if len(line) <= _WIDTH:
        return (
            [f"{line.ljust(_COLUMN)} {comment}"] if len(line) + len(comment) < _WIDTH + 20 else [f"  {comment}", line]
        )
    block = [f"    {recipe_yaml.inline(key)}: {recipe_yaml.inline(value)}" for key, value in parameters.items()]
    return [f"  {key}:".ljust(_COLUMN) + f" {comment}", *block]


def _columns(state: State, stage: str) -> dict[str, str]:
    """The manifest column of each parameter that is made by clicks; named after the stage if several have such."""
    names = made_by_clicks(state.stages[stage])
    if is_brush(state.stages[stage]):
        return {name: re.sub(r"\W", "_", f"{stage}_mask") for name in names}
    alone = len(state.clicked) == 1
    return {name: name if alone else re.sub(r"\W", "_", f"{stage}_{name}") for name in names}


def _row(photo: Photo, state: State, columns: Mapping[str, Mapping[str, str]], masks: str) -> dict[str, Any]:
    """The manifest's row of a photo. A stage that waits for strokes has no column in it."""
    clicks = state.from_clicks(photo.name, masks)
    row: dict[str, Any] = {IMAGE: photo.name, **photo.item}
    for stage, names in columns.items():
        default = {"choose": "score", "file": None}
        row |= {column: clicks[stage].get(name, default.get(name, [])) for name, column in names.items()}
    return {column: value for column, value in row.items() if value is not None or column in photo.item}


def _root(photos: Mapping[str, Photo]) -> Path:
    """The folder that the photos' names start at."""
    name, photo = next(iter(photos.items()))
    parts = len(Path(name).parts)
    return photo.path.parents[parts - 1] if parts <= len(photo.path.parents) else photo.path.parent


def plain(dataset: Dataset, start: Path | None = None) -> dict[str, Any]:
    """The section `dataset` of a recipe in the folder `start`; with absolute paths if it is None."""
    given = {name: getattr(dataset, name) for name in ("images", "manifest", "folder")}
    paths = {name: value if start is None else _shown_all(value, start) for name, value in given.items() if value}
    chosen = {name: list(getattr(dataset, name)) for name in ("only", "exclude") if getattr(dataset, name)}
    return {**paths, **chosen}


def _shown_all(value: str | list[str], start: Path) -> Any:
    return [_shown(Path(each), start) for each in value] if isinstance(value, list) else _shown(Path(value), start)


def _shown(path: Path, start: Path) -> str:
    """A path as a recipe in the folder `start` names it: relative if it lies below, so that both can move together."""
    return path.relative_to(start).as_posix() if path.is_relative_to(start) and path != start else str(path)
