"""Recipe files: finds them, reads them as plain data, and adds what they inherit and the defaults they leave out.

A recipe may come from a stranger. It is plain data: no YAML tags, anchors or duplicate keys, no `_target_`, no Hydra
keys, no interpolation but `${item.COLUMN}`. `read` returns a plain mapping with every parameter of every stage;
`recipe.py` checks the values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path, PurePath
from typing import Any

from darkroom.config.photo_lists import confine_photo_lists
from darkroom.config.prompts_file import confine_prompt_files
from darkroom.config.recipe_form import KEYS, MAX_NAME_BYTES, NAME_FORM, find_malformed, find_unknown_keys, is_name
from darkroom.config.recipe_paths import home, is_file, label, make_paths_absolute, read_text
from darkroom.config.recipe_yaml import load
from darkroom.config.shipped_recipes import available
from darkroom.config.stage_defaults import with_defaults
from darkroom.config.stage_order import move_stages, take_places
from darkroom.config.wildcards import confine_wildcards
from darkroom.errors import RecipeError, suggest
from darkroom.resources import RECIPES, ROOT

_MAX_BASES = 10
_NO_BASE = "needs a `base:`; without one, stages run in the order in which they are written"


def find(name: str, beside: Path | None = None) -> Path | None:
    """The file of a recipe, given by its name in `recipes/` or by a path; None if there is none.

    Args:
        name: name or path; `.yaml` may be left out.
        beside: the folder where relative paths start; by default the current one.
    """
    path, start = home(name), beside or Path.cwd()
    candidates = [RECIPES / f"{name}.yaml", start / path, start / f"{name}.yaml"]
    if path.is_absolute():
        candidates = [path, Path(f"{path}.yaml")]
    return next((candidate.resolve() for candidate in candidates if is_file(candidate)), None)


def read(path: Path) -> dict[str, Any]:
    """Read a recipe file with everything it inherits. Every parameter is present; paths are absolute.

    Relative paths start at the recipe's folder; in the shipped recipes, at the project's folder.

    Raises:
        RecipeError: it is not YAML or not plain data, its base is unknown, or its bases form a cycle.
    """
    return _complete(_inherit(path, ()), label(path), path.stem)


def read_mapping(given: Mapping[str, Any]) -> dict[str, Any]:
    """Read a recipe that a program gives as a mapping; see `read`. Relative paths start at the current folder.

    Raises:
        RecipeError: as in `read`; error lines call the recipe `recipe`.
    """
    config = _checked(_as_read(given), "recipe")
    return _complete(_over_base(config, "recipe", Path.cwd(), ()), "recipe", "recipe")


def _complete(config: dict[str, Any], source: str, name: str) -> dict[str, Any]:
    """The recipe with a name, and with the defaults of its stages."""
    config.pop("base", None)
    if config.get("name") is None:
        config["name"] = re.sub(r"[^\w-]+", "_", name)[:80].encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    if not is_name(str(config["name"])):  # checked here: it becomes part of the run folder's name
        raise RecipeError(f"{source}: name: {NAME_FORM}")
    if problems := list(find_malformed(config)):  # well-formed recipes can merge into a malformed one
        raise RecipeError([f"{source}: {key}: {text}" for key, text in problems])
    if isinstance(config.get("stages"), Mapping):
        config["stages"] = {name: with_defaults(name, given) for name, given in config["stages"].items()}
    return config


def _inherit(path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    """The recipe merged over its bases.

    Args:
        path: its file.
        children: the recipes that inherit from it, beginning with the one that the user named.
    """
    if path in children:
        circle = " -> ".join(label(file) for file in (*children, path))
        raise RecipeError(f"{label(children[0])}: base: these recipes inherit from each other: {circle}")
    if len(children) > _MAX_BASES:
        raise RecipeError(f"{label(children[0])}: base: more than {_MAX_BASES} levels of inheritance")
    start = ROOT if path.is_relative_to(RECIPES) else path.parent
    return _over_base(_load(path), label(path), start, (*children, path))


def _over_base(config: dict[str, Any], source: str, start: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    """A recipe as written, merged over its bases.

    Args:
        config: the recipe.
        source: names it in error lines.
        start: the folder where its relative paths start.
        children: the recipes that inherit from it, beginning with the one that the user named, then itself if it is a
            file.
    """
    places = take_places(config, source)
    if places and "base" not in config:
        raise RecipeError([f"{source}: stages.{name}.{place.side}: {_NO_BASE}" for name, place in places.items()])
    beside = children[-1].parent if children else start
    base = _inherit(_base_of(config, source, beside), children) if "base" in config else {}
    inherited = base.get("stages")
    inherited = inherited if isinstance(inherited, Mapping) else {}
    confine_prompt_files(config, inherited, start, source)
    confine_photo_lists(config, start, source)
    confine_wildcards(config, start, source)
    make_paths_absolute(config, start, inherited)
    return move_stages(_merge(base, config), places, source)


def _base_of(config: Mapping[str, Any], source: str, beside: Path) -> Path:
    """The file of the recipe that a recipe names as its base."""
    base = find(str(config["base"]), beside)
    if base is None:
        names = [name for name, _ in available()]
        raise RecipeError(f"{source}: base: no recipe '{config['base']}', {suggest(str(config['base']), names)}")
    return base


def _merge(base: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """The base with the child's values, key by key; a stage whose op the child changes takes nothing from the base."""
    merged = dict(base)
    for key, value in child.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and value.get("op") in (None, old.get("op", key)):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _load(path: Path) -> dict[str, Any]:
    config, problem = load(read_text(path))
    if problem:
        raise RecipeError(f"{label(path)}: {problem}")
    return _checked(deepcopy(config), label(path))


def _checked(config: Any, source: str) -> dict[str, Any]:
    """The recipe, if it is plain data of the right form."""
    if not isinstance(config, dict):
        raise RecipeError(f"{source}: a recipe is a mapping with the keys {', '.join(KEYS)}")
    if problems := [*find_malformed(config), *find_unknown_keys(config)]:
        raise RecipeError([f"{source}: {key}: {text}" for key, text in problems])
    return config


def _as_read(value: Any) -> Any:
    """A program's values as YAML would give them: mappings as dicts, tuples as lists, paths as text."""
    if isinstance(value, Mapping):
        return {key: _as_read(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_read(inner) for inner in value]
    return str(value) if isinstance(value, PurePath) else value
