"""Mapping -> `Recipe` of typed stages. Finds every problem at once, before anything loads."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import ValidationError

from darkroom.config.recipe_form import KEYS, MAX_STAGES, NAME_FORM, find_malformed, is_name
from darkroom.config.stage_defaults import MISSING, with_defaults
from darkroom.config.unused_stages import StageSummary, without_effect
from darkroom.dataset import Dataset
from darkroom.errors import PhotoError, RecipeError, suggest
from darkroom.models import ModelKind
from darkroom.stages import STAGES, Stage
from darkroom.stages.base import Problem
from darkroom.stages.markers import ComparesPhotos, NeedsConfidence, PathField, StageName

OnEmpty = Literal["fail", "skip", "keep"]

NOT_A_MAPPING = ""  # the op of something that is no stage at all
_MOST_PROBLEMS = 100  # that are looked for
MAX_PICTURES = 10_000  # of one photo; a stranger's recipe must not fill the memory with plans

_ITEM = re.compile(r"\$\{item\.(\w+)\}")


@dataclass(frozen=True)
class StageSpec:
    """A named stage as the recipe gives it; its parameters may wait for a manifest's columns.

    Attributes:
        name: the recipe's own name for it, unique.
        op: key of `STAGES`.
        parameters: as written and defaulted; strings may hold `${item.COLUMN}`.
        start: the manifest's folder, where relative paths out of its columns begin; None without a manifest.
    """

    name: str
    op: str
    parameters: Mapping[str, Any]
    start: Path | None = None

    @property
    def waits(self) -> bool:
        """Whether a parameter waits for a manifest's columns, so that every photo has a stage of its own."""
        return bool(self.waiting)

    @property
    def waiting(self) -> set[str]:
        """The parameters that do."""
        return {key for key, value in self.parameters.items() if _ITEM.search(str(value))}

    @property
    def kind(self) -> type[Stage]:
        """The class of its op."""
        return STAGES[self.op]

    def has_value(self, marker: type) -> bool:
        """Whether a parameter with this marker is given, or has a default, other than null."""
        fields = self.kind.__pydantic_fields__
        names = self.kind.fields_with(marker)
        return any(self.parameters.get(name, fields[name].default) is not None for name in names)

    def build(self, item: Mapping[str, Any]) -> Stage:
        """The stage for one photo.

        Args:
            item: the photo's manifest columns; empty without a manifest.

        Raises:
            PhotoError: a column is missing, or its value does not suit the parameter.
        """
        parameters = {key: _resolve(value, item) for key, value in self.parameters.items()}
        for key in self.kind.fields_with(PathField):
            if self.start and isinstance(parameters.get(key), str):
                parameters[key] = str(self.start / parameters[key])  # an absolute one stays as it is
        if (count := self.kind.count_variants(parameters)) > MAX_PICTURES:
            raise PhotoError(_too_many(count))
        try:
            return self.kind(**parameters)
        except ValidationError as error:
            names = list(self.kind.__pydantic_fields__)
            told = (f"{self.name}.{key}".rstrip(".") + f": {text}" for key, text in _explain(error, names))
            raise PhotoError("; ".join(told)) from None


@dataclass(frozen=True)
class Recipe:
    """What is done to which photos.

    Attributes:
        name: names the run folder; letters, digits, `-` and `_`.
        dataset: where the photos are.
        stages: in the order in which they run.
        on_empty: what happens to a photo with nothing to repaint: `fail`, `skip` it, or `keep` it unchanged.
        idle: the stages without effect on any result (`effect.without_effect`).
    """

    name: str
    dataset: Dataset
    stages: tuple[StageSpec, ...]
    on_empty: OnEmpty
    idle: tuple[Problem, ...] = ()

    def models(self) -> list[ModelKind]:
        """The models that its stages ask."""
        return [kind for spec in self.stages for kind in STAGES[spec.op].uses]

    def columns(self) -> set[str]:
        """The names of the manifest's columns that its stages use."""
        return {name for spec in self.stages for name in _ITEM.findall(str(spec.parameters))}

    def until(self, name: str) -> Self:
        """The same, but it ends behind the stage of this name."""
        end = [spec.name for spec in self.stages].index(name) + 1
        return replace(self, stages=self.stages[:end])

    def comparing(self) -> list[StageSpec]:
        """The gates that compare each photo with all others."""
        return [spec for spec in self.stages if spec.has_value(ComparesPhotos)]


