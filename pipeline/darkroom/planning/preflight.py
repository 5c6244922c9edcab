"""Whether the models that are chosen can do what a recipe asks: told before anything runs, without loading weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress

from darkroom.config.recipe import Recipe, origin
from darkroom.dataset import Photo
from darkroom.errors import PhotoError, RecipeError
from darkroom.models import Models
from darkroom.planning.plan import Step, StepPlanner
from darkroom.stages import Stage
from darkroom.stages.base import Problem

_SHOWN = 20  # lines of a refusal
_RECORDED = 1000  # warnings that a run keeps
_PLACES = 3  # rows that a line names


def check(
    recipe: Recipe, models: Models, strict: bool, source: str, overridden: Collection[str] = ()
) -> tuple[str, ...]:
    """Check each stage against the models; once per photo where columns change its parameters.

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
        RecipeError: with everything that is refused, where that leaves no photo to work on (a photo that is refused
            for its columns' sake costs itself: see `planned`); or under `strict`.
    """
    models.require(recipe.models())
    refused, doubtful = _Problems(recipe), _Problems(recipe)
    for place, steps in _plans(recipe, source):
        found: dict[Problem, None] = {}
        warned: dict[Problem, None] = {}
        for step in steps:
            here = dict.fromkeys(_named(step.name, step.stage.refusals(models)))
            found |= here
            if not here:  # no warnings for a stage that is refused
                warned |= dict.fromkeys(_named(step.name, step.stage.warnings(models)))
        refused.add(place, found)
        doubtful.add(place, warned)
    doubts = [*recipe.unused, *doubtful.lines()]
    wrong = [*refused.lines(), *doubts] if strict else refused.lines() if refused.everywhere else []
    if wrong:
        lines = [f"{origin(key, source, overridden)}: {key}: {text}" for key, text in wrong]
        more = [f"... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        raise RecipeError([*lines[:_SHOWN], *more])
    more = [f"... and {len(doubts) - _RECORDED} more"] if len(doubts) > _RECORDED else []
    return (*(f"{key}: {text}" for key, text in doubts[:_RECORDED]), *more)


def planned(photo: Photo, plan: Callable[[], Sequence[Step]], models: Models) -> Sequence[Step]:
    """The steps of a photo, if the models can take them.

    Args:
        photo: which.
        plan: makes the steps, or raises `PhotoError`.
        models: those that are chosen.

    Raises:
        PhotoError: they cannot, or there is no plan; names the row of the manifest, where there is one.
    """
    try:
        steps = plan()
        if told := dict.fromkeys(line for step in _all(steps) for line in refusals(step.name, step.stage, models)):
            raise PhotoError("; ".join(told))
    except PhotoError as error:
        raise PhotoError(photo.located(error)) from None
    return steps


class _Problems:
    """What is wrong, at which photos.

    Attributes:
        everywhere: whether something is wrong with every photo.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._waiting = {f"stages.{spec.name}.{key}" for spec in recipe.stages for key in spec.column_parameters}
        self._photos = self._bad = 0
        self._counts: Counter[Problem] = Counter()
        self._places: dict[Problem, list[str]] = {}

    def add(self, place: str, found: Collection[Problem]) -> None:
        """Take note of a photo: where it stands, and what is wrong with it."""
        self._photos += 1
        self._bad += bool(found)
        for problem in found:
            self._counts[problem] += 1
            if self._counts[problem] <= _PLACES:
                self._places.setdefault(problem, []).append(place)

    @property
    def everywhere(self) -> bool:
        return self._photos > 0 and self._bad == self._photos

    def lines(self) -> list[Problem]:
        """Every problem once; what comes from columns with the rows."""
        return [(key, self._located(key, text)) for key, text in self._counts]

    def _located(self, key: str, text: str) -> str:
        places, count = self._places[key, text], self._counts[key, text]
        if count == self._photos and key not in self._waiting:
            return text
        more = f" and {count - len(places)} more" if count > len(places) else ""
        return f"{text} ({', '.join(places)}{more})"


def refusals(name: str, stage: Stage, models: Models) -> list[str]:
    """Why the models cannot do what a stage asks, a line each."""
    return [f"{key}: {text}" for key, text in _named(name, stage.refusals(models))]


def warnings(steps: Iterable[Step], models: Models) -> list[str]:
    """What the models do not heed on the way to a picture, a line each."""
    return [f"{key}: {text}" for step in steps for key, text in _named(step.name, step.stage.warnings(models))]


def _named(name: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    """With the recipe's keys in place of the parameters."""
    return ((f"stages.{name}.{key}".rstrip("."), text) for key, text in problems)


def _plans(recipe: Recipe, source: str) -> Iterator[tuple[str, Iterator[Step]]]:
    """Where each photo stands, and its steps; one for all photos, where no parameter waits for a column."""
    planner = StepPlanner(recipe)
    if not planner.per_photo:  # the photos need not be listed for it
        try:
            yield "", _all(planner.tree({}))
        except PhotoError as error:
            raise RecipeError(f"{source}: stages: {error}") from None
        return
    for photo in recipe.dataset.photos():
        with suppress(PhotoError):  # the run will tell it
            yield photo.row, _all(planner.tree(photo.item))


def _all(level: Sequence[Step]) -> Iterator[Step]:
    """The steps of a tree, those that siblings share once."""
    while level:
        yield from level
        level = level[0].children
