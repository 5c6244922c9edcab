"""Captions for scenes: the prompts that the miniature models are trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from miniature.world.places import LIGHTS, PLACES
from miniature.world.scene import Scene, Spec

_WITH_PLACE = (
    "{things}, {place}",
    "a photo of {things}, {place}",
    "{things} on {place}",
    "{things} in {place}",
    "a photo of {things} in {place}",
    "picture of {things}, {place}",
)
_ONLY_THINGS = ("a photo of {things}", "{things}", "picture of {things}", "the {bare}", "{bare}")
_ONLY_PLACE = ("a photo of {place}", "{place}", "{place}", "{place}", "empty {place}", "picture of {place}")


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[rng.integers(len(options))]


def name(spec: Spec, rng: np.random.Generator, with_colour: float = 0.7) -> str:
    """The name of an object, with its colour in a share `with_colour` of cases: "red car" or "car"."""
    kind, colour = spec
    return f"{colour} {kind}" if colour and rng.random() < with_colour else kind


def phrase(place: str, rng: np.random.Generator) -> str:
    """One of the phrases for a place."""
    return _pick(rng, PLACES[place].phrases)


def describe(
    place: str | None,
    things: Sequence[Spec],
    rng: np.random.Generator,
    with_colour: float = 0.7,
    light: str = "day",
) -> str:
    """A caption for these objects in this place in this light; objects or place may be missing."""
    bare = " and a ".join(name(spec, rng, with_colour) for spec in things)
    where = phrase(place, rng) if place else ""
    hour = _pick(rng, LIGHTS[light].phrases)
    if where and hour and "night" not in where:
        where = f"{where} {hour}"
    words = {"bare": bare, "things": f"a {bare}", "place": where}
    if not bare:
        return _pick(rng, _ONLY_PLACE).format(**words) if place else "a photo"
    return _pick(rng, _WITH_PLACE if place else _ONLY_THINGS).format(**words)


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A caption for the whole scene, in varied words."""
    return describe(scene.place, [(thing.kind, thing.colour) for thing in scene.objects], rng, light=scene.light)
