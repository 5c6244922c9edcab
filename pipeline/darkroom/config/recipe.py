"""`Recipe`, and `parse`, which checks a composed configuration and reports all problems at once."""

from __future__ import annotations

import math
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import ValidationError

from darkroom.config.recipe_form import KEYS, MAX_STAGES, NAME_FORM, find_malformed, is_name
from darkroom.config.stage_defaults import op_of, written_stage
from darkroom.config.stage_spec import MAX_PICTURES, StageSpec, columns_in, too_many_pictures
from darkroom.config.unused_stages import StageSummary, find_unused
from darkroom.config.validation_errors import explain
from darkroom.config.wildcards import Words, parse_wildcards, wildcard_problems
from darkroom.dataset import Dataset
from darkroom.dataset.columns import BUILT_IN
from darkroom.errors import RecipeError, suggest
from darkroom.models import ModelKind
from darkroom.stages import STAGES, Stage
from darkroom.stages.base import Problem
from darkroom.stages.markers import ComparesPhotos, LoraNames, NeedsConfidence, StageName

OnEmpty = Literal["fail", "skip", "keep"]

_NO_OP = ""  # the op of a stage that is not a mapping
_MAX_PROBLEMS = 100  # to report


@dataclass(frozen=True)
class Recipe:
    """What to do with which photos.

    Attributes:
        name: names the run folder; letters, digits, `-` and `_`.
        dataset: where the photos are.
        stages: in the order in which they run.
        on_empty: what happens to a photo with nothing to repaint: `fail`, `skip` it, or `keep` it unchanged.
        unused: the stages that change no result (`find_unused`).
        wildcards: the words for `${wildcard.NAME}` in the stages' texts.
    """

    name: str
    dataset: Dataset
    stages: tuple[StageSpec, ...]
    on_empty: OnEmpty
    unused: tuple[Problem, ...] = ()
    wildcards: Words = field(default_factory=dict)

    def models(self, ops: Container[str] = STAGES) -> list[ModelKind]:
        """The models that its stages use, or those among them that have one of these ops."""
        specs = [part for spec in self.stages if spec.op in ops for part in spec.parts]
        return list(dict.fromkeys(kind for spec in specs for kind in spec.kind.models_of(spec.parameters)))

    def loras(self) -> list[str] | None:
        """The names of the LoRAs that its stages use; None if a column of the manifest names them."""
        parts = [part for spec in self.stages for part in spec.parts]
        if any(isinstance(part.parameters.get(key), str) for part in parts for key in part.kind.fields_with(LoraNames)):
            return None
        return list(dict.fromkeys(name for part in parts for name in part.kind.loras_of(part.parameters)))

    @property
    def per_photo(self) -> bool:
        """Whether each photo has stages of its own."""
        return any(spec.per_photo for spec in self.stages)

    def columns(self) -> set[str]:
        """The names of the columns that its stages use."""
        return {name for spec in self.stages for name in spec.columns}

    def until(self, name: str) -> Self:
        """The recipe up to and including the stage of this name."""
        end = [spec.name for spec in self.stages].index(name) + 1
        return replace(self, stages=self.stages[:end])

    def comparing(self) -> list[StageSpec]:
        """The gates that compare each photo with all others."""
        return [spec for spec in self.stages if spec.has_value(ComparesPhotos)]


