"""Whether the models that are chosen can do what a recipe asks: told before anything runs, without loading weights."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress

from pipeline.errors import PhotoError, RecipeError
from pipeline.models import Models
from pipeline.plan import Planner, Step
from pipeline.recipe import Recipe, origin
from pipeline.stages import Stage
from pipeline.stages.base import Problem


def check(
    recipe: Recipe, models: Models, strict: bool, source: str, overridden: Collection[str] = ()
) -> tuple[str, ...]:
    """Ask every stage, of every photo if a manifest's columns make them differ, what it thinks of the models.

    What of the recipe has no effect at all counts as a warning, too.

    Args:
        recipe: what is to be done.
        models: those that are chosen.
        strict: refuse what would only be a warning.
        source: see `recipe.parse`; so is `overridden`.

    Returns:
        the warnings, a line each, every one once.

    Raises:
        SetupError: weights are missing.
        RecipeError: with everything that is refused.
    """
    models.require(recipe.models())
    refused: dict[Problem, None] = {}
    doubtful: dict[Problem, None] = dict.fromkeys(recipe.idle)
    for step in _steps(recipe):
        found = dict.fromkeys(_named(step.name, step.stage.refusals(models)))
        refused |= found
        if not found:  # what cannot be done at all is told without its details
            doubtful |= dict.fromkeys(_named(step.name, step.stage.warnings(models)))
    if strict:
        refused |= doubtful
    if refused:
        raise RecipeError([f"{origin(key, source, overridden)}: {key}: {text}" for key, text in refused])
    return tuple(f"{key}: {text}" for key, text in doubtful)


def refusals(name: str, stage: Stage, models: Models) -> list[str]:
    """Why the models cannot do what a stage asks, a line each."""
    return [f"{key}: {text}" for key, text in _named(name, stage.refusals(models))]


def warnings(steps: Iterable[Step], models: Models) -> list[str]:
    """What the models do not heed on the way to a picture, a line each."""
    return [f"{key}: {text}" for step in steps for key, text in _named(step.name, step.stage.warnings(models))]


def _named(name: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    """With the recipe's keys in place of the parameters."""
    return ((f"stages.{name}.{key}".rstrip("."), text) for key, text in problems)


def _steps(recipe: Recipe) -> Iterator[Step]:
    planner = Planner(recipe)
    # Where no parameter waits for a column, one tree is that of all photos, which need not be listed for it.
    items = (photo.item for photo in recipe.dataset.photos()) if planner.waits else [{}]
    for item in items:
        with suppress(PhotoError):  # the run will tell it
            level = planner.tree(item)
            while level:
                yield from level
                level = level[0].children  # siblings share them
