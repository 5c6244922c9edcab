"""Composes a recipe, the configuration in `conf/` and the overrides of a command line, with Hydra.

Hydra is used for its override grammar, config groups and shell completion; only this module and `override_errors` know
it. It reads recipes through `recipe_file`, so that a recipe stays plain data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from packaging.version import Version

from darkroom.config import (
    photo_lists,
    prompts_file,
    recipe_file,
    recipe_form,
    recipe_paths,
    recipe_yaml,
    seeds,
    speed,
    stage_defaults,
    stage_order,
    wildcards,
)
from darkroom.config.override_errors import GROUP, explain, recipe_names, several_values, unknown_recipe
from darkroom.errors import RecipeError
from darkroom.resources import CONF
from darkroom.system.interrupts import raise_if_interrupted

MAX_JOBS = 10_000  # of a sweep

Recipe = Path | Mapping[str, Any]

# Mappings with any keys. Hydra adds a key only after `++`; what is given is merged with what is there.
_OPEN = re.compile(r"(models\.(loras|controls)|stages\.[^.=]+\.(lora|control\w*))(\.[^=]+)?=")
_GIVEN = "(given)"  # the name, for Hydra, of a recipe that a program gives
_given: ContextVar[Recipe | None] = ContextVar("given", default=None)  # Hydra itself passes on names only


class RecipeSource(ConfigSource):
    """Serves `recipe=NAME` and `recipe=PATH` to Hydra as plain data that `recipe_file` has read and checked."""

    @staticmethod
    def scheme() -> str:
        return "recipes"

    def load_config(self, config_path: str) -> ConfigResult:
        config = OmegaConf.create(_read(config_path.removeprefix(f"{GROUP}/")))
        return ConfigResult(self.provider, f"recipes://{config_path}", config, header={"package": "_global_"})

    def is_config(self, config_path: str) -> bool:
        group, _, name = config_path.partition("/")
        return group == GROUP and (_is_given(name) or recipe_file.find(name) is not None)

    def is_group(self, config_path: str) -> bool:
        return config_path in ("", GROUP)

    def available(self) -> bool:
        return True

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if config_path == "":
            return [] if results_filter == ObjectType.CONFIG else [GROUP]
        if config_path == GROUP and results_filter != ObjectType.GROUP:
            return recipe_names()
        return []


class RecipeSearchPath(SearchPathPlugin):
    """Adds `RecipeSource` to Hydra's search path, after Darkroom's own `conf/`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("darkroom", "recipes://")


@dataclass(frozen=True)
class Composed:
    """One job's configuration.

    Attributes:
        config: all keys; paths absolute, `${item.COLUMN}` as it was written.
        source: the recipe file, as error lines name it.
        file: the recipe file; None for a recipe that a program gives.
        overridden: the dotted keys that the overrides give.
        overrides: the overrides, each with one value.
        speed: the preset whose own LoRA is used; None without one.
    """

    config: dict[str, Any]
    source: str
    file: Path | None
    overridden: frozenset[str]
    overrides: tuple[str, ...]
    speed: str | None
    _hydra: DictConfig

    def files(self, folder: Path) -> dict[str, str]:
        """The composed recipe and Hydra's snapshot, for a run in this folder: texts by path within it."""
        own = {key: self.config[key] for key in recipe_form.KEYS if key in self.config}
        self._hydra.runtime.output_dir = self._hydra.run.dir = str(folder)
        return {
            "recipe.yaml": recipe_yaml.dump(own),
            ".hydra/config.yaml": recipe_yaml.dump(self.config),
            ".hydra/hydra.yaml": OmegaConf.to_yaml(OmegaConf.create({"hydra": self._hydra})),
            ".hydra/overrides.yaml": recipe_yaml.dump(list(self.overrides)),
        }


