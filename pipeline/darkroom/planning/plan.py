"""Plans: a tree of scalar steps for each photo. Lists of values expand here, before anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

from darkroom.config.recipe import Recipe
from darkroom.dataset import Photo
from darkroom.errors import PhotoError
from darkroom.stages import Stage
from darkroom.stages.base import GenerationSummary
from darkroom.stages.baseline import Baseline
from darkroom.stages.markers import EachValue

_PROMPT = re.compile(r"\bprompt(\d+)")
_MAX_VARIANTS = 100  # characters of all variants in a file name; file systems allow 255 bytes in all


@dataclass(frozen=True)
class GateCheck:
    """A gate of a recipe, with the baseline that it compares photos with.

    Attributes:
        name: the gate's name in the recipe.
        stage: the gate with its bounds.
        baseline: of all photos in the run; None if it is unknown.
    """

    name: str
    stage: Stage
    baseline: Baseline | None

    def __call__(self, figures: Mapping[str, float]) -> str | None:
        """See `Stage.check`."""
        return self.stage.check(self.name, figures, self.baseline)


@dataclass(frozen=True)
class Step:
    """One stage with scalar parameters, and the steps that follow it.

    Pictures share their first steps in the tree: one mask, many repaints.

    Attributes:
        index: position of the stage in the recipe, from 1; 0 is the photo itself.
        name: the stage's name in the recipe.
        op: its operation.
        stage: its parameters.
        variant: distinguishes it from its siblings in file names: `seed7`, `prompt2-seed7`; empty for an only child.
        children: the steps that work on its result; siblings are variants of one stage.
        gate: decides whether a photo continues after this step; None if the stage is not a gate.
    """

    index: int
    name: str
    op: str
    stage: Stage
    variant: str
    children: tuple[Step, ...]
    gate: GateCheck | None = None


class StepPlanner:
    """Plans the photos of a recipe; all share one tree if no parameter refers to manifest columns.

    Args:
        recipe: the recipe to plan.
        baselines: of the gates that compare photos, by their names in the recipe; filled in as they become known.

    Attributes:
        per_photo: whether each photo has a tree of its own, because parameters refer to manifest columns.
    """

    def __init__(self, recipe: Recipe, baselines: Mapping[str, Baseline | None] = MappingProxyType({})) -> None:
        self._recipe = recipe
        self._baselines = baselines
        self._columns = recipe.columns()
        self.per_photo = any(spec.per_photo for spec in recipe.stages)
        self._tree: tuple[Step, ...] | None = None

    def plan(self, photo: Photo) -> tuple[Step, ...]:
        """The tree of one photo (`tree`). Raises `PhotoError` also if it has no value in a built-in column."""
        return self.tree(photo.columns(self._columns) if self.per_photo else {})

    def tree(self, item: Mapping[str, Any]) -> tuple[Step, ...]:
        """The tree for some values of columns: its first steps, whose children are the next.

        Args:
            item: the photo's columns.

        Raises:
            PhotoError: file names would be too long, a column is missing, or its value is not valid for the parameter.
        """
        if self.per_photo:
            return expand(self._recipe, item, self._baselines)
        if self._tree is None:
            self._tree = expand(self._recipe, {}, self._baselines)
        return self._tree


def expand(recipe: Recipe, item: Mapping[str, Any], baselines: Mapping[str, Baseline | None]) -> tuple[Step, ...]:
    """See `StepPlanner.tree`."""
    children: tuple[Step, ...] = ()
    length = 0
    for index, spec in reversed(list(enumerate(recipe.stages, start=1))):
        variants = spec.build(item).variants()
        names = _variant_names(variants)
        length += max(len(f"_{name}") for name in names) if any(names) else 0
        if length > _MAX_VARIANTS:
            raise PhotoError(
                f"lists of values add more than {_MAX_VARIANTS} characters to file names: "
                "use fewer lists, or smaller numbers such as seeds"
            )
        children = tuple(
            Step(index, spec.name, spec.op, stage, variant, children, _gate_check(spec.name, stage, baselines))
            for stage, variant in zip(variants, names, strict=True)
        )
    return children


def paths(steps: Sequence[Step], above: tuple[Step, ...] = ()) -> Iterator[tuple[Step, ...]]:
    """Every path from the first step to a last one; each makes one picture."""
    for step in steps:
        here = (*above, step)
        if step.children:
            yield from paths(step.children, here)
        else:
            yield here


def without(steps: Sequence[Step], left_out: Iterator[bool]) -> tuple[Step, ...]:
    """The tree without some of its pictures.

    Args:
        steps: the first steps of the tree.
        left_out: whether to leave out each picture, in the order of `paths`.
    """
    kept: list[Step] = []
    for step in steps:
        children = without(step.children, left_out)
        if children or (not step.children and not next(left_out)):
            kept.append(replace(step, children=children))
    return tuple(kept)


def settings_of(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The settings of some steps for records: `stage`, `op` and all parameters of each."""
    return [{"stage": step.name, "op": step.op, **asdict(step.stage)} for step in steps]


def last_summary(steps: Sequence[Step]) -> GenerationSummary | None:
    """The summary of the last generating step; None if no step generates anything."""
    summaries = (step.stage.summary() for step in reversed(steps))
    return next((summary for summary in summaries if summary), None)


def prompt_number(steps: Sequence[Step]) -> int:
    """The place of the last generating step's prompt in its list, from 1, as `variant` shows it."""
    step = next(step for step in reversed(steps) if step.stage.summary())
    shown = _PROMPT.search(step.variant)
    return int(shown[1]) if shown else 1


def _gate_check(name: str, stage: Stage, baselines: Mapping[str, Baseline | None]) -> GateCheck | None:
    return GateCheck(name, stage, baselines.get(name)) if stage.is_gate else None


def _variant_names(variants: Sequence[Stage]) -> list[str]:
    """Names of variants: whole numbers by value, other values by position, so that file names never hold a prompt."""
    names = [""] * len(variants)
    for field in variants[0].fields_with(EachValue):
        values = [getattr(stage, field) for stage in variants]
        distinct = list(dict.fromkeys(values)) if len(variants) > 1 else []
        if len(distinct) > 1:
            shown = [str(v) if isinstance(v, int) else str(distinct.index(v) + 1) for v in values]
            names = [f"{name}-{field}{one}".lstrip("-") for name, one in zip(names, shown, strict=True)]
    return names
