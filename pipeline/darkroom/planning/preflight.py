"""Checks whether the chosen models can do what a recipe asks, before anything runs and without loading weights."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
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
_REMEMBERED = 500  # stages
_MAX_ROWS = 3  # of the manifest that a line names
_MAX_PROBLEMS = 20_000  # different ones that are told apart: every row of a table may have its own


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
    preflight = Preflight(recipe, models)
    if preflight.per_photo:
        for photo in recipe.dataset.photos():
            with suppress(PhotoError):  # the run reports it
                preflight.plan(photo, unread=True)
    return preflight.warnings(strict, source, overridden)


class Preflight:
    """Plans the photos of a recipe, and checks their stages against the models.

    Args:
        recipe: the recipe to check.
        models: the chosen ones.

    Attributes:
        per_photo: whether each photo has stages of its own; otherwise `warnings` needs no photo.

    Raises:
        SetupError: weights are missing.
    """

    def __init__(self, recipe: Recipe, models: Models) -> None:
        models.require(recipe.models())
        self._recipe = recipe
        self._planner = StepPlanner(recipe)
        self._find = ByIdentity(_Finder(models))
        self._refused, self._doubtful = _Problems(recipe), _Problems(recipe)
        self._unplanned = ""
        self.per_photo = self._planner.per_photo

    def plan(self, photo: Photo, unread: bool = False) -> Sequence[Step]:
        """The steps of a photo, none of which the models refuse. See `steps` and `require`."""
        tree = self.steps(photo, unread)
        self.require(photo, tree)
        return tree

    def steps(self, photo: Photo, unread: bool = False) -> Sequence[Step]:
        """The steps of a photo, whether the models refuse them or not.

        Args:
            photo: the photo.
            unread: see `StepPlanner.plan`.

        Raises:
            PhotoError: there is no plan; names the row of the manifest, if there is one.
        """
        try:
            if photo.problem:
                raise PhotoError(photo.problem)
            return self._planner.plan(photo, unread)
        except PhotoError as error:
            self._unplanned = self._unplanned or f"{photo.name}: {photo.located(error)}"
            raise PhotoError(photo.located(error)) from None

    def require(self, photo: Photo, tree: Sequence[Step]) -> None:
        """Raise `PhotoError`, with the row of the manifest, if the models refuse one of a photo's steps."""
        if refused := self._add(photo.row, tree):
            raise PhotoError(photo.located(_reason(refused)))

    def warnings(self, strict: bool, source: str, overridden: Collection[str] = ()) -> tuple[str, ...]:
        """The warnings of all photos that have been planned. See `check`."""
        self._require_one(source)
        doubts = [*self._recipe.unused, *self._doubtful.lines()]
        wrong = self._refused.lines() if strict or self._refused.everywhere else []
        if wrong := [*wrong, *doubts] if strict else wrong:
            lines = [f"{origin(key, source, overridden)}: {key}: {text}" for key, text in wrong]
            further = self._refused.further + (self._doubtful.further if strict else 0)
            raise RecipeError([*lines[:_MAX_ERRORS], *_more(len(lines) + further - _MAX_ERRORS)])
        shown = [f"{key}: {text}" for key, text in doubts[:_MAX_WARNINGS]]
        return (*shown, *_more(len(doubts) + self._doubtful.further - _MAX_WARNINGS))

    def _require_one(self, source: str) -> None:
        """Make sure that a photo was planned, or could be."""
        if not self.per_photo:
            try:
                self._add("", self._planner.tree({}))
            except PhotoError as error:
                raise RecipeError(f"{source}: stages: {error}") from None
        elif self._unplanned and not self._refused.photos and self._recipe.columns() & BUILT_IN.keys():
            raise RecipeError(f"{source}: stages: no photo has all columns that they use: {self._unplanned}")

    def _add(self, place: str, tree: Sequence[Step]) -> Collection[Problem]:
        """Check the tree of a photo. Returns why the models refuse it."""
        refused, doubts = self._find(tree)
        self._refused.add(place, refused)
        self._doubtful.add(place, doubts)
        return refused


def _more(count: int) -> list[str]:
    return [f"... and {count} more"] if count > 0 else []


_Found = tuple[Collection[Problem], Collection[Problem]]  # refusals and warnings, without repetition


