"""Command line words to checked jobs. Nothing is written, and no model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from darkroom.config import recipe_paths
from darkroom.config.compose import Composed, check_single, compose, compose_given, expand
from darkroom.config.hydra_loader import HydraLoader
from darkroom.config.jobs import Job, RefusedJob
from darkroom.config.recipe import check_dataset, parse
from darkroom.config.recipe_form import is_name
from darkroom.config.settings import Settings
from darkroom.config.speed import check_painter
from darkroom.errors import DarkroomError, RecipeError, collect_errors

T = TypeVar("T")


def prepare(words: Sequence[str]) -> Job:
    """Compose and check one job.

    Args:
        words: `KEY=VALUE` in Hydra's grammar, one value each.

    Raises:
        RecipeError: with every problem of recipe and settings.
        SetupError: this machine lacks the device or the weights.
    """
    check_single(words)
    return _single(compose(words))


def prepare_given(recipe: Path | Mapping[str, Any], words: Sequence[str]) -> Job:
    """`prepare` for a recipe that a program gives: a file or a mapping; the words do not name one."""
    check_single(words)
    return _single(compose_given(recipe, words))


def prepare_sweep(words: Sequence[str]) -> list[Job | RefusedJob]:
    """Compose and check all jobs of a sweep, one for each combination of values.

    A job that cannot run is refused; the others still run.

    Raises:
        RecipeError: the words cannot be read.
    """
    stamp, all_words, loader = _stamp(), expand(words), HydraLoader()
    composed = [_attempt(partial(compose, job_words, loader)) for job_words in all_words]
    places = [_attempt(partial(_outputs, job.config)) for job in composed if isinstance(job, Composed)]
    folders = list(dict.fromkeys(place for place in places if isinstance(place, Path)))
    if len(folders) > 1:
        raise RecipeError("command line: outputs: all runs of a sweep go to one folder")
    outputs = folders[0] if folders else Path()  # nothing is written, if all jobs are refused
    sweep = outputs / f"{stamp}_sweep"
    jobs: list[Job | RefusedJob] = []
    for number, (job_words, job) in enumerate(zip(all_words, composed, strict=True)):
        if isinstance(job, DarkroomError):
            jobs.append(RefusedJob(sweep / str(number), job_words, str(job), sweep))
            continue
        folder = sweep / f"{number}_{_name(job)}"
        checked = _attempt(partial(_checked, job, folder, sweep))
        jobs.append(checked if isinstance(checked, Job) else RefusedJob(folder, job_words, str(checked), sweep))
    return jobs


def _attempt(work: Callable[[], T]) -> T | DarkroomError:
    try:
        return work()
    except DarkroomError as error:
        return error


def _single(composed: Composed) -> Job:
    return _checked(composed, _outputs(composed.config) / f"{_stamp()}_{_name(composed)}", None)


def _name(composed: Composed) -> str:
    """The recipe's name, as a part of the run folder's; the check of the recipe refuses any other."""
    name = str(composed.config.get("name"))
    return name if is_name(name) else "unnamed"


def _checked(composed: Composed, folder: Path, sweep: Path | None) -> Job:
    config, source, overridden = composed.config, composed.source, composed.overridden
    recipe, settings, _ = collect_errors(
        lambda: parse(config, source, overridden),
        lambda: Settings.parse(config),
        lambda: _outputs(config),
    )
    # These take their time to import, and a refused recipe does not need them.
    from darkroom.planning.preflight import check, check_outputs
    from darkroom.record.result_names import check_names

    check_dataset(recipe, source, overridden)
    check_outputs(recipe, settings.results)
    if not settings.dry_run:  # which checks them as it counts
        check_names(recipe, settings.results)
    if composed.speed:
        check_painter(composed.speed, settings.models())
    unchecked = settings.dry_run and recipe.per_photo
    warnings = () if unchecked else check(recipe, settings.models(), settings.strict, source, overridden)
    return Job(
        recipe,
        settings,
        folder,
        composed.files(folder),
        config,
        composed.overrides,
        sweep,
        warnings,
        unchecked=unchecked,
        source=source,
        overridden=overridden,
    )


def _outputs(config: dict[str, Any]) -> Path:
    """The folder in which run folders are made."""
    outputs = config.get("outputs")
    if not isinstance(outputs, str | int) or not str(outputs).strip():
        raise RecipeError("command line: outputs: give a folder for the runs, such as outputs=results")
    return recipe_paths.outputs_folder(str(outputs))


def _stamp() -> str:
    """Local time to the millisecond, the beginning of a run folder's name."""
    return datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")[:-3]
