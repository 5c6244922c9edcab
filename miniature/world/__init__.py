"""A procedural picture-book world: endless small scenes with the ground truth of every pixel.

`scene(seed)` draws a place (street, Mars, meadow, ...) with objects in it (car, horse, ...) and returns the
picture with an exact mask of every object. The miniature models are trained and tested on such scenes.
"""

from __future__ import annotations

from miniature.world.captions import caption, describe, name, phrase
from miniature.world.objects import KINDS, PALETTE
from miniature.world.places import LIGHTS, PLACES
from miniature.world.scene import Scene, Spec, Thing, random_specs, scene

__all__ = [
    "KINDS",
    "LIGHTS",
    "PALETTE",
    "PLACES",
    "Scene",
    "Spec",
    "Thing",
    "caption",
    "describe",
    "name",
    "phrase",
    "random_specs",
    "scene",
]
