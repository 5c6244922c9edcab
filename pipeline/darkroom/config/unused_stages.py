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
        kind: its op.
        needed_masks: the earlier stages whose masks it takes by name; None where a manifest's columns name them.
    """

    name: str
    kind: type[Stage]
    needed_masks: Sequence[str] | None

    @property
    def masks(self) -> bool:
        """True for mask stages: neither repaint nor gate."""
        return not (self.kind.repaints or self.kind.is_gate)


def without_effect(parts: Sequence[StageSummary], until: str | None) -> list[Problem]:
    """The stages whose masks nothing uses, and those that join a mask with itself, each with the reason.

    Results are the pictures; the last mask, where nothing is repainted; the mask at which a run stops; and what a gate
    says of a mask, wherever it stands.

    Args:
        parts: all stages of the recipe, in order.
        until: the stage behind which the run stops, if any; later stages are not reported.
    """
    names = [part.name for part in parts]
    end = len(parts) if until is None else names.index(until) + 1
    used = _used(parts, until)
    problems = [_idle(parts, index, used) for index in range(end) if index not in used]
    return problems + list(_doubled(parts[:end]))


def _used(parts: Sequence[StageSummary], until: str | None) -> set[int]:
    """The places of the stages that have an effect, found from the end: a stage has one if its mask is wanted."""
    wanted = not any(part.kind.repaints for part in parts)  # the mask behind the stage at hand
    named: set[str] = set()
    used = set()
    for index, part in reversed(list(enumerate(parts))):
        wanted |= part.name in named or part.name == until
        if wanted or not part.masks:
            used.add(index)
            wanted = part.kind.needs_mask
            named |= {each.name for each in parts[:index]} if part.needed_masks is None else set(part.needed_masks)
    return used


def _idle(parts: Sequence[StageSummary], index: int, used: set[int]) -> Problem:
    part, later = parts[index], list(enumerate(parts))[index + 1 :]
    leave_out = f"or leave it out: ~stages.{part.name}"
    for place, other in later:
        if place in used and other.masks and not other.kind.needs_mask:
            why = f"`{other.name}` makes a mask of its own before anything uses this one"
            join = f"join them by a `combine` stage with `mask: {part.name}` behind `{other.name}`"
            return f"stages.{part.name}", f"has no effect: {why}; {join}, {leave_out}"
    last = [each.name for each in parts if each.kind.repaints][-1]
    why = f"nothing behind it uses its mask, and the last repaint, `{last}`, stands before it"
    move = f"put it before `{last}`, in a recipe with a `base:` by `before: {last}`"
    return f"stages.{part.name}", f"has no effect: {why}; {move}, {leave_out}"


def _doubled(parts: Sequence[StageSummary]) -> Iterator[Problem]:
    """Stages that take by name the mask that they work on anyway."""
    maker = ""  # of the mask so far; gates and repaints hand it on
    same: set[str] = set()
    for part in parts:
        if part.masks:
            if part.kind.needs_mask and same & set(part.needed_masks or ()):
                yield f"stages.{part.name}", f"joins the mask of `{maker}` with itself: nothing else made one since"
            maker, same = part.name, set()
        same.add(part.name)