def parse(config: Mapping[str, Any], source: str, overridden: Collection[str] = ()) -> Recipe:
    """Check a composed recipe.

    Args:
        config: the keys `name`, `dataset`, `stages` and `on_empty`, and `until`, the stage behind which to stop, if
            any; others are ignored. Paths are absolute.
        source: names the recipe file in error lines.
        overridden: dotted keys given on the command line, for error lines to name it instead of the file.

    Raises:
        RecipeError: with every problem.
    """
    until, config = config.get("until"), {key: config[key] for key in KEYS if config.get(key) is not None}
    given = config.get("dataset", {})
    has_items = isinstance(given, Mapping) and given.get("manifest") is not None
    dataset, problems = _dataset(given)
    start = Path(dataset.manifest).parent if dataset and dataset.manifest else None
    specs = list(islice(_specs(config.get("stages", {}), start), MAX_STAGES))
    problems += find_malformed(config)
    problems += _top_problems(config, specs)
    problems += _until_problems(until, [spec.name for spec in specs])
    for index, spec in enumerate(specs):
        problems += _stage_problems(spec, specs[:index], has_items)
        if len(problems) > _MOST_PROBLEMS:
            problems.append(("stages", "... and more, which are looked for when these are mended"))
            break
    if dataset is None or problems:
        raise RecipeError([f"{origin(key, source, overridden)}: {key}: {text}" for key, text in problems])
    until = None if until is None else str(until)
    idle = without_effect([StageSummary(spec.name, STAGES[spec.op], _needs(spec)) for spec in specs], until)
    recipe = Recipe(str(config["name"]), dataset, tuple(specs), config.get("on_empty", "fail"), tuple(idle))
    return recipe if until is None else recipe.until(until)


def _needs(spec: StageSpec) -> Sequence[str] | None:
    """The earlier stages whose masks a stage takes by name; None where a column names them."""
    if not spec.kind.fields_with(StageName):
        return ()
    return None if spec.waits else spec.build({}).needed_masks()


def check_dataset(recipe: Recipe, source: str, overridden: Collection[str] = ()) -> None:
    """Make sure that the photos are there (`Dataset.check`).

    Args:
        recipe: whose photos.
        source: see `parse`; so is `overridden`.

    Raises:
        RecipeError: with one line for each thing that is missing, empty or unreadable.
    """
    try:
        recipe.dataset.check(recipe.columns())
    except RecipeError as error:
        keys = [text.partition(":")[0] for text in error.problems]
        told = zip(keys, error.problems, strict=True)
        raise RecipeError([f"{origin(key, source, overridden)}: {text}" for key, text in told]) from None


def _specs(stages: Any, start: Path | None) -> Iterator[StageSpec]:
    if not isinstance(stages, Mapping):
        return
    for name, given in stages.items():
        full = with_defaults(name, given)
        if isinstance(full, Mapping):
            yield StageSpec(str(name), str(full.get("op")), {k: v for k, v in full.items() if k != "op"}, start)
        elif full is not None:  # null with no such op: left out
            yield StageSpec(str(name), NOT_A_MAPPING, {})


def _dataset(given: Any) -> tuple[Dataset | None, list[Problem]]:
    if not isinstance(given, Mapping):
        return None, []  # `find_malformed` tells it
    try:
        return Dataset(**given), []
    except ValidationError as error:
        names = list(Dataset.__pydantic_fields__)
        return None, [(f"dataset.{key}".rstrip("."), text) for key, text in _explain(error, names)]


def _top_problems(config: Mapping[str, Any], specs: Sequence[StageSpec]) -> Iterator[Problem]:
    if not is_name(str(config.get("name", ""))):
        yield "name", NAME_FORM
    if config.get("on_empty", "fail") not in get_args(OnEmpty):
        yield "on_empty", suggest(str(config["on_empty"]), get_args(OnEmpty))
    if not specs and isinstance(config.get("stages", {}), Mapping):
        yield "stages", "at least one stage is needed; they run in the order in which they stand"
    known = [spec for spec in specs if spec.op in STAGES]
    if (count := math.prod(spec.kind.count_variants(spec.parameters) for spec in known)) > MAX_PICTURES:
        yield "stages", _too_many(count)


