"""Serves recipes to Hydra as plain data that `recipe_file` has read and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from darkroom.config import recipe_file
from darkroom.config.override_errors import GROUP, recipe_names, unknown_recipe
from darkroom.errors import RecipeError

Recipe = Path | Mapping[str, Any]

GIVEN = "(given)"
"""The name, for Hydra, of a recipe that a program gives."""

_given: ContextVar[Recipe | None] = ContextVar("given", default=None)  # Hydra itself passes on names only


@contextmanager
def giving(recipe: Recipe) -> Iterator[None]:
    """Within it, `GIVEN` names this recipe."""
    token = _given.set(recipe)
    try:
        yield
    finally:
        _given.reset(token)


def recipe_named(name: str) -> Recipe:
    """The recipe of this name or path. Raises `RecipeError` if there is none."""
    recipe = _given.get() if _is_given(name) else recipe_file.find(name)
    if recipe is None:
        raise RecipeError(unknown_recipe(name))
    return recipe


def read(name: str) -> dict[str, Any]:
    """The content of the recipe of this name or path. Raises `RecipeError`."""
    recipe = recipe_named(name)
    return recipe_file.read(recipe) if isinstance(recipe, Path) else recipe_file.read_mapping(recipe)


def _is_given(name: str) -> bool:
    return name == GIVEN and _given.get() is not None


class RecipeSource(ConfigSource):
    """Serves `recipe=NAME` and `recipe=PATH` to Hydra as plain data that `recipe_file` has read and checked."""

    @staticmethod
    def scheme() -> str:
        return "recipes"

    def load_config(self, config_path: str) -> ConfigResult:
        config = OmegaConf.create(read(config_path.removeprefix(f"{GROUP}/")))
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
