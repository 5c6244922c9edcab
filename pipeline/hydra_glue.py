"""Everything that knows Hydra, besides `run.py`'s decorator: recipes as a config group, its snapshot, its errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline import recipe_file
from pipeline.errors import RecipeError, nearest

GROUP = "recipe"


class RecipeSource(ConfigSource):
    """Serves `recipe=NAME` and `recipe=PATH` to Hydra as plain data that `recipe_file` has read and checked."""

    @staticmethod
    def scheme() -> str:
        return "recipes"

    def load_config(self, config_path: str) -> ConfigResult:
        path = _file(config_path)
        if path is None:
            raise RecipeError(_not_found(_name(config_path)))
        config = OmegaConf.create(recipe_file.read(path))
        return ConfigResult(self.provider, f"recipes://{path}", config, header={"package": "_global_"})

    def is_config(self, config_path: str) -> bool:
        return _file(config_path) is not None

    def is_group(self, config_path: str) -> bool:
        return config_path in ("", GROUP)

    def available(self) -> bool:
        return True

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if config_path == "":
            return [] if results_filter == ObjectType.CONFIG else [GROUP]
        if config_path == GROUP and results_filter != ObjectType.GROUP:
            return _names()
        return []


class RecipeSearchPath(SearchPathPlugin):
    """Puts `RecipeSource` behind the project's own `conf/`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("darkroom", "recipes://")


def register() -> None:
    """Teach this process's Hydra about recipes; call once, before `hydra.main` runs."""
    Plugins.instance().register(RecipeSource)
    Plugins.instance().register(RecipeSearchPath)
    OmegaConf.register_new_resolver("darkroom.stamp", _stamp, use_cache=True, replace=True)


@dataclass(frozen=True)
class Composed:
    """What Hydra made of recipe, configuration and command line.

    Attributes:
        config: all keys; interpolations as they were written.
        source: how error lines name the recipe file.
        overridden: dotted keys given on the command line.
        folder: where this run's results go, absolute.
        files: the composed recipe and Hydra's own snapshot, by path within the run folder.
        overrides: the command line's words.
    """

    config: dict[str, Any]
    source: str
    overridden: frozenset[str]
    folder: Path
    files: Mapping[str, str]
    overrides: tuple[str, ...]


def composed(config: DictConfig) -> Composed:
    """Read Hydra's state inside a job.

    Raises:
        RecipeError: no recipe was named.
    """
    hydra = HydraConfig.get()
    choice = hydra.runtime.choices.get(GROUP)
    if choice is None:
        raise RecipeError(f"say which recipe, recipe=NAME, {nearest('', _names())}")
    path = recipe_file.find(choice)
    overrides = tuple(hydra.overrides.task)
    recipe = {key: config[key] for key in recipe_file.KEYS}
    return Composed(
        config=_plain(config),
        source=recipe_file.label(path) if path else choice,
        overridden=frozenset(re.sub(r"^[+~]+", "", word).split("=")[0] for word in overrides),
        folder=output_folder(),
        files={
            "recipe.yaml": OmegaConf.to_yaml(OmegaConf.create(recipe)),
            ".hydra/config.yaml": OmegaConf.to_yaml(config),
            ".hydra/hydra.yaml": OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra})),
            ".hydra/overrides.yaml": OmegaConf.to_yaml(OmegaConf.create(list(overrides))),
        },
        overrides=overrides,
    )


def output_folder() -> Path:
    """The folder that Hydra has made for the job at hand."""
    return Path(HydraConfig.get().runtime.output_dir)


def in_sweep() -> bool:
    """Whether the job at hand is one of a sweep (`-m`)."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


def explain(error: Exception, words: list[str]) -> str | None:
    """One line about an error of Hydra's or OmegaConf's, for people who know neither; None for any other error.

    Args:
        error: what came out of `hydra.main`.
        words: the command line.
    """
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.partition("/")
        if group == GROUP:
            return _not_found(name)
        return f"command line: {group}={name}: {nearest(name, error.options or [])}"
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    text = " ".join(str(error).split("\n")[:2])
    key = re.search(r"Could not override '([^']+)'", str(error))
    if key:
        return f"command line: {key[1]}: unknown key, {nearest(*_siblings(key[1], words))}"
    cause = f": {str(error.__cause__).splitlines()[0]}" if error.__cause__ else ""
    hint = ""
    if "mismatched input" in text or "LexerNoViableAlt" in text or "Ambiguous value" in text:
        hint = "; quote twice what holds commas or special signs: 'stages.inpaint.prompt=\"a car, (red)\"'"
    return f"command line: {text}{cause}{hint}"


def _siblings(key: str, words: list[str]) -> tuple[str, list[str]]:
    """The last part of a dotted key, and the names that would have been valid in its place."""
    recipe = next((word.partition("=")[2] for word in words if word.startswith(f"{GROUP}=")), "")
    path = recipe_file.find(recipe) if recipe else None
    node: Any = dict.fromkeys(("models", "memory", "device", "outputs", *recipe_file.KEYS))
    node |= recipe_file.read(path) if path else {}
    *parents, last = key.split(".")
    for parent in parents:
        inside = node.get(parent)
        if not isinstance(inside, Mapping):
            return parent, list(node)
        node = inside
    return last, list(node)


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return plain


def _name(config_path: str) -> str:
    return config_path.removeprefix(f"{GROUP}/")


def _file(config_path: str) -> Path | None:
    return recipe_file.find(_name(config_path)) if config_path.startswith(f"{GROUP}/") else None


def _not_found(name: str) -> str:
    close = nearest(name, _names())
    rest = "" if close.startswith("valid") else f" (recipes: {', '.join(_names())})"
    return f"recipe '{name}' not found, {close}{rest}; the path of a YAML file will do too"


def _names() -> list[str]:
    return [name for name, _ in recipe_file.available()]


def _stamp() -> str:
    """Local time to the millisecond: names a run folder."""
    return datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")[:-3]
