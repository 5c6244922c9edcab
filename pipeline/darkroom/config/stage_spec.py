"""`StageSpec`: a stage as written in a recipe, from which the stages for each photo are built."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from darkroom.config.stage_defaults import MISSING
from darkroom.config.validation_errors import explain, wrong_keys
from darkroom.dataset.table_rows import DecimalComma, plain_path
from darkroom.errors import PhotoError, suggest
from darkroom.stages import STAGES, Stage
from darkroom.stages.markers import EachValue, PathField, Prose, RandomSeed
from darkroom.stages.seeds import SeedRule

MAX_PICTURES = 10_000  # of one photo, so that a stranger's recipe cannot fill the memory with plans

_ITEM = re.compile(r"\$\{item\.(\w+)\}")


@dataclass(frozen=True)
class StageSpec:
    """A stage as written in a recipe; its parameters may refer to columns.

    Attributes:
        name: its unique name in the recipe.
        op: key of `STAGES`.
        parameters: as written; texts may hold `${item.COLUMN}`.
        start: the manifest's folder, where relative paths from its columns start; None without a manifest.
        places: where some parameters are written, such as `prompt[1].steps`, if that is not their own key.
    """

    name: str
    op: str
    parameters: Mapping[str, Any]
    start: Path | None = None
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> type[Stage]:
        """The class of its op."""
        return STAGES[self.op]

    @cached_property
    def parts(self) -> Sequence[StageSpec]:
        """This stage, or a stage for each item of a list that takes other parameters along (`EachValue`)."""
        for key in self.kind.fields_with(EachValue):
            items = self.parameters.get(key)
            if not (self.kind.marker_of(key, EachValue).takes_along and isinstance(items, list | tuple)):
                continue
            if any(isinstance(item, Mapping) for item in items):
                return [self._part(key, index, item) for index, item in enumerate(items)]
        return [self]

    @cached_property
    def column_parameters(self) -> frozenset[str]:
        """The parameters that refer to columns."""
        return frozenset(key for key, value in self.parameters.items() if _ITEM.search(str(value)))

    @cached_property
    def needs_digest(self) -> bool:
        """Whether its seeds depend on the photo."""
        rules = (rule for part in self.parts for rule in part._seed_rules(part.parameters).values())
        return any(rule.per_photo for rule in rules)

    @property
    def per_photo(self) -> bool:
        """Whether each photo has a stage of its own."""
        return bool(self.column_parameters) or self.needs_digest

    @property
    def columns(self) -> set[str]:
        """The columns that its parameters refer to."""
        return columns_in(self.parameters)

    def place(self, key: str) -> str:
        """Where a parameter is written, as a key of the recipe, such as `stages.inpaint.steps`."""
        return f"stages.{self.name}.{self.places.get(key, key)}".rstrip(".")

    def has_value(self, marker: type) -> bool:
        """Whether the value, or the default, of a parameter with this marker is not null."""
        fields = self.kind.__pydantic_fields__
        names = self.kind.fields_with(marker)
        return any(self.parameters.get(name, fields[name].default) is not None for name in names)

    def count_variants(self) -> int:
        """The number of stages that lists in its parameters make of it, before equal ones are dropped."""
        return sum(part.kind.count_variants(part._with_seeds(part.parameters, "")) for part in self.parts)

    def variants(self, item: Mapping[str, Any], digest: str | None = None) -> Sequence[Stage]:
        """The scalar stages for one photo; they are built once if they are the same for all photos.

        Args:
            item: the photo's columns; empty if none are used.
            digest: SHA-256 of the photo's file, if the spec needs it; an empty text if it is not known yet.

        Raises:
            PhotoError: a column is missing, or its value is not valid for the parameter.
        """
        if len(self.parts) == 1:
            return self.parts[0].build(item, digest).variants()
        stages: dict[Stage, None] = {}
        for part in self.parts:
            stages |= dict.fromkeys(part.build(item, digest).variants())
            if len(stages) > MAX_PICTURES:
                raise PhotoError(too_many_pictures(f"over {MAX_PICTURES}"))
        return list(stages)

    def build(self, item: Mapping[str, Any], digest: str | None = None) -> Stage:
        """The stage, of a spec that is its only part, for one photo. See `variants`."""
        try:
            return self._build_from(item, digest) if self.per_photo else self._shared
        except ValidationError as error:
            lines = explain(error, list(self.kind.__pydantic_fields__))
            raise PhotoError("; ".join(f"{self._named(key)}: {text}" for key, text in lines)) from None

    def _named(self, key: str) -> str:
        """A parameter, with the columns that its value comes from; without a parameter, the stage."""
        names = ", ".join(sorted(columns_in(self.parameters.get(key, "") if key else self.parameters)))
        return self.place(key).removeprefix("stages.") + f" (column {names})" * bool(names)

    def build_known(self) -> Stage:
        """The stage, of a spec that is its only part, from the parameters that do not refer to columns, for checks
        before photos are read.

        Raises:
            ValidationError: a value is wrong, or a required parameter is missing or refers to a column.
        """
        known = {
            key: value
            for key, value in self.parameters.items()
            if key not in self.column_parameters and value != MISSING
        }
        return self._shared if len(known) == len(self.parameters) else self.kind(**self._with_seeds(known, ""))

    @cached_property
    def _constant(self) -> dict[str, Any]:
        """The parameters; those of `_changing` are still to be filled in, and keep their places."""
        waiting = self.column_parameters
        constant = {key: None if key in waiting else fill_in(value, {}) for key, value in self.parameters.items()}
        return self._with_seeds(self._with_places(constant), None)

    @cached_property
    def _own_seeds(self) -> frozenset[str]:
        """The parameters that are seeds of the photo."""
        return frozenset(key for key, rule in self._seed_rules(self.parameters).items() if rule.per_photo)

    @cached_property
    def _changes_prose_only(self) -> bool:
        """Whether the parameters that differ between photos are neither paths nor seeds."""
        return not self._own_seeds and self.column_parameters <= {*self.kind.fields_with(Prose)}

    @cached_property
    def _multiplying(self) -> frozenset[str]:
        """The parameters that refer to columns and make a picture for each value of a list."""
        return self.column_parameters.intersection(self.kind.fields_with(EachValue))

    @cached_property
    def _built(self) -> list[Stage]:
        """The first stage for a photo, which the others resemble; empty before."""
        return []

    @cached_property
    def _shared(self) -> Stage:
        return self.kind(**self._with_seeds(self._constant, ""))

    def _part(self, key: str, index: int, item: Any) -> StageSpec:
        """The stage for one item of a list."""
        place = f"{key}[{index}]"
        if not isinstance(item, Mapping):
            return StageSpec(self.name, self.op, {**self.parameters, key: item}, self.start, {key: place})
        parameters = {**self.parameters, key: MISSING, **item}
        return StageSpec(self.name, self.op, parameters, self.start, {name: f"{place}.{name}" for name in (key, *item)})

    def _build_from(self, item: Mapping[str, Any], digest: str | None) -> Stage:
        changing = self._changing(item, digest)
        multiplied = any(isinstance(changing[key], list | tuple) for key in self._multiplying)
        if self._built and not multiplied and (stage := self._built[0].with_values(changing)):
            return stage
        stage = self._build_new(self._constant | changing)
        self._built[:] = [stage]
        return stage

    def _build_new(self, parameters: Mapping[str, Any]) -> Stage:
        if (count := self.kind.count_variants(parameters)) > MAX_PICTURES:
            raise PhotoError(too_many_pictures(count))
        try:
            return self.kind(**parameters)
        except ValidationError as error:
            numbers = {key: parameters[key].number for key in wrong_keys(error) if _has_comma(parameters.get(key))}
            if not numbers:
                raise
            return self.kind(**{**parameters, **numbers})

    def _changing(self, item: Mapping[str, Any], digest: str | None) -> dict[str, Any]:
        """The parameters that differ between photos, with columns and seeds filled in, and paths made absolute."""
        filled = {key: fill_in(self.parameters[key], item) for key in self.column_parameters}
        if self._changes_prose_only:
            return filled
        filled |= {key: self.parameters[key] for key in self._own_seeds}
        return self._with_seeds(self._with_places(filled), digest)

    def _with_places(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Parameters with absolute paths, instead of those relative to the folder of a manifest."""
        paths = [key for key in self.kind.fields_with(PathField) if key in parameters]
        if self.start and paths:
            return parameters | {key: _absolute(parameters[key], self.start) for key in paths}
        return parameters

    def _with_seeds(self, parameters: Mapping[str, Any], digest: str | None) -> dict[str, Any]:
        """Parameters with numbers in the place of valid rules for seeds."""
        filled = dict(parameters)
        for key, rule in self._seed_rules(parameters).items():
            with suppress(ValueError):  # the check of the parameter reports it
                seeds = rule.seeds(digest)
                filled[key] = list(seeds) if len(seeds) > 1 else seeds[0]
        return filled

    def _seed_rules(self, parameters: Mapping[str, Any]) -> Mapping[str, SeedRule]:
        """The valid rules for seeds in some parameters."""
        rules = {}
        for key in self.kind.fields_with(RandomSeed):
            value = parameters.get(key)
            if isinstance(value, str | Mapping):
                with suppress(ValueError):  # reported by the check of the parameter
                    rules[key] = SeedRule.parse(value)
        return rules


