"""Draws the random seeds of a recipe, once, so that its snapshot and every later step have plain numbers."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from darkroom.config.stage_defaults import kinds_of, op_of
from darkroom.stages.markers import RandomSeed
from darkroom.stages.seeds import MAX_COUNT, RANDOM, SeedRule

_BELOW = 2**32 - MAX_COUNT  # the last of several seeds, too, has 32 bits, which every tool accepts


def draw_seeds(config: Mapping[str, Any]) -> None:
    """Put a random number in the place of every `random` in the seeds of a composed recipe, in place.

    Seeds that are not valid stay as they are; they are reported when the recipe is checked.
    """
    stages = config.get("stages")
    for name, stage in stages.items() if isinstance(stages, Mapping) else ():
        for kind in kinds_of(op_of(name, stage)) if isinstance(stage, dict) else ():
            for key in kind.fields_with(RandomSeed):
                with suppress(ValueError):
                    if key in stage and SeedRule.parse(stage[key]).start is None:
                        stage[key] = _drawn(stage[key])


def _drawn(value: Any) -> Any:
    number = secrets.randbelow(_BELOW)
    return number if value == RANDOM else {**value, "start": number}