def _until_problems(until: Any, names: Sequence[str]) -> Iterator[Problem]:
    if until is not None and str(until) not in names:
        yield "until", f"no stage is called '{until}', {suggest(str(until), names)}"


def _too_many(count: int) -> str:
    return f"lists of values make {count} pictures of each photo; {MAX_PICTURES} at most, more as a sweep (-m)"


def _stage_problems(spec: StageSpec, earlier: Sequence[StageSpec], has_items: bool) -> Iterator[Problem]:
    where = f"stages.{spec.name}"
    if not is_name(spec.name):
        yield where, f"a stage's name is {NAME_FORM}"
    if spec.op == NOT_A_MAPPING:
        yield where, "a stage is a mapping of parameters"
        return
    if spec.op not in STAGES:
        yield f"{where}.op", f"unknown op '{spec.op}', {suggest(spec.op, list(STAGES))}"
        return
    waiting = spec.waiting
    if waiting and not has_items:
        for key in sorted(waiting):
            yield f"{where}.{key}", f"{spec.parameters[key]} takes a column of `dataset.manifest`, which is not given"
    known = {key: value for key, value in spec.parameters.items() if key not in waiting and value != MISSING}
    try:
        stage = STAGES[spec.op](**known)
    except ValidationError as error:
        names = list(STAGES[spec.op].__pydantic_fields__)
        for key, text in _explain(error, names):
            if key not in waiting and (key or not waiting):  # what concerns several parameters waits with them
                yield f"{where}.{key}".rstrip("."), text
    else:
        yield from _order_problems(spec, stage, earlier)


def _order_problems(spec: StageSpec, stage: Stage, earlier: Sequence[StageSpec]) -> Iterator[Problem]:
    where, names = f"stages.{spec.name}", [each.name for each in earlier]
    if stage.needs_mask and not earlier:
        yield where, f"`{spec.op}` needs a mask: a stage that makes one, such as `sam` or `grabcut`, comes first"
    for key in stage.fields_with(NeedsConfidence):
        if getattr(stage, key) is not None and not any(map(_reports_confidence, earlier)):
            sure = ", ".join(op for op, kind in STAGES.items() if kind.reports_confidence)
            yield f"{where}.{key}", f"no earlier stage says how sure it is of its mask; these do: {sure}"
    for name in stage.needed_masks():
        if name not in names:
            yield where, f"no earlier stage is called '{name}', {suggest(name, names)}"


def _reports_confidence(spec: StageSpec) -> bool:
    return spec.op in STAGES and STAGES[spec.op].reports_confidence


def _explain(error: ValidationError, names: Sequence[str]) -> list[Problem]:
    """One line per parameter: alternatives of a union are joined, since any of them would be right."""
    lines: dict[str, list[str]] = {}
    for each in error.errors(include_url=False):
        key = str(each["loc"][0]) if each["loc"] else ""
        lines.setdefault(key, []).append(_explain_one(each, key, names))
    return [(key, " or ".join(dict.fromkeys(texts))) for key, texts in lines.items()]


def _explain_one(error: Any, key: str, names: Sequence[str]) -> str:
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown key, {suggest(key, names)}"
    if error["type"].startswith("missing"):
        return "is required"
    text = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return text if error["type"] == "value_error" else f"{text}, got {error['input']!r:.60}"


def _resolve(value: Any, item: Mapping[str, Any]) -> Any:
    """Put manifest columns in: `${item.x}` alone gives the column's own value, inside a text its text."""
    if isinstance(value, Mapping):
        return {key: _resolve(each, item) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_resolve(each, item) for each in value]
    if not isinstance(value, str):
        return value
    alone = _ITEM.fullmatch(value)
    return _column(alone[1], item) if alone else _ITEM.sub(lambda match: str(_column(match[1], item)), value)


def _column(name: str, item: Mapping[str, Any]) -> Any:
    if name not in item:
        raise PhotoError(f"the manifest has no column '{name}' for this photo, {suggest(name, list(item))}")
    return item[name]


def origin(key: str, source: str, overridden: Collection[str]) -> str:
    """The command line, where it gave the key, what the key is part of, or a part of it."""
    from_command_line = any(f"{key}.".startswith(f"{each}.") or each.startswith(f"{key}.") for each in overridden)
    return "command line" if from_command_line else source
