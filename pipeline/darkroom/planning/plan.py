"""Recipe x photo -> a tree of scalar steps. Lists of prompts and seeds expand here, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from darkroom.config.recipe import Recipe
from darkroom.errors import PhotoError
from darkroom.stages import Stage
from darkroom.stages.gate import Gate, Judge, Usual

_VARIANTS = 100  # letters of a file's name for all variants; file systems take 255 bytes, and the stage is in it too


@dataclass(frozen=True)
class Step:
    """One stage with scalar parameters, and the steps that go on from its result.

    Steps that share a beginning share it in the tree: one mask, many repaints.

    Attributes:
        index: the stage's place in the recipe, from 1 (0 is the photo itself).
        name: the stage's name in the recipe.
        op: its operation.
        stage: its parameters.
        variant: what tells it from its siblings, for file names: `seed7`, `prompt2-seed7`; empty for an only child.
        children: the steps that take this one's result; siblings are variants of one stage.
        judge: of a gate, what lets a photo through by what was measured; None where all are let through.
    """

    index: int
    name: str
    op: str
    stage: Stage
    variant: str
    children: tuple[Step, ...]
    judge: Judge | None = None


class StepPlanner:
    """Makes the trees of a recipe's photos; one tree for all where no parameter waits for a manifest's columns.

    Args:
        recipe: what to plan.
        usual: by the names of the gates that compare photos, what is usual among them.

    Attributes:
        waits: whether a parameter waits for a manifest's columns, so that each photo has a tree of its own.
    """

    def __init__(self, recipe: Recipe, usual: Mapping[str, Usual | None] = MappingProxyType({})) -> None:
        self._recipe = recipe
        self._usual = usual
        self.waits = any(spec.waits for spec in recipe.stages)
        self._tree: tuple[Step, ...] | None = None

    def tree(self, item: Mapping[str, Any]) -> tuple[Step, ...]:
        """The tree of one photo: its first steps, which hold the others.

        Args:
            item: the photo's manifest columns.

        Raises:
            PhotoError: its files' names would be too long; a column is missing or does not suit its parameter.
        """
        if self.waits:
            return expand(self._recipe, item, self._usual)
        if self._tree is None:
            self._tree = expand(self._recipe, {}, self._usual)
        return self._tree


def expand(recipe: Recipe, item: Mapping[str, Any], usual: Mapping[str, Usual | None]) -> tuple[Step, ...]:
    """See `StepPlanner.tree`."""
    children: tuple[Step, ...] = ()
    length = 0
    for index, spec in reversed(list(enumerate(recipe.stages, start=1))):
        variants = spec.build(item).variants()
        names = _variant_names(variants)
        length += max(len(f"_{name}") for name in names) if any(names) else 0
        if length > _VARIANTS:
            raise PhotoError(
                f"lists of prompts and seeds that make names of files longer than {_VARIANTS} letters: "
                "give fewer stages a list, or shorter seeds"
            )
        children = tuple(
            Step(index, spec.name, spec.op, stage, variant, children, _judge(spec.name, stage, usual))
            for stage, variant in zip(variants, names, strict=True)
        )
    return children


def paths(steps: Sequence[Step], above: tuple[Step, ...] = ()) -> Iterator[tuple[Step, ...]]:
    """Every way from the first stage to the last; each makes one picture."""
    for step in steps:
        here = (*above, step)
        if step.children:
            yield from paths(step.children, here)
        else:
            yield here


def without(steps: Sequence[Step], left_out: Iterator[bool]) -> tuple[Step, ...]:
    """The tree without some of its pictures.

    Args:
        steps: its first steps.
        left_out: for each of `paths`, in their order, whether it is left out.
    """
    kept = []
    for step in steps:
        children = without(step.children, left_out)
        if children or not (step.children or next(left_out)):
            kept.append(replace(step, children=children))
    return tuple(kept)


def settings_of(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """What was done, for records: `stage`, `op` and every parameter of each step."""
    return [{"stage": step.name, "op": step.op, **asdict(step.stage)} for step in steps]


def _judge(name: str, stage: Stage, usual: Mapping[str, Usual | None]) -> Judge | None:
    return Judge(name, stage, usual.get(name)) if isinstance(stage, Gate) else None


def _variant_names(variants: Sequence[Stage]) -> list[str]:
    """Whole numbers by value, all else by place: file names never hold a prompt."""
    names = [""] * len(variants)
    for field in fields(variants[0]):  # type: ignore[arg-type]  # every stage is a dataclass
        values = [getattr(each, field.name) for each in variants]
        distinct = list(dict.fromkeys(values)) if len(variants) > 1 else []
        if len(distinct) > 1:
            shown = [str(v) if isinstance(v, int) else str(distinct.index(v) + 1) for v in values]
            names = [f"{name}-{field.name}{one}".lstrip("-") for name, one in zip(names, shown, strict=True)]
    return names