def parse(config: Mapping[str, Any], source: str, overridden: Collection[str] = ()) -> Recipe:
    """Check a composed recipe.

    Args:
        config: the keys `name`, `dataset`, `wildcards`, `stages` and `on_empty`, and optionally `until`, the last stage
            to run, and `limit`, the largest number of photos; others are ignored. Paths are absolute.
        source: names the recipe file in error lines.
        overridden: dotted keys given on the command line; error lines then name it instead of the file.

    Raises:
        RecipeError: with every problem.
    """
    until, limit = config.get("until"), config.get("limit")
    config = {key: config[key] for key in KEYS if config.get(key) is not None}
    given = config.get("dataset", {})
    has_items = isinstance(given, Mapping) and given.get("manifest") is not None
    dataset, problems = _dataset(given)
    start = Path(dataset.manifest).parent if dataset and dataset.manifest else None
    specs = list(islice(_specs(config.get("stages", {}), start), MAX_STAGES))
    problems += find_malformed(config)
    words, wrong_words = parse_wildcards(config.get("wildcards", {}))
    problems += wrong_words
    problems += _top_problems(config, specs)
    problems += _until_problems(until, [spec.name for spec in specs])
    problems += _limit_problems(limit)
    problems += _all_stage_problems(specs, has_items, words, _MAX_PROBLEMS - len(problems))
    if dataset is None or problems:
        raise RecipeError([f"{origin(key, source, overridden)}: {key}: {text}" for key, text in problems])
    until = None if until is None else str(until)
    unused = find_unused([StageSummary(spec.name, spec.kind, _needed_masks(spec)) for spec in specs], until)
    dataset, on_empty = dataset.first(limit), config.get("on_empty", "fail")
    recipe = Recipe(str(config["name"]), dataset, tuple(specs), on_empty, tuple(unused), words)
    return recipe if until is None else recipe.until(until)


def check_dataset(recipe: Recipe, source: str, overridden: Collection[str] = ()) -> None:
    """Make sure that the photos are there (`Dataset.check`).

    Args:
        recipe: whose photos.
        source: see `parse`.
        overridden: see `parse`.

    Raises:
        RecipeError: with one line for each thing that is missing, empty or unreadable.
    """
    try:
        recipe.dataset.check(recipe.columns())
    except RecipeError as error:
        lines = [(text.partition(":")[0], text) for text in error.problems]
        raise RecipeError([f"{origin(key, source, overridden)}: {text}" for key, text in lines]) from None


def origin(key: str, source: str, overridden: Collection[str]) -> str:
    """The source of a value: "command line" if it set the key, its section or a part of its value."""
    from_command_line = any(f"{key}.".startswith(f"{word}.") or word.startswith(f"{key}.") for word in overridden)
    return "command line" if from_command_line else source


def _specs(stages: Any, start: Path | None) -> Iterator[StageSpec]:
    if not isinstance(stages, Mapping):
        return
    for name, given in stages.items():
        stage = written_stage(name, given)
        if isinstance(stage, Mapping):
            parameters = {key: value for key, value in stage.items() if key != "op"}
            yield StageSpec(str(name), str(op_of(name, stage)), parameters, start)
        elif stage is not None:  # a null stage whose name is no op is left out
            yield StageSpec(str(name), _NO_OP, {})


def _needed_masks(spec: StageSpec) -> Sequence[str] | None:
    """The earlier stages whose masks a stage takes by name; None if they are unknown before photos are read."""
    if not spec.has_value(StageName):
        return ()
    if spec.per_photo:
        return None
    return list(dict.fromkeys(name for part in spec.parts for name in part.build({}).needed_masks()))


def _dataset(given: Any) -> tuple[Dataset | None, list[Problem]]:
    if not isinstance(given, Mapping):
        return None, []  # reported by `find_malformed`
    try:
        return Dataset(**given), []
    except ValidationError as error:
        names = [field.name for field in fields(Dataset) if field.init]
        return None, [(f"dataset.{key}".rstrip("."), text) for key, text in explain(error, names)]


def _top_problems(config: Mapping[str, Any], specs: Sequence[StageSpec]) -> Iterator[Problem]:
    if not is_name(str(config.get("name", ""))):
        yield "name", NAME_FORM
    if config.get("on_empty", "fail") not in get_args(OnEmpty):
        yield "on_empty", suggest(str(config["on_empty"]), get_args(OnEmpty))
    if not specs and isinstance(config.get("stages", {}), Mapping):
        yield "stages", "at least one stage is needed; stages run in the order in which they are written"
    known = [spec for spec in specs if spec.op in STAGES]
    if (count := math.prod(spec.count_variants() for spec in known)) > MAX_PICTURES:
        yield "stages", too_many_pictures(count)