def compose(overrides: Sequence[str]) -> Composed:
    """The configuration of one job. Relative paths in overrides start at the current folder.

    Args:
        overrides: `KEY=VALUE` in Hydra's grammar, one value each, among them `recipe=NAME`.

    Raises:
        RecipeError: with every problem that composing finds, such as an unknown key or a recipe that is not there.
    """
    speed.check_words(overrides)
    try:
        with _version_base():
            composed = _loader().load_configuration("config", _words(overrides), RunMode.RUN, from_shell=False)
    except Exception as error:
        raise_if_interrupted()
        raise explain(error, overrides, _read) from error
    hydra = composed.hydra
    config: Any = OmegaConf.to_container(
        OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    )
    choice = hydra.runtime.choices.get(GROUP)
    if choice in (None, "null"):
        raise RecipeError(unknown_recipe(None))
    overridden = frozenset(re.sub(r"^[+~]+", "", word).partition("=")[0] for word in overrides)
    overridden |= _renew_stages(config.get("stages"), _read(choice).get("stages"), overridden)
    recipe = _recipe(choice)
    file = recipe if isinstance(recipe, Path) else None
    source = recipe_paths.label(file) if file else "recipe"
    preset, painter = (str(hydra.runtime.choices.get(group)) for group in (speed.GROUP, "models"))
    used = speed.apply_speed(config, preset, source, overridden | _inner_keys(overrides), painter)
    config = stage_order.place_stages(config, "command line")
    recipe_paths.make_paths_absolute(config, Path.cwd())
    prompts_file.read_prompt_files(config)
    photo_lists.read_photo_lists(config)
    wildcards.read_wildcard_files(config)
    seeds.draw_seeds(config)
    return Composed(config, source, file, overridden, tuple(overrides), used, hydra)


def compose_given(recipe: Recipe, overrides: Sequence[str]) -> Composed:
    """`compose` for a recipe that a program gives.

    Args:
        recipe: a recipe file, or a mapping, whose relative paths start at the current folder.
        overrides: see `compose`; they do not name a recipe.
    """
    token = _given.set(recipe)
    try:
        return compose([f'{GROUP}="{_GIVEN}"', *overrides])
    finally:
        _given.reset(token)


