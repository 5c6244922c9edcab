"""The order of stages: the keys `after` and `before` place a stage next to one that the recipe inherits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from darkroom.errors import RecipeError, suggest

_SIDES = ("before", "after")  # of another stage


class Place(NamedTuple):
    """The wanted place of a stage: `before` or `after` another one."""

    side: str
    other: str


def place_stages(config: dict[str, Any], source: str) -> dict[str, Any]:
    """A recipe with its stages in the order that their keys `after` and `before` ask for, without these keys.

    Args:
        config: the keys are removed from its stages in place.
        source: names the recipe in error lines.

    Raises:
        RecipeError: a place is given twice or names no other stage, or places form a cycle.
    """
    return move_stages(config, take_places(config, source), source)


def take_places(config: Mapping[str, Any], source: str) -> dict[str, Place]:
    """Remove the keys `after` and `before` from all stages, and return them by stage name. See `place_stages`."""
    stages = config.get("stages")
    places: dict[str, Place] = {}
    problems: list[str] = []
    for name, stage in stages.items() if isinstance(stages, Mapping) else ():
        given = {side: stage.pop(side) for side in _SIDES if side in stage} if isinstance(stage, dict) else {}
        if len(given) > 1:
            problems.append(f"{source}: stages.{name}: `after` and `before` are both given; keep one of them")
        for side, other in given.items():
            places[name] = Place(side, other)
            if other == name or not isinstance(other, str):
                problems.append(f"{source}: stages.{name}.{side}: the name of another stage; got {other!r:.60}")
    if problems:
        raise RecipeError(problems)
    return places


def move_stages(config: dict[str, Any], places: Mapping[str, Place], source: str) -> dict[str, Any]:
    """The recipe with its stages in their places; stages at the same place keep their order. See `place_stages`."""
    if not places:
        return config
    stages = config["stages"]
    problems = [
        f"{source}: stages.{name}.{place.side}: no stage is called '{place.other}', "
        + suggest(place.other, [other for other in stages if other != name])
        for name, place in places.items()
        if place.other not in stages
    ]
    if problems:
        raise RecipeError(problems)
    order = _in_order([name for name in stages if name not in places], places)
    placed = set(order)
    if lost := [name for name in places if name not in placed]:
        circle = ", ".join(f"{name} {places[name].side} {places[name].other}" for name in lost)
        raise RecipeError(f"{source}: stages: `after` and `before` form a cycle: {circle}")
    return config | {"stages": {name: stages[name] for name in order}}


def _in_order(fixed: Sequence[str], places: Mapping[str, Place]) -> list[str]:
    """All names in order: a fixed name stands between those placed before and after it, and so do these."""
    beside: dict[Place, list[str]] = {}
    for name, place in places.items():
        beside.setdefault(place, []).append(name)
    order: list[str] = []
    waiting = [(name, False) for name in reversed(fixed)]
    while waiting:
        name, has_neighbours = waiting.pop()
        if has_neighbours:
            order.append(name)
        else:
            before, after = ([(other, False) for other in beside.get(Place(side, name), ())] for side in _SIDES)
            waiting += reversed([*before, (name, True), *after])
    return order
