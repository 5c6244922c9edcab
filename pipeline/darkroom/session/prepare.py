"""Command line words to checked jobs. Nothing is written, and no model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from darkroom.config import recipe_paths
from darkroom.config.compose import Composed, check_single, compose, compose_mapping, expand
from darkroom.config.jobs import Job, RefusedJob
from darkroom.config.recipe import check_dataset, parse
from darkroom.config.settings import Settings
from darkroom.errors import DarkroomError, RecipeError, collect_errors
from darkroom.planning.preflight import check


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


def prepare_mapping(recipe: Mapping[str, Any], words: Sequence[str]) -> Job:
    """`prepare` for a recipe that is given as a mapping; the words do not name one."""
    check_single(words)
    return _single(compose_mapping(recipe, words))


def prepare_sweep(words: Sequence[str]) -> list[Job | RefusedJob]:
    """Compose and check all jobs of a sweep, one for each combination of values.

    A job that cannot run costs itself.

    Raises:
        RecipeError: the words cannot be read.
    """
    stamp, sweep = _stamp(), None
    jobs: list[Job | RefusedJob] = []
    for number, job_words in enumerate(expand(words)):
        name = str(number)
        try:
            composed = compose(job_words)
            sweep = sweep or _outputs(composed.config) / f"{stamp}_sweep"
            name = f"{number}_{composed.config['name']}"
            jobs.append(_checked(composed, sweep / name, sweep))
        except DarkroomError as error:
            place = sweep or Path(f"{stamp}_sweep")  # without any job that can run, nothing is written there
            jobs.append(RefusedJob(place / name, job_words, str(error), place))
    return jobs


def _single(composed: Composed) -> Job:
    return _checked(composed, _outputs(composed.config) / f"{_stamp()}_{composed.config['name']}", None)


def _checked(composed: Composed, folder: Path, sweep: Path | None) -> Job:
    config, source, overridden = composed.config, composed.source, composed.overridden
    recipe, settings, _ = collect_errors(
        lambda: parse(config, source, overridden),
        lambda: Settings.parse(config),
        lambda: _outputs(config),
    )
    check_dataset(recipe, source, overridden)
    warnings = check(recipe, settings.models(), settings.strict, source, overridden)
    return Job(recipe, settings, folder, composed.files(folder), config, composed.overrides, sweep, warnings)


def _outputs(config: dict[str, Any]) -> Path:
    """The folder in which run folders are made."""
    outputs = config.get("outputs")
    if isinstance(outputs, str | int) and str(outputs).strip():
        return Path.cwd() / recipe_paths.home(str(outputs))
    raise RecipeError("command line: outputs: the folder for run folders, such as outputs=results")


def _stamp() -> str:
    """Local time to the millisecond, the beginning of a run folder's name."""
    return datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")[:-3]