def expand(overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """The overrides of every job of a sweep (`-m`): all combinations of the overrides that have several values.

    Raises:
        RecipeError: an override cannot be read, its values cannot be listed, such as those of `interval(0, 1)`, or
            there are no combinations, or more than `MAX_JOBS`.
    """
    parsed = _parsed(overrides)
    _check_count(parsed)
    try:
        (jobs,) = BasicSweeper.split_arguments(list(parsed), max_batch_size=None)
    except Exception as error:
        raise_if_interrupted()
        raise explain(error, overrides, _read) from error
    return [tuple(job) for job in jobs]


def check_single(overrides: Sequence[str]) -> None:
    """Make sure that no override has several values.

    Raises:
        RecipeError: an override has several values, so `-m` is missing; or an override cannot be read.
    """
    if several := [str(override.input_line) for override in _parsed(overrides) if override.is_sweep_override()]:
        raise RecipeError(several_values(several[0]))


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


@cache
def _loader() -> ConfigLoaderImpl:
    """Hydra without its global state, so that it can be used in threads and beside another Hydra program."""
    for plugin in (RecipeSource, RecipeSearchPath):
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


def _parsed(overrides: Sequence[str]) -> tuple[Override, ...]:
    return _parsed_once(tuple(overrides))


@lru_cache(maxsize=1)
def _parsed_once(overrides: tuple[str, ...]) -> tuple[Override, ...]:
    try:
        return tuple(OverridesParser.create(config_loader=_loader()).parse_overrides(list(overrides)))
    except Exception as error:
        raise_if_interrupted()
        raise explain(error, overrides, _read) from error


def _words(overrides: Sequence[str]) -> list[str]:
    """The overrides as Hydra needs them: it cannot replace a mapping by a list, or a list by a mapping, in one step."""
    parsed = _parsed(overrides)
    several = [each for each in parsed if isinstance(each.value(), Mapping | list)]
    choice = next((str(each.value()) for each in parsed if each.key_or_group == GROUP), "")
    written: Any = {}
    if several:
        with suppress(RecipeError):  # Hydra will report it
            written = _read(choice)
    words = []
    for word, each in zip(overrides, parsed, strict=True):
        words += [f"{key}=null" for key in _replaced(each.value(), written, each.key_or_group)]
        words.append(f"++{word}" if _OPEN.match(word) else word)
    return words


def _replaced(value: Any, written: Any, key: str) -> Iterator[str]:
    """The keys within this one at which a list takes the place of a recipe's mapping, or a mapping that of a list."""
    for part in key.split("."):
        written = written.get(part) if isinstance(written, Mapping) else None
    if isinstance(value, Mapping) and isinstance(written, Mapping):
        for inner, part in value.items():
            if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", str(inner)):  # can be a part of a dotted key
                yield from (f"{key}.{found}" for found in _replaced(part, written, str(inner)))
    elif {type(value), type(written)} == {dict, list}:
        yield key


def _inner_keys(overrides: Sequence[str]) -> frozenset[str]:
    """The dotted keys of stages' parameters that overrides give within a mapping, as in `stages.car={steps: 4}`."""
    values = {str(each.key_or_group): each.value() for each in _parsed(overrides)}
    mappings = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    return frozenset(f"{key}.{inner}" for key, value in mappings.items() for inner in value)


def _check_count(overrides: Sequence[Override]) -> None:
    """Raise `RecipeError` for a sweep of no jobs or too many; ranges are counted, not listed."""
    jobs = 1
    for override in overrides:
        value = override.value() if override.is_discrete_sweep() else None
        if isinstance(value, RangeSweep):
            start, stop, step = value.start or 0, value.stop or 0, value.step or 1
            jobs *= math.ceil(min(max((stop - start) / step, 0), MAX_JOBS + 1))
        elif value is not None:
            jobs *= len(list(override.sweep_iterator()))
        if jobs == 0:
            raise RecipeError(f"command line: {override.input_line}: no values, so there is nothing to run")
        if jobs > MAX_JOBS:
            raise RecipeError(f"command line: {override.input_line}: a sweep has {MAX_JOBS:,} runs at most")


def _is_given(name: str) -> bool:
    return name == _GIVEN and _given.get() is not None


def _recipe(name: str) -> Recipe:
    """The recipe of this name or path. Raises `RecipeError` if there is none."""
    recipe = _given.get() if _is_given(name) else recipe_file.find(name)
    if recipe is None:
        raise RecipeError(unknown_recipe(name))
    return recipe


def _read(name: str) -> dict[str, Any]:
    recipe = _recipe(name)
    return recipe_file.read(recipe) if isinstance(recipe, Path) else recipe_file.read_mapping(recipe)


def _renew_stages(stages: Any, written: Any, overridden: frozenset[str]) -> frozenset[str]:
    """Replace the parameters of each stage whose op an override changes by the new op's defaults, as `base:` does.

    Returns:
        the dotted keys of these stages.
    """
    if not isinstance(stages, dict) or not isinstance(written, Mapping):
        return frozenset()
    renewed = set()
    for name, stage in stages.items():
        old, where = written.get(name), f"stages.{name}"
        if isinstance(stage, Mapping) and isinstance(old, Mapping) and stage.get("op") != old.get("op"):
            new = {key: value for key, value in stage.items() if _is_new(key, value, old, where, overridden)}
            stages[name] = stage_defaults.with_defaults(name, new)
            renewed.add(where)
    return frozenset(renewed)


def _is_new(key: str, value: Any, old: Mapping[str, Any], stage: str, overridden: frozenset[str]) -> bool:
    return key not in old or value != old[key] or f"{stage}.{key}" in overridden
