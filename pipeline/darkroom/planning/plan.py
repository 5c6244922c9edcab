"""Plans: a tree of scalar steps for each photo. Lists of values expand here, before anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from darkroom.config.recipe import Recipe
from darkroom.config.stage_spec import StageSpec
from darkroom.dataset import Photo
from darkroom.errors import PhotoError
from darkroom.planning.by_identity import ByIdentity
from darkroom.planning.wildcards import has_wildcards, with_words
from darkroom.stages import Stage
from darkroom.stages.base import GenerationSummary
from darkroom.stages.baseline import Baseline
from darkroom.stages.markers import EachValue

_PROMPT = re.compile(r"\bprompt(\d+)")
_MAX_VARIANTS = 100  # characters of all variants in a file name; file systems allow 255 bytes in all
_REMEMBERED = 200  # trees, by the values of the columns that they were made from
_LARGEST = 500  # steps of a tree that is remembered


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


class Step(NamedTuple):
    """One stage with scalar parameters, and the steps that follow it.

    Pictures share their first steps in the tree: one mask, many repaints.

    Attributes:
        place: position of the stage in the recipe, from 1; 0 is the photo itself.
        name: the stage's name in the recipe.
        op: its operation.
        stage: its parameters.
        variant: distinguishes it from its siblings in file names: `seed7`, `prompt2-seed7`; empty for an only child.
        children: the steps that work on its result; siblings are variants of one stage.
        gate: decides whether a photo continues after this step; None if the stage is not a gate.
    """

    place: int
    name: str
    op: str
    stage: Stage
    variant: str
    children: tuple[Step, ...]
    gate: GateCheck | None = None


class StepPlanner:
    """Plans the photos of a recipe; all share one tree if no parameter refers to columns or depends on the photo.

    Args:
        recipe: the recipe to plan.
        baselines: of the gates that compare photos, by their names in the recipe; filled in as they become known.

    Attributes:
        per_photo: whether each photo has a tree of its own.
    """

    def __init__(self, recipe: Recipe, baselines: Mapping[str, Baseline | None] = MappingProxyType({})) -> None:
        self._recipe = recipe
        self._from_last = list(enumerate(recipe.stages, start=1))[::-1]
        self._baselines = baselines
        self._columns = recipe.columns()
        self._needs_digest = any(spec.needs_digest for spec in recipe.stages)
        self.per_photo = recipe.per_photo
        self._tree: tuple[Step, ...] | None = None
        self._trees: dict[object, tuple[Step, ...]] = {}
        self._shared: dict[str, _Variants] = {}
        self._has_wildcards = ByIdentity(has_wildcards)

    def plan(self, photo: Photo, unread: bool = False) -> tuple[Step, ...]:
        """The tree of one photo: its first steps, whose children are the next.

        Args:
            photo: the photo.
            unread: do not read the photo; if its seeds depend on it, they are those of no photo.

        Raises:
            PhotoError: file names would be too long, a column is missing, its value is not valid for the parameter, or
                the photo cannot be read.
        """
        if not self.per_photo and self._tree is not None:
            return self._tree
        digest = ("" if unread else photo.digest()) if self._needs_digest else None
        return self.tree(photo.columns(self._columns), digest)

    def tree(self, item: Mapping[str, Any], digest: str | None = None) -> tuple[Step, ...]:
        """`plan` for some values of columns, and the photo's digest if it is needed (`StageSpec.variants`).

        Photos with the same values get the same tree, unless too many others came between.
        """
        if not self.per_photo:
            if self._tree is None:
                self._tree = self._expand({}, None)
            return self._tree
        if digest:
            return self._expand(item, digest)
        # 1, 1.0 and True are equal, and a number with a comma equals its text.
        values = tuple([(name, type(value), repr(value)) for name, value in item.items()])
        tree = self._trees.get(values)
        if tree is None:
            if len(self._trees) >= _REMEMBERED:
                self._trees.clear()
            tree = self._expand(item, digest)
            if _count(tree) <= _LARGEST:
                self._trees[values] = tree
        return tree

    def _expand(self, item: Mapping[str, Any], digest: str | None) -> tuple[Step, ...]:
        children: tuple[Step, ...] = ()
        length = 0
        for index, spec in self._from_last:
            variants = self._shared.get(spec.name) or self._variants(spec, item, digest)
            length += variants.length
            if length > _MAX_VARIANTS:
                raise PhotoError(
                    f"lists of values add more than {_MAX_VARIANTS} characters to file names: "
                    "use fewer lists, or smaller numbers such as seeds"
                )
            children = tuple(
                [
                    Step(index, spec.name, spec.op, stage, name, children, self._gate(spec.name, stage))
                    for stage, name in variants.named
                ]
            )
        return children

    def _variants(self, spec: StageSpec, item: Mapping[str, Any], digest: str | None) -> _Variants:
        """The stages of a spec; those that are the same for all photos are made once."""
        variants = self._make_variants(spec, item, digest)
        if not spec.per_photo:
            self._shared[spec.name] = variants
        return variants

    def _gate(self, name: str, stage: Stage) -> GateCheck | None:
        return GateCheck(name, stage, self._baselines.get(name)) if stage.is_gate else None

    def _make_variants(self, spec: StageSpec, item: Mapping[str, Any], digest: str | None) -> _Variants:
        variants = spec.variants(item, digest)
        if len(variants) == 1:
            return _Variants([(self._with_words(spec.name, variants[0]), "")], 0)
        names = _variant_names(variants)
        filled = [self._with_words(spec.name, stage) for stage in variants]
        different = dict(zip(reversed(filled), reversed(names), strict=True))  # of equal ones, the first
        length = max(len(f"_{name}") for name in names) if any(names) else 0
        return _Variants([(stage, different[stage]) for stage in dict.fromkeys(filled)], length)

    def _with_words(self, name: str, stage: Stage) -> Stage:
        return with_words(name, stage, self._recipe.wildcards) if self._has_wildcards(stage.alike) else stage


class _Variants(NamedTuple):
    """The scalar stages of a spec for one photo.

    Attributes:
        named: each with its name among them.
        length: characters that the longest name adds to file names.
    """

    named: Sequence[tuple[Stage, str]]
    length: int


def _count(level: Sequence[Step]) -> int:
    """The number of steps in a tree; siblings share their children."""
    number = 0
    while level:
        number += len(level)
        level = level[0].children
    return number


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
            kept.append(step._replace(children=children))
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


def _variant_names(variants: Sequence[Stage]) -> list[str]:
    """Names of variants: whole numbers by value, other values by position, so that file names never hold a prompt.

    What goes along with another value is not named, unless nothing else distinguishes two variants: `entry2`.
    """
    names = [""] * len(variants)
    if len(variants) == 1:
        return names
    fields = variants[0].fields_with(EachValue)
    for field in fields:
        names = _with_values(names, field, [getattr(stage, field) for stage in variants])
    others = [key for key in variants[0].__pydantic_fields__ if key not in fields]
    return _with_values(names, "entry", [tuple(getattr(stage, key) for key in others) for stage in variants])


def _with_values(names: Sequence[str], label: str, values: Sequence[Any]) -> list[str]:
    """The names, with some values added if they distinguish variants that have the same name so far."""
    if len(set(zip(names, values, strict=True))) == len(set(names)):
        return list(names)
    places = {value: place for place, value in enumerate(dict.fromkeys(values), start=1)}
    shown = [value if isinstance(value, int) else places[value] for value in values]
    return [f"{name}-{label}{one}".lstrip("-") for name, one in zip(names, shown, strict=True)]
