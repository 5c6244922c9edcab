"""Recipe files: finds them, reads them as plain data, and adds what they inherit and the defaults they leave out.

A recipe may come from a stranger. It is plain data: no YAML tags, anchors or duplicate keys, no `_target_`, no Hydra
keys, no interpolation but `${item.COLUMN}`. `read` returns a plain mapping with every parameter of every stage;
`recipe.py` checks the values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path, PurePath
from typing import Any

from darkroom.config.photo_lists import confine_photo_lists
from darkroom.config.prompts_file import confine_prompt_files
from darkroom.config.recipe_form import (
    KEYS,
    MAX_NAME_BYTES,
    NAME_FORM,
    as_meant,
    find_malformed,
    find_unknown_keys,
    is_name,
)
from darkroom.config.recipe_paths import home, is_file, label, make_paths_absolute, read_text
from darkroom.config.recipe_yaml import load
from darkroom.config.shipped_recipes import available
from darkroom.config.stage_defaults import with_defaults
from darkroom.config.stage_order import Place, move_stages, take_places
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


class WrongRecipe(RecipeError):
    """A recipe whose form is wrong.

    Args:
        problems: one line for each.
        rest: what can be checked further: the recipe with its bases and the defaults of its stages.
        source: names the recipe in error lines.
    """

    def __init__(self, problems: Sequence[str], rest: Mapping[str, Any], source: str) -> None:
        super().__init__(problems)
        self.rest, self.source = rest, source


def read(path: Path) -> dict[str, Any]:
    """Read a recipe file with everything it inherits. Every parameter is present; paths are absolute.

    Relative paths start at the recipe's folder; in the shipped recipes, at the project's folder.

    Raises:
        RecipeError: it is not YAML or not plain data, its base is unknown, or its bases form a cycle.
    """
    reader = _Reader()
    with reader.collecting():
        config = reader.inherit(path, ())
    return reader.completed(config, label(path), path.stem)


def read_mapping(given: Mapping[str, Any]) -> dict[str, Any]:
    """Read a recipe that a program gives as a mapping; see `read`. Relative paths start at the current folder.

    Raises:
        RecipeError: as in `read`; error lines call the recipe `recipe`.
    """
    reader = _Reader()
    with reader.collecting():
        config = reader.over_base(reader.checked(_as_read(given), "recipe"), "recipe", Path.cwd(), ())
    return reader.completed(config, "recipe", "recipe")


class _Reader:
    """Reads one recipe with its bases, and collects what is wrong with the form of all of them."""

    def __init__(self) -> None:
        self._problems: list[str] = []

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """An error within it becomes one with all problems so far."""
        try:
            yield
        except RecipeError as error:
            raise RecipeError([*self._problems, *error.problems]) from None

    def completed(self, config: dict[str, Any], source: str, name: str) -> dict[str, Any]:
        """The recipe with a name, and with the defaults of its stages.

        Args:
            config: the recipe, merged over its bases.
            source: names it in error lines.
            name: its name, if it has no `name`.

        Raises:
            WrongRecipe: with every problem of recipe and bases.
        """
        config.pop("base", None)
        if config.get("name") is None:
            config["name"] = re.sub(r"[^\w-]+", "_", name)[:80].encode()[:MAX_NAME_BYTES].decode(errors="ignore")
        if not self._problems:  # well-formed recipes can merge into a malformed one
            named = is_name(str(config["name"]))  # checked here: it becomes part of the run folder's name
            self._note([*([] if named else [("name", NAME_FORM)]), *find_malformed(config)], source)
        if isinstance(config.get("stages"), Mapping):
            config["stages"] = {name: with_defaults(name, given) for name, given in config["stages"].items()}
        if self._problems:
            raise WrongRecipe(self._problems, config, source)
        return config

    def _note(self, problems: Iterable[tuple[str, str]], source: str) -> None:
        self._problems += [f"{source}: {key}: {text}" for key, text in problems]

    def inherit(self, path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
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
        return self.over_base(self.checked(_load(path), label(path)), label(path), start, (*children, path))

    def over_base(self, config: dict[str, Any], source: str, start: Path, children: tuple[Path, ...]) -> dict[str, Any]:
        """A recipe as written, merged over its bases.

        Args:
            config: the recipe.
            source: names it in error lines.
            start: the folder where its relative paths start.
            children: the recipes that inherit from it, beginning with the one that the user named, then itself if it
                is a file.
        """
        places = self._places(config, source)
        beside = children[-1].parent if children else start
        base = self.inherit(_base_of(config, source, beside), children) if "base" in config else {}
        inherited = base.get("stages")
        inherited = inherited if isinstance(inherited, Mapping) else {}
        confine_prompt_files(config, inherited, start, source)
        confine_photo_lists(config, start, source)
        confine_wildcards(config, start, source)
        make_paths_absolute(config, start, inherited)
        return move_stages(_merge(base, config), places, source)

    def checked(self, config: Any, source: str) -> dict[str, Any]:
        """The recipe, if it is a mapping, as far as it can be checked further."""
        if not isinstance(config, dict):
            raise RecipeError(f"{source}: a recipe is a mapping with the keys {', '.join(KEYS)}")
        before = len(self._problems)
        self._note([*find_malformed(config), *find_unknown_keys(config)], source)
        return config if len(self._problems) == before else as_meant(config)

    def _places(self, config: dict[str, Any], source: str) -> dict[str, Place]:
        """Take out the places of the stages (`take_places`); none if any is wrong."""
        try:
            places = take_places(config, source)
        except RecipeError as error:
            self._problems += error.problems
            return {}
        if places and "base" not in config:
            self._note([(f"stages.{name}.{place.side}", _NO_BASE) for name, place in places.items()], source)
            return {}
        return places


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


def _load(path: Path) -> Any:
    config, problem = load(read_text(path))
    if problem:
        raise RecipeError(f"{label(path)}: {problem}")
    return deepcopy(config)


def _as_read(value: Any) -> Any:
    """A program's values as YAML would give them: mappings as dicts, tuples as lists, paths as text."""
    if isinstance(value, Mapping):
        return {key: _as_read(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_read(inner) for inner in value]
    return str(value) if isinstance(value, PurePath) else value