def _until_problems(until: Any, names: Sequence[str]) -> Iterator[Problem]:
    if until is not None and str(until) not in names:
        yield "until", f"no stage is called '{until}', {suggest(str(until), names)}"


def _limit_problems(limit: Any) -> Iterator[Problem]:
    if limit is not None and (type(limit) is not int or limit < 1):
        yield "limit", f"should be a number of photos, 1 or more; got {limit!r:.60}"


def _all_stage_problems(specs: Sequence[StageSpec], has_items: bool, words: Words, most: int) -> list[Problem]:
    """The problems of all stages, or of the first ones if there are more than `most`."""
    problems: list[Problem] = []
    for index, spec in enumerate(specs):
        problems += dict.fromkeys(_stage_problems(spec, specs[:index], has_items, words))
        if len(problems) > most:
            return [*problems, ("stages", "... and more, reported once these are fixed")]
    return problems


def _stage_problems(spec: StageSpec, earlier: Sequence[StageSpec], has_items: bool, words: Words) -> Iterator[Problem]:
    where = f"stages.{spec.name}"
    if not is_name(spec.name):
        yield where, f"a stage's name is {NAME_FORM}"
    if spec.op == _NO_OP:
        yield where, "a stage is a mapping of parameters"
        return
    if spec.op not in STAGES:
        yield f"{where}.op", f"unknown op '{spec.op}', {suggest(spec.op, list(STAGES))}"
        return
    for part in spec.parts:
        if not has_items:
            yield from _unknown_columns(part)
        yield from wildcard_problems(part, words)
        yield from _part_problems(part, earlier)


def _part_problems(part: StageSpec, earlier: Sequence[StageSpec]) -> Iterator[Problem]:
    waiting = part.column_parameters
    try:
        stage = part.build_known()
    except ValidationError as error:
        for key, text in explain(error, list(part.kind.__pydantic_fields__)):
            if key not in waiting and (key or not waiting):  # rules on several parameters need all values
                yield part.place(key), text
    else:
        yield from _order_problems(part, stage, earlier)


def _unknown_columns(spec: StageSpec) -> Iterator[Problem]:
    """References to columns of a manifest, where there is none."""
    for key in sorted(spec.column_parameters):
        if any(name not in BUILT_IN for name in columns_in(spec.parameters[key])):
            built_in = ", ".join(f"${{item.{name}}}" for name in BUILT_IN)
            text = f"refers to a column of `dataset.manifest`, which is not set; without one there are {built_in}"
            yield spec.place(key), f"{spec.parameters[key]} {text}"


def _order_problems(spec: StageSpec, stage: Stage, earlier: Sequence[StageSpec]) -> Iterator[Problem]:
    where, names = f"stages.{spec.name}", [before.name for before in earlier]
    if stage.needs_mask and not earlier:
        yield where, f"`{spec.op}` needs a mask: a stage that makes one, such as `subject` or `sam`, comes first"
    framing = [before for before in earlier if _frames(before) and not (stage.enlarges and not before.kind.enlarges)]
    if framing and not stage.is_gate:
        yield where, f"comes after `{framing[0].name}`, {_after_framing(framing[0])}"
    for key in stage.fields_with(NeedsConfidence):
        if getattr(stage, key) is not None and not any(map(_reports_confidence, earlier)):
            able = ", ".join(op for op, kind in STAGES.items() if kind.reports_confidence)
            yield f"{where}.{key}", f"no earlier stage reports a confidence; these do: {able}"
    for name in stage.needed_masks():
        if name not in names:
            yield where, f"no earlier stage is called '{name}', {suggest(name, names)}"


def _frames(spec: StageSpec) -> bool:
    return spec.op in STAGES and spec.kind.frames


def _after_framing(spec: StageSpec) -> str:
    if spec.kind.enlarges:
        return f"which only gates may follow: put `{spec.name}` last"
    return f"which only gates and `upscale` may follow: put `{spec.name}` last"


def _reports_confidence(spec: StageSpec) -> bool:
    return spec.op in STAGES and spec.kind.reports_confidence
