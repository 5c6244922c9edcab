"""Finds stages that change no result, so that the user is warned before the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from darkroom.stages import Stage
from darkroom.stages.base import Problem


@dataclass(frozen=True)
class StageSummary:
    """The facts about a stage that decide which results it changes.

    Attributes:
        name: in the recipe.
        kind: the class of its op.
        needed_masks: the earlier stages whose masks it takes by name; None if manifest columns name them.
    """

    name: str
    kind: type[Stage]
    needed_masks: Sequence[str] | None

    @property
    def masks(self) -> bool:
        """See `Stage.makes_mask`."""
        return self.kind.makes_mask()


def find_unused(stages: Sequence[StageSummary], until: str | None) -> list[Problem]:
    """The stages whose masks are not used, and those that join a mask with itself, each with the reason.

    Results are the pictures, the last mask if nothing is repainted, the mask at which a run stops, and the measurements
    of every gate.

    Args:
        stages: all stages of the recipe, in order.
        until: the last stage to run, if given; later stages are not reported.
    """
    names = [stage.name for stage in stages]
    end = len(stages) if until is None else names.index(until) + 1
    used = _used(stages, until)
    problems = [_unused(stages, index, used) for index in range(end) if index not in used]
    return problems + list(_joined_with_itself(stages[:end]))


def _used(stages: Sequence[StageSummary], until: str | None) -> set[int]:
    """The indices of the stages that change a result, found from the end: those whose masks are wanted."""
    wanted = not any(stage.kind.repaints for stage in stages)  # whether the mask after the current stage is needed
    named: set[str] = set()
    used = set()
    for index, stage in reversed(list(enumerate(stages))):
        wanted |= stage.name in named or stage.name == until
        if wanted or not stage.masks:
            used.add(index)
            wanted = stage.kind.needs_mask or (wanted and stage.kind.frames)
            unknown = stage.needed_masks is None
            named |= {earlier.name for earlier in stages[:index]} if unknown else set(stage.needed_masks or ())
    return used


def _unused(stages: Sequence[StageSummary], index: int, used: set[int]) -> Problem:
    """Why a stage changes no result."""
    stage, later = stages[index], list(enumerate(stages))[index + 1 :]
    leave_out = f"or leave it out: ~stages.{stage.name}"
    for place, other in later:
        if place in used and other.masks and not other.kind.needs_mask:
            why = f"`{other.name}` makes a mask of its own before anything uses this one"
            join = f"combine them by a `combine` stage with `mask: {stage.name}` after `{other.name}`"
            return f"stages.{stage.name}", f"has no effect: {why}; {join}, {leave_out}"
    last = [other.name for other in stages if other.kind.repaints][-1]
    why = f"no later stage uses its mask, and the last repaint, `{last}`, is before it"
    move = f"put it before `{last}`, with `before: {last}` in a recipe that has a `base:`"
    return f"stages.{stage.name}", f"has no effect: {why}; {move}, {leave_out}"


def _joined_with_itself(stages: Sequence[StageSummary]) -> Iterator[Problem]:
    """Stages that combine a mask with itself."""
    maker = ""  # the stage that made the current mask; gates and repaints pass it on
    same: set[str] = set()
    for stage in stages:
        if stage.masks:
            if stage.kind.needs_mask and same & set(stage.needed_masks or ()):
                why = f"joins the mask of `{maker}` with itself: no stage between them changes it"
                yield f"stages.{stage.name}", why
            maker, same = stage.name, set()
        same.add(stage.name)