class _Finder:
    """Finds refusals and warnings of a tree; those of a stage that photos share are found once, and so are those of
    stages that are alike (`Stage.alike`) and whose texts are short.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._found: dict[tuple[int, str, bool], tuple[Stage, _Found]] = {}
        self._room = ByIdentity(self._room_of)

    def __call__(self, tree: Sequence[Step]) -> _Found:
        """See above."""
        refusals: dict[Problem, None] = {}
        warnings: dict[Problem, None] = {}
        for step in _all(tree):
            stage, alike = step.stage, step.stage.alike
            is_short = alike is not stage and self._is_short(stage, alike)
            which = id(alike if is_short else stage), step.name, is_short
            _, (refused, doubts) = self._found.get(which) or self._find(step, which)
            if refused or doubts:
                refusals |= dict.fromkeys(refused)
                warnings |= dict.fromkeys(doubts)
        return refusals, warnings

    def _find(self, step: Step, which: tuple[int, str, bool]) -> tuple[Stage, _Found]:
        """What is found of a step, and the stage whose identity stands for it, which is kept alive."""
        if len(self._found) >= _REMEMBERED:
            self._found.clear()
        refused = list(_named(step.name, step.stage.refusals(self._models)))
        # A stage that is refused needs no warnings.
        doubts = [] if refused else list(_named(step.name, step.stage.warnings(self._models)))
        found = self._found[which] = step.stage.alike if which[2] else step.stage, (refused, doubts)
        return found

    def _is_short(self, stage: Stage, alike: Stage) -> bool:
        """Whether no plain text of a stage can be too long for the painter: each token has a letter or more."""
        given, room = vars(stage), self._room(alike)
        return all([len(given[name]) <= room for name in stage.plain_texts])

    def _room_of(self, stage: Stage) -> float:
        """The tokens that the painter reads of a text, if a stage uses it."""
        most = self._models.checkpoint_info.max_tokens(0) if "inpaint" in stage.models() else None
        return math.inf if most is None else most


def planned(photo: Photo, plan: Callable[[], Sequence[Step]], models: Models) -> Sequence[Step]:
    """The steps of a photo, after checking that the models do not refuse them.

    Args:
        photo: the photo to plan.
        plan: makes the steps, or raises `PhotoError`.
        models: the chosen ones.

    Raises:
        PhotoError: the models refuse a step, or there is no plan; names the row of the manifest, if there is one.
    """
    try:
        steps = plan()
        if refused := [each for step in _all(steps) for each in _named(step.name, step.stage.refusals(models))]:
            raise PhotoError(_reason(refused))
    except PhotoError as error:
        raise PhotoError(photo.located(error)) from None
    return steps


def _reason(refused: Iterable[Problem]) -> str:
    """Why the models refuse a photo, in one line; each reason once."""
    return "; ".join(f"{key}: {text}" for key, text in dict.fromkeys(refused))


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
    """Problems, and the photos that have them.

    Attributes:
        photos: the number of all photos.
        further: problems of photos beyond those that are told apart.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._waiting = {f"stages.{spec.name}.{key}" for spec in recipe.stages for key in _waiting(spec)}
        self.photos = self._bad = self.further = 0
        self._counts: Counter[Problem] = Counter()
        self._places: dict[Problem, list[str]] = {}

    def add(self, place: str, found: Collection[Problem]) -> None:
        """Add a photo, its row in the manifest and its problems."""
        self.photos += 1
        if not found:
            return
        self._bad += 1
        for problem in found:
            if len(self._counts) == _MAX_PROBLEMS and problem not in self._counts:
                self.further += 1
                continue
            self._counts[problem] += 1
            if self._counts[problem] <= _MAX_ROWS:
                self._places.setdefault(problem, []).append(place)

    @property
    def everywhere(self) -> bool:
        """Whether every photo has a problem."""
        return 0 < self.photos == self._bad

    def lines(self) -> list[Problem]:
        """Every problem once; those from manifest columns with their rows."""
        return [(key, self._located(key, text)) for key, text in self._counts]

    def _located(self, key: str, text: str) -> str:
        places, count = self._places[key, text], self._counts[key, text]
        if count == self.photos and key not in self._waiting:
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


def _all(level: Sequence[Step]) -> Iterator[Step]:
    """The steps of a tree; siblings have the same children, which are listed once."""
    while level:
        yield from level
        level = level[0].children