def columns_in(value: Any) -> set[str]:
    """The columns that a value refers to."""
    return set(_ITEM.findall(str(value)))


def _absolute(value: Any, start: Path) -> Any:
    """A path, or a list of paths, that starts at a folder; absolute paths and anything else stay as they are."""
    if isinstance(value, list):
        return [_absolute(path, start) for path in value]
    if isinstance(value, Mapping):
        return {name: _absolute(path, start) for name, path in value.items()}
    return str(start / plain_path(start, value)) if isinstance(value, str) and value else value


def _has_comma(value: Any) -> bool:
    return isinstance(value, DecimalComma)


def too_many_pictures(count: int | str) -> str:
    """The problem of a recipe that makes `count` pictures of each photo."""
    return f"lists of values make {count} pictures of each photo; at most {MAX_PICTURES}, or use a sweep (-m)"


def fill_in(value: Any, item: Mapping[str, Any]) -> Any:
    """A value with manifest columns filled in: `${item.x}` alone becomes the column's value, inside text its text."""
    if isinstance(value, str):
        pieces = _pieces(value)
        if len(pieces) == 3 and not pieces[0] and not pieces[2]:
            return _column(pieces[1], item)
        return "".join([str(_column(piece, item)) if index % 2 else piece for index, piece in enumerate(pieces)])
    if isinstance(value, Mapping):
        return {key: fill_in(inner, item) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [fill_in(inner, item) for inner in value]
    return value


@lru_cache(maxsize=1000)
def _pieces(text: str) -> Sequence[str]:
    """A text split at its columns: text, column, text, ..., text."""
    return _ITEM.split(text)


def _column(name: str, item: Mapping[str, Any]) -> Any:
    if name not in item:
        raise PhotoError(f"the manifest has no column '{name}' for this photo, {suggest(name, list(item))}")
    return item[name]
