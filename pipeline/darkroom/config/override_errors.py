"""Turns the errors of Hydra and OmegaConf into one line that says what to type instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from hydra.errors import MissingConfigException, OverrideParseException

from darkroom.config import recipe_file, settings, speed
from darkroom.config.override_clashes import find_clash, removing
from darkroom.config.recipe import parse
from darkroom.config.shipped_recipes import available
from darkroom.errors import RecipeError, suggest

GROUP = "recipe"

ReadRecipe = Callable[[str], Mapping[str, Any]]

_EXAMPLES = {**dict.fromkeys(settings.GROUPS, "auto"), "engine": "local", speed.GROUP: "none"}
_OWN_KEY = re.compile(r"[+~]*(hydra\b|[^=]*@)")  # Hydra's settings, or a group that is put into them
_NO_HYDRA = "Hydra's own settings cannot be changed; outputs=DIR chooses where run folders go"
_SYNTAX = re.compile("(mis|extra).* input|no viable alternative|NoViableAlt|token recognition|missing .* at")


def check_words(words: Sequence[str]) -> None:
    """Make sure that every word is an override that a user may give.

    Raises:
        RecipeError: a word without a value, or one of Hydra's own settings, which move or rename what a run writes.
    """
    for word in words:
        if _OWN_KEY.match(word):
            raise RecipeError(f"command line: {word}: {_NO_HYDRA}")
        if not word.lstrip("+~").partition("=")[0]:
            raise RecipeError(f"command line: {word}: expected KEY=VALUE, such as {GROUP}=car_on_mars")
        if "=" not in word and not word.startswith("~"):
            raise RecipeError(f"command line: {word}: {_missing_value(word)}")


def explain(error: BaseException, words: Sequence[str], read: ReadRecipe) -> RecipeError:
    """A composition error, in words that need no knowledge of Hydra and OmegaConf.

    Args:
        error: what Hydra raised.
        words: the overrides.
        read: reads a recipe by its name or path, or raises `RecipeError`.
    """
    ours = next((cause for cause in _causes(error) if isinstance(cause, RecipeError)), None)
    if ours is not None:
        return _with_further(ours, words) if isinstance(ours, recipe_file.WrongRecipe) else ours
    if clash := find_clash(error, words, {GROUP: "car_on_mars", **_EXAMPLES}):
        return RecipeError(clash)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return RecipeError(_missing(error.missing_cfg_file, error.options or []))
    key = re.search(r"Could not (?:override|delete from config\.) '([^']+)'", str(error))
    if key:
        return _unknown_key(key[1], words, read)
    null = next((word[:-5] for word in words if word.endswith("=null") and word[:-5] in (GROUP, *_EXAMPLES)), None)
    if null:  # Hydra does not name the group that is missing
        return RecipeError(
            unknown_recipe(None)
            if null == GROUP
            else f"command line: {null}=null: takes a name, such as {_EXAMPLES[null]}"
        )
    recipe = _recipe(words)
    if recipe and recipe_file.find(recipe) is None and not isinstance(error, OverrideParseException):
        return RecipeError(unknown_recipe(recipe))
    text = str(error).split("\nSee https:")[0].splitlines() or [type(error).__name__]
    if isinstance(error, OverrideParseException) and _SYNTAX.search(text[0] + text[-1]):
        return RecipeError(f"command line: {error.override}: cannot be read: {_quoting(error.override)}")
    cause = f": {str(error.__cause__).splitlines()[0]}" if str(error.__cause__ or "") else ""
    return RecipeError(f"command line: {' '.join(text[:2])}{cause}")


def several_values(word: str) -> str:
    """The error line for an override with several values outside a sweep."""
    advice = f"add -m for one run per value, or [ ] around them for a list; {_quoting(word)}"
    return f"command line: {word}: several values: {advice}"


def unknown_recipe(name: str | None) -> str:
    """The error line for a recipe that is not there, or, for None, was not given."""
    names = recipe_names()
    if name is None:
        return f"no recipe given: add recipe=NAME, {suggest('', names)}"
    close = suggest(name, names)
    name = name if len(name) <= 100 else f"{name[:100]}..."
    rest = "" if close.startswith("valid") else f" (recipes: {', '.join(names)})"
    return f"recipe '{name}' not found, {close}{rest}; or give the path of a YAML file"


def recipe_names() -> list[str]:
    """The names of the shipped recipes."""
    return [name for name, _ in available()]


def _missing_value(word: str) -> str:
    """What a word without a value may have meant."""
    if recipe_file.find(word):
        return f"did you mean {GROUP}={word}?"
    close = get_close_matches(word, recipe_names(), n=1)
    return f"did you mean {GROUP}={close[0]}?" if close else f"expected KEY=VALUE, such as {GROUP}=car_on_mars"


def _quoting(word: str) -> str:
    """How to write an override whose value is a text."""
    key, _, value = word.partition("=")
    escaped = "a car, (red)" if value[:1] in ("[", "{", "'", '"') else value.replace('"', r"\"").replace("'", r"'\''")
    return f"quote text with commas or special characters twice: '{key}=\"{escaped}\"'"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _with_further(error: recipe_file.WrongRecipe, words: Sequence[str]) -> RecipeError:
    """The error with the other mistakes of the recipe, except those in what overrides replace."""
    overridden = [re.sub(r"^[+~]+", "", word).partition("=")[0] for word in words]
    try:
        parse(error.rest, error.source, overridden)
    except RecipeError as all_others:
        lines = [line for line in all_others.problems if line.startswith(f"{error.source}: ")]
        return RecipeError([*error.problems, *(line for line in lines if not _is_known(line, error.problems))])
    return error


def _is_known(line: str, known: Sequence[str]) -> bool:
    """Whether another line is about the same key, or about a part of its value."""
    start = ": ".join(line.split(": ")[:2])
    return any(other.startswith((f"{start}:", f"{start}.", f"{start}[")) for other in known)


def _missing(file: str, options: Sequence[str]) -> str:
    if file.startswith(f"{GROUP}/"):
        return unknown_recipe(file.removeprefix(f"{GROUP}/"))
    group, _, name = file.rpartition("/")
    return f"command line: {group}={name}: {suggest(name, options)}"


def _unknown_key(key: str, words: Sequence[str], read: ReadRecipe) -> RecipeError:
    recipe = _recipe(words)
    if not recipe:
        return RecipeError(unknown_recipe(None))
    try:
        stages = read(recipe).get("stages")
    except RecipeError as error:
        return error
    if remover := removing(key, words):
        return RecipeError(f"command line: {key}: {remover} removes it; leave out one of the two")
    part, valid = _siblings(key, stages)
    return RecipeError(f"command line: {key}: unknown key, {_full_keys(key, stages) or suggest(part, valid)}")


def _full_keys(key: str, written: Any) -> str:
    """The end of an error line about a key whose first parts were left out; empty for any other key."""
    stages = {f"stages.{name}": stage for name, stage in written.items()} if isinstance(written, Mapping) else {}
    sections = {name: keys for name, keys in {**stages, **settings.known_keys()}.items() if isinstance(keys, Mapping)}
    full = (f"{section}.{inner}" for section, keys in sections.items() for inner in keys)
    found = [name for name in full if name.endswith(f".{key}")]
    return f"did you mean {' or '.join(found)}?" if found else ""


def _recipe(words: Sequence[str]) -> str:
    """The recipe that the overrides name; empty where they name none."""
    given = [word.partition("=")[2].strip().strip("'\"") for word in words if word.startswith(f"{GROUP}=")]
    return given[-1] if given and given[-1] != "null" else ""


def _siblings(key: str, stages: Any) -> tuple[str, list[str]]:
    """The first part of a dotted key that does not exist, and the names that would have been valid in its place."""
    node: Any = settings.known_keys() | {speed.GROUP: None, "stages": stages}
    *parents, last = key.split(".")
    for parent in parents:
        if not isinstance(node.get(parent), Mapping):
            return parent, list(node)
        node = node[parent]
    return last, list(node)
