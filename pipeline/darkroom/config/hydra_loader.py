"""Hydra: the grammar of overrides, config groups and shell completion.

Only this module and `recipe_source` load configurations with it. `compose` reads its overrides, `override_errors` and
`override_clashes` its errors.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig
from packaging.version import Version

from darkroom.config import recipe_source
from darkroom.config.override_errors import explain
from darkroom.errors import RecipeError
from darkroom.resources import CONF
from darkroom.system.interrupts import raise_if_interrupted

Choices = tuple[str, ...]
"""The overrides that choose from config groups, such as `recipe=NAME` and `memory=low`."""


class HydraLoader:
    """Composes the configurations of one command line.

    Composing what the groups hold takes Hydra 70 ms, and most jobs of a sweep choose the same. It is done once for
    each set of choices, and a copy gets the values of each job.
    """

    def __init__(self) -> None:
        self._chosen: dict[Choices, DictConfig] = {}

    def load(self, overrides: Sequence[str], words: Sequence[str]) -> DictConfig:
        """The configuration of one job.

        Args:
            overrides: one value each, as Hydra takes them.
            words: what the user gave, for error lines.

        Raises:
            RecipeError: an unknown key, a group that is not there, or an override that cannot be read.
        """
        try:
            with _version_base():
                return self._load(parse(overrides))
        except Exception as error:
            raise_if_interrupted()
            raise explain(error, words, recipe_source.read) from error

    def _load(self, overrides: Sequence[Override]) -> DictConfig:
        choices = tuple(str(each.input_line) for each in overrides if _is_choice(each))
        if choices not in self._chosen:
            self._chosen[choices] = _loader().load_configuration("config", list(choices), RunMode.RUN, from_shell=False)
        config = copy.deepcopy(self._chosen[choices])
        ConfigLoaderImpl._apply_overrides_to_config([each for each in overrides if not _is_choice(each)], config)
        config.hydra.overrides.task = [str(each.input_line) for each in overrides]
        config.hydra.job.override_dirname = get_overrides_dirname(list(overrides), [], ",", "=")
        return config


def parse(overrides: Sequence[str]) -> tuple[Override, ...]:
    """The overrides, read. Raises `RecipeError` for one that cannot be read."""
    return _parsed(tuple(overrides))


@lru_cache(maxsize=4)  # composing one job needs them several times
def _parsed(overrides: tuple[str, ...]) -> tuple[Override, ...]:
    try:
        return tuple(OverridesParser.create(config_loader=_loader()).parse_overrides(list(overrides)))
    except Exception as error:
        raise_if_interrupted()
        raise explain(error, overrides, recipe_source.read) from error


def split(overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """The overrides of every job of a sweep. Raises `RecipeError` if the values of one cannot be listed."""
    try:
        (jobs,) = BasicSweeper.split_arguments(list(parse(overrides)), max_batch_size=None)
    except RecipeError:
        raise
    except Exception as error:
        raise_if_interrupted()
        raise explain(error, overrides, recipe_source.read) from error
    return [tuple(job) for job in jobs]


def complete(words: Sequence[str]) -> None:
    """Hydra's shell completion: `install=SHELL`, `uninstall=SHELL`, or `query=SHELL`.

    Raises:
        RecipeError: another word, or a shell that is not supported.
    """
    try:
        with _version_base():
            Hydra("darkroom", _loader()).shell_completion("config", list(words))
    except ValueError as error:
        raise RecipeError(f"command line: -sc: {' '.join(str(error).split())}") from None
    except KeyError as error:
        raise RecipeError(
            f"command line: -sc: query= needs the variable {error.args[0]}, which the shell sets"
        ) from None


def _is_choice(override: Override) -> bool:
    """Whether it chooses from a group, as Hydra decides it."""
    return not isinstance(override.value(), dict) and _is_group(override.key_or_group)


@lru_cache(maxsize=100)
def _is_group(key: str) -> bool:
    return bool(_loader().repository.group_exists(key))


@cache
def _loader() -> ConfigLoaderImpl:
    """Hydra without its global state, so that it can be used in threads and beside another Hydra program."""
    for plugin in (recipe_source.RecipeSource, recipe_source.RecipeSearchPath):
        Plugins.instance().register(plugin)
    return ConfigLoaderImpl(create_config_search_path(str(CONF)))


@contextmanager
def _version_base() -> Iterator[None]:
    """Hydra as of 1.3, whatever the program around has chosen."""
    before = version.getbase()
    version.setbase("1.3")
    try:
        yield
    finally:
        if isinstance(before, Version):  # else nobody has chosen one yet
            version.VersionBase.instance().setbase(before)
