"""Recipe files: finds them, reads them as plain data, and adds what they inherit and the defaults they leave out.

A recipe comes from strangers. It is data: no YAML tags, anchors or duplicate keys, no `_target_`, no Hydra keys, no
interpolation but `${item.COLUMN}`. `read` returns a plain mapping with every parameter of every stage; `recipe.py`
checks the values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from darkroom.config.prompts_file import confine_prompt_files
from darkroom.config.recipe_form import KEYS, MAX_NAME_BYTES, NAME_FORM, find_malformed, find_unknown_keys, is_name
from darkroom.config.recipe_paths import home, is_file, label, make_paths_absolute, read_text
from darkroom.config.recipe_yaml import load
from darkroom.config.stage_defaults import with_defaults
from darkroom.config.stage_order import move_stages, take_places
from darkroom.errors import RecipeError, suggest
from darkroom.resources import RECIPES, ROOT

_MAX_BASES = 10
_NO_BASE = "goes with a `base:`; without one, stages run in the order in which they are written"


def available() -> list[tuple[str, str]]:
    """(name, first comment line) of every recipe in `recipes/`, by name."""
    found = sorted(RECIPES.rglob("*.yaml"))
    return [(path.relative_to(RECIPES).with_suffix("").as_posix(), _first_comment(path)) for path in found]


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

    Relative paths in a recipe start at its own folder; those in `recipes/` at the project's.

    Raises:
        RecipeError: it is not YAML or not plain data, its base is unknown, or its bases form a circle.
    """
    config = _inherit(path, ())
    config.pop("base", None)
    if config.get("name") is None:
        stem = re.sub(r"[^\w-]+", "_", path.stem)[:80]
        config["name"] = stem.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    if not is_name(str(config["name"])):  # here, since Hydra makes the run folder before the recipe is checked
        raise RecipeError(f"{label(path)}: name: {NAME_FORM}")
    if problems := list(find_malformed(config)):  # a recipe and its bases may be well-formed, but not their merger
        raise RecipeError([f"{label(path)}: {key}: {text}" for key, text in problems])
    if isinstance(config.get("stages"), Mapping):
        config["stages"] = {name: with_defaults(name, given) for name, given in config["stages"].items()}
    return config


def _inherit(path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    """The recipe merged over its bases.

    Args:
        path: its file.
        children: the recipes that inherit from it, the youngest first.
    """
    if path in children:
        circle = " -> ".join(label(file) for file in (*children, path))
        raise RecipeError(f"{label(children[0])}: base: these recipes inherit from each other: {circle}")
    if len(children) > _MAX_BASES:
        raise RecipeError(f"{label(children[0])}: base: more than {_MAX_BASES} recipes stand behind this one")
    config, source = _load(path), label(path)
    places = take_places(config, source)
    if places and "base" not in config:
        raise RecipeError([f"{source}: stages.{name}.{place.side}: {_NO_BASE}" for name, place in places.items()])
    base = _inherit(_base_of(path, config), (*children, path)) if "base" in config else {}
    inherited = base.get("stages")
    inherited = inherited if isinstance(inherited, Mapping) else {}
    start = ROOT if path.is_relative_to(RECIPES) else path.parent
    confine_prompt_files(config, inherited, start, source)
    make_paths_absolute(config, start, inherited)
    return move_stages(_merge(base, config), places, source)


def _base_of(path: Path, config: Mapping[str, Any]) -> Path:
    """The file of the recipe that a recipe names as its base."""
    base = find(str(config["base"]), beside=path.parent)
    if base is None:
        names = [name for name, _ in available()]
        raise RecipeError(f"{label(path)}: base: no recipe '{config['base']}', {suggest(str(config['base']), names)}")
    return base


def _merge(base: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """Child over base, key by key; a stage whose op changes is the child's alone."""
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
    if not isinstance(config, dict):
        raise RecipeError(f"{label(path)}: a recipe is a mapping with the keys {', '.join(KEYS)}")
    if problems := [*find_malformed(config), *find_unknown_keys(config)]:
        raise RecipeError([f"{label(path)}: {key}: {text}" for key, text in problems])
    return deepcopy(config)


def _first_comment(path: Path) -> str:
    first = read_text(path).partition("\n")[0]
    return first.lstrip("#").strip() if first.startswith("#") else ""
