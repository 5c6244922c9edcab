"""Wildcards: `${wildcard.NAME}` in a text stands for one of several words, which the picture's seed chooses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from darkroom.config.stage_spec import StageSpec
from darkroom.config.text_lists import read_lines, why_outside
from darkroom.errors import RecipeError, suggest
from darkroom.stages.base import Problem
from darkroom.stages.markers import RandomSeed

Words = Mapping[str, tuple[str, ...]]  # by the wildcard's name

WILDCARD = re.compile(r"\$\{wildcard\.(\w+)\}")
MAX_WORDS = 10_000  # of all wildcards of a recipe: its snapshot has them all


def read_wildcard_files(config: Mapping[str, Any]) -> None:
    """Put the lines of every file of words into a composed recipe, so that its snapshot needs no other file.

    Args:
        config: changed in place; the paths of files are absolute.

    Raises:
        RecipeError: with every file that cannot be read, is no such file, or holds no word.
    """
    problems: list[str] = []
    for name, path in _files_in(config):
        try:
            config["wildcards"][name] = list(read_lines(Path(path), "word").values())
        except RecipeError as error:
            problems += [f"wildcards.{name}: {text}" for text in error.problems]
    if problems:
        raise RecipeError(problems)


def confine_wildcards(config: Mapping[str, Any], start: Path, source: str) -> None:
    """Refuse files of words that a recipe names outside its own folder, or behind a link (`why_outside`).

    Args:
        config: the recipe, as written.
        start: its folder.
        source: names the recipe in error lines.

    Raises:
        RecipeError: with every such file.
    """
    found = [(name, why_outside(path, start)) for name, path in _files_in(config)]
    if problems := [f"{source}: wildcards.{name}: {why}" for name, why in found if why]:
        raise RecipeError(problems)


def parse_wildcards(given: Any) -> tuple[Words, list[Problem]]:
    """The words of every wildcard, and what is wrong.

    Args:
        given: `wildcards` of a composed recipe.
    """
    if not isinstance(given, Mapping):
        return {}, []  # reported by `find_malformed`
    words: dict[str, tuple[str, ...]] = {}
    problems: list[Problem] = []
    for name, values in given.items():
        if not re.fullmatch(r"\w+", str(name)):
            problems.append((f"wildcards.{name}", "a wildcard's name is letters, digits and _"))
        if why := _why_no_words(values):
            problems.append((f"wildcards.{name}", why))
        else:
            words[str(name)] = tuple(str(value) for value in values)
    if sum(map(len, words.values())) > MAX_WORDS:
        problems.append(("wildcards", f"more than {MAX_WORDS} words in all"))
    return words, problems


def wildcard_problems(spec: StageSpec, words: Words) -> Iterator[Problem]:
    """References of a stage to wildcards that do not exist, or that its op cannot use."""
    for key, value in spec.parameters.items():
        names = list(dict.fromkeys(WILDCARD.findall(str(value))))
        if names and not spec.kind.fields_with(RandomSeed):
            yield spec.place(key), f"${{wildcard.{names[0]}}}: the op `{spec.op}` has no seed, which chooses the word"
            continue
        for name in names:
            if name not in words:
                advice = suggest(name, list(words)) if words else "the recipe has no `wildcards:`"
                yield spec.place(key), f"no wildcard '{name}', {advice}"


def _files_in(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    given = config.get("wildcards")
    return [(name, path) for name, path in given.items() if isinstance(path, str)] if isinstance(given, dict) else []


def _why_no_words(values: Any) -> str | None:
    if not isinstance(values, list | tuple) or not values:
        return f"should be a list of words, or the path of a .txt file with one word a line; got {values!r:.60}"
    for value in values:
        if not isinstance(value, str | int | float) or isinstance(value, bool) or str(value).strip() == "":
            return f"should be a list of words; got {value!r:.60} in it"
        if "${" in str(value):
            return f"{value:.60}: a word cannot hold ${{...}}"
    return None
