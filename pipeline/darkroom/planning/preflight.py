"""Checks whether the chosen models can do what a recipe asks, before anything runs and without loading weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec

from darkroom.config.recipe import Recipe, origin
from darkroom.config.settings import Results
from darkroom.config.stage_spec import StageSpec
from darkroom.dataset import Photo
from darkroom.dataset.columns import BUILT_IN
from darkroom.errors import PhotoError, RecipeError, SetupError
from darkroom.imaging.content_credentials import load_credentials
from darkroom.models import Models
from darkroom.planning.by_identity import ByIdentity
from darkroom.planning.plan import Step, StepPlanner
from darkroom.resources import install_command
from darkroom.stages import Stage
from darkroom.stages.base import Problem

_MAX_ERRORS = 20  # lines of an error
_MAX_WARNINGS = 1000  # that a run records
_MAX_ROWS = 3  # of the manifest that a line names


def check(
    recipe: Recipe, models: Models, strict: bool, source: str, overridden: Collection[str] = ()
) -> tuple[str, ...]:
    """Check each stage against the models; once per photo if parameters refer to manifest columns.

    A stage without effect counts as a warning, too.

    Args:
        recipe: the recipe to check.
        models: the chosen ones.
        strict: treat warnings as errors.
        source: see `recipe.parse`.
        overridden: see `recipe.parse`.

    Returns:
        the warnings, one line each, without repetition.

    Raises:
        SetupError: weights are missing.
        RecipeError: the models refuse every photo, or `strict` is set and there is any problem; with all of them. If
            they refuse some photos only, `planned` reports these one by one.
    """
    models.require(recipe.models())
    refused, doubtful = _Problems(recipe), _Problems(recipe)
    find = _finder(models)
    for place, tree in _plans(recipe, source):
        found, warned = find(tree)
        refused.add(place, found)
        doubtful.add(place, warned)
    doubts = [*recipe.unused, *doubtful.lines()]
    wrong = [*refused.lines(), *doubts] if strict else refused.lines() if refused.everywhere else []
    if wrong:
        lines = [f"{origin(key, source, overridden)}: {key}: {text}" for key, text in wrong]
        more = [f"... and {len(lines) - _MAX_ERRORS} more"] if len(lines) > _MAX_ERRORS else []
        raise RecipeError([*lines[:_MAX_ERRORS], *more])
    more = [f"... and {len(doubts) - _MAX_WARNINGS} more"] if len(doubts) > _MAX_WARNINGS else []
    return (*(f"{key}: {text}" for key, text in doubts[:_MAX_WARNINGS]), *more)


_Found = tuple[Mapping[Problem, None], Mapping[Problem, None]]  # refusals and warnings


def _finder(models: Models) -> Callable[[Sequence[Step]], _Found]:
    """Finds refusals and warnings of a tree; those of a tree or a stage that photos share are found once."""

    def of_step(step: Step) -> _Found:
        refusals = dict.fromkeys(_named(step.name, step.stage.refusals(models)))
        if refusals:  # a stage that is refused needs no warnings
            return refusals, {}
        return {}, dict.fromkeys(_named(step.name, step.stage.warnings(models)))

    def of_stage(stage: Stage) -> dict[str, _Found]:
        return {}

    by_name = ByIdentity(of_stage)

    def of_tree(tree: Sequence[Step]) -> _Found:
        found: dict[Problem, None] = {}
        warned: dict[Problem, None] = {}
        for step in _all(tree):
            known = by_name(step.stage)
            if step.name not in known:
                known[step.name] = of_step(step)
            found |= known[step.name][0]
            warned |= known[step.name][1]
        return found, warned

    return ByIdentity(of_tree)


def planned(
    photo: Photo, plan: Callable[[], Sequence[Step]], models: Models | Callable[[Sequence[Step]], str]
) -> Sequence[Step]:
    """The steps of a photo, after checking that the models do not refuse them.

    Args:
        photo: the photo to plan.
        plan: makes the steps, or raises `PhotoError`.
        models: the chosen ones, or their `refusal_finder`.

    Raises:
        PhotoError: the models refuse a step, or there is no plan; names the row of the manifest, if there is one.
    """
    try:
        steps = plan()
        if reason := models(steps) if callable(models) else _reason(models, steps):
            raise PhotoError(reason)
    except PhotoError as error:
        raise PhotoError(photo.located(error)) from None
    return steps


def refusal_finder(models: Models) -> Callable[[Sequence[Step]], str]:
    """Finds why the models refuse a tree, in one line; empty if they do not. The latest trees are remembered."""
    return ByIdentity(partial(_reason, models))


def _reason(models: Models, steps: Sequence[Step]) -> str:
    return "; ".join(dict.fromkeys(line for step in _all(steps) for line in refusals(step.name, step.stage, models)))


def check_outputs(recipe: Recipe, results: Results) -> None:
    """Make sure that a run can make the files that it is to deliver.

    Raises:
        RecipeError: the recipe has no mask from which to make one.
        SetupError: a package is missing, or pictures cannot be signed.
    """
    from_masks = [kind for kind in results.what if kind != "picture"]
    if from_masks and not any(spec.kind.makes_mask() for spec in recipe.stages):
        raise RecipeError(
            f"command line: results.what: {', '.join(from_masks)}: the recipe has no stage that makes a mask"
        )
    if "layers" in results.what:
        _require_psd_tools()
    if (results.c2pa_certificate is None) != (results.c2pa_key is None):
        raise RecipeError("command line: results.c2pa_certificate and results.c2pa_key: give both, or neither")
    if results.c2pa_certificate and results.c2pa_key:
        load_credentials(results.c2pa_certificate, results.c2pa_key)


def _require_psd_tools() -> None:
    if find_spec("psd_tools") is None:
        raise SetupError(f"results.what: layers need psd-tools: {install_command('layers')}")
    try:
        import_module("psd_tools")
    except (ImportError, OSError) as error:
        raise SetupError(f"results.what: psd-tools cannot be imported: {error}") from error


def _waiting(spec: StageSpec) -> set[str]:
    """The parameters that refer to columns."""
    return {key for part in spec.parts for key in part.column_parameters}


class _Problems:
    """Problems, and the photos that have them."""

    def __init__(self, recipe: Recipe) -> None:
        self._waiting = {f"stages.{spec.name}.{key}" for spec in recipe.stages for key in _waiting(spec)}
        self._photos = self._bad = 0
        self._counts: Counter[Problem] = Counter()
        self._places: dict[Problem, list[str]] = {}

    def add(self, place: str, found: Collection[Problem]) -> None:
        """Add a photo, its row in the manifest and its problems."""
        self._photos += 1
        self._bad += bool(found)
        for problem in found:
            self._counts[problem] += 1
            if self._counts[problem] <= _MAX_ROWS:
                self._places.setdefault(problem, []).append(place)

    @property
    def everywhere(self) -> bool:
        """Whether every photo has a problem."""
        return self._photos > 0 and self._bad == self._photos

    def lines(self) -> list[Problem]:
        """Every problem once; those from manifest columns with their rows."""
        return [(key, self._located(key, text)) for key, text in self._counts]

    def _located(self, key: str, text: str) -> str:
        places, count = self._places[key, text], self._counts[key, text]
        if count == self._photos and key not in self._waiting:
            return text
        more = f" and {count - len(places)} more" if count > len(places) else ""
        return f"{text} ({', '.join(places)}{more})"


def refusals(name: str, stage: Stage, models: Models) -> list[str]:
    """Why the models refuse a stage, one line per reason."""
    return [f"{key}: {text}" for key, text in _named(name, stage.refusals(models))]


def warnings(steps: Iterable[Step], models: Models) -> list[str]:
    """What the models ignore in the steps of a picture, one line per warning."""
    return [f"{key}: {text}" for step in steps for key, text in _named(step.name, step.stage.warnings(models))]


def _named(name: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    """The problems with full keys, such as `stages.inpaint.prompt`, in place of parameters."""
    return ((f"stages.{name}.{key}".rstrip("."), text) for key, text in problems)


def _plans(recipe: Recipe, source: str) -> Iterator[tuple[str, Sequence[Step]]]:
    """(row in the manifest, tree) of each photo; only one pair if no parameter refers to manifest columns."""
    planner = StepPlanner(recipe)
    if not planner.per_photo:  # without listing the photos
        try:
            yield "", planner.tree({})
        except PhotoError as error:
            raise RecipeError(f"{source}: stages: {error}") from None
        return
    first: str | None = None
    planned_any = False
    for photo in recipe.dataset.photos():
        try:
            tree = planner.plan(photo, unread=True)
        except PhotoError as error:  # the run reports it
            first = first or f"{photo.name}: {photo.located(error)}"
        else:
            planned_any = True
            yield photo.row, tree
    if first and not planned_any and recipe.columns() & BUILT_IN.keys():
        raise RecipeError(f"{source}: stages: no photo has all columns that they use: {first}")


def _all(level: Sequence[Step]) -> Iterator[Step]:
    """The steps of a tree; siblings have the same children, which are listed once."""
    while level:
        yield from level
        level = level[0].children
