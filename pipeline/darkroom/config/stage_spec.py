"""`StageSpec`: a stage as written in a recipe, from which the stage for each photo is built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from darkroom.config.stage_defaults import MISSING
from darkroom.config.validation_errors import explain, wrong_keys
from darkroom.dataset.table_rows import DecimalComma, plain_path
from darkroom.errors import PhotoError, suggest
from darkroom.stages import STAGES, Stage
from darkroom.stages.markers import PathField

MAX_PICTURES = 10_000  # of one photo, so that a stranger's recipe cannot fill the memory with plans

_ITEM = re.compile(r"\$\{item\.(\w+)\}")


@dataclass(frozen=True)
class StageSpec:
    """A stage as written in a recipe; its parameters may refer to manifest columns.

    Attributes:
        name: its unique name in the recipe.
        op: key of `STAGES`.
        parameters: as written; texts may hold `${item.COLUMN}`.
        start: the manifest's folder, where relative paths from its columns start; None without a manifest.
    """

    name: str
    op: str
    parameters: Mapping[str, Any]
    start: Path | None = None

    @property
    def kind(self) -> type[Stage]:
        """The class of its op."""
        return STAGES[self.op]

    @cached_property
    def column_parameters(self) -> frozenset[str]:
        """The parameters that refer to manifest columns."""
        return frozenset(key for key, value in self.parameters.items() if _ITEM.search(str(value)))

    @property
    def per_photo(self) -> bool:
        """Whether each photo has a stage of its own, because parameters refer to manifest columns."""
        return bool(self.column_parameters)

    @property
    def columns(self) -> set[str]:
        """The columns that its parameters refer to."""
        return columns_in(self.parameters)

    def has_value(self, marker: type) -> bool:
        """Whether the value, or the default, of a parameter with this marker is not null."""
        fields = self.kind.__pydantic_fields__
        names = self.kind.fields_with(marker)
        return any(self.parameters.get(name, fields[name].default) is not None for name in names)

    def build(self, item: Mapping[str, Any]) -> Stage:
        """The stage for one photo; it is built once if no parameter refers to a column.

        Args:
            item: the photo's manifest columns; empty without a manifest.

        Raises:
            PhotoError: a column is missing, or its value is not valid for the parameter.
        """
        try:
            return self._build_from(item) if self.per_photo else self._shared
        except ValidationError as error:
            lines = explain(error, list(self.kind.__pydantic_fields__))
            raise PhotoError("; ".join(f"{self._place(key)}: {text}" for key, text in lines)) from None

    def _place(self, key: str) -> str:
        """A parameter, with the columns that its value comes from; without a parameter, the stage."""
        names = ", ".join(sorted(columns_in(self.parameters.get(key, ""))))
        return f"{self.name}.{key}".rstrip(".") + f" (column {names})" * bool(names)

    def build_known(self) -> Stage:
        """The stage from the parameters that do not refer to columns, for checks before photos are read.

        Raises:
            ValidationError: a value is wrong, or a required parameter is missing or refers to a column.
        """
        known = {
            key: value
            for key, value in self.parameters.items()
            if key not in self.column_parameters and value != MISSING
        }
        return self._shared if len(known) == len(self.parameters) else self.kind(**known)

    @cached_property
    def _shared(self) -> Stage:
        return self.kind(**self._with_columns({}))

    def _build_from(self, item: Mapping[str, Any]) -> Stage:
        parameters = self._with_columns(item)
        if (count := self.kind.count_variants(parameters)) > MAX_PICTURES:
            raise PhotoError(too_many_pictures(count))
        try:
            return self.kind(**parameters)
        except ValidationError as error:
            numbers = {key: parameters[key].number for key in wrong_keys(error) if _has_comma(parameters.get(key))}
            if not numbers:
                raise
            return self.kind(**{**parameters, **numbers})

    def _with_columns(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters with manifest columns filled in, and paths made absolute."""
        parameters = {key: fill_in(value, item) for key, value in self.parameters.items()}
        for key in self.kind.fields_with(PathField):
            if self.start and key in parameters:
                parameters[key] = _absolute(parameters[key], self.start)
        return parameters


def columns_in(value: Any) -> set[str]:
    """The columns that a value refers to."""
    return set(_ITEM.findall(str(value)))


def _absolute(value: Any, start: Path) -> Any:
    """A path, or a list of paths, that starts at a folder; absolute paths and anything else stay as they are."""
    if isinstance(value, list):
        return [_absolute(path, start) for path in value]
    return str(start / plain_path(start, value)) if isinstance(value, str) and value else value


def _has_comma(value: Any) -> bool:
    return isinstance(value, DecimalComma)


def too_many_pictures(count: int) -> str:
    """The problem of a recipe that makes `count` pictures of each photo."""
    return f"lists of values make {count} pictures of each photo; at most {MAX_PICTURES}, or use a sweep (-m)"


def fill_in(value: Any, item: Mapping[str, Any]) -> Any:
    """A value with manifest columns filled in: `${item.x}` alone becomes the column's value, inside text its text."""
    if isinstance(value, Mapping):
        return {key: fill_in(inner, item) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [fill_in(inner, item) for inner in value]
    if not isinstance(value, str):
        return value
    alone = _ITEM.fullmatch(value)
    return _column(alone[1], item) if alone else _ITEM.sub(lambda match: str(_column(match[1], item)), value)


def _column(name: str, item: Mapping[str, Any]) -> Any:
    if name not in item:
        raise PhotoError(f"the manifest has no column '{name}' for this photo, {suggest(name, list(item))}")
    return item[name]
