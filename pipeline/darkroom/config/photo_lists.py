"""Text files with names of photos, for `dataset.only` and `dataset.exclude`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from darkroom.config.recipe_paths import is_file, is_photo_list, label, read_text
from darkroom.config.text_lists import why_outside
from darkroom.dataset.selection import exactly
from darkroom.errors import RecipeError

_KEYS = ("only", "exclude")


def read_photo_lists(config: Mapping[str, Any]) -> None:
    """Put the names in lists of photos into a composed recipe, so that its snapshot needs no other file.

    A list, NAME.txt, is UTF-8 text with one name per line, as in the journal; blank lines are left out.

    Args:
        config: changed in place; the paths of lists are absolute.

    Raises:
        RecipeError: with every list that cannot be read or is empty.
    """
    problems: list[str] = []
    for key, entries in _given(config):
        found: list[Any] = []
        for entry in entries:
            try:
                found += _names(Path(entry)) if is_photo_list(entry) else [entry]
            except RecipeError as error:
                problems += [f"dataset.{key}: {text}" for text in error.problems]
        config["dataset"][key] = found
    if problems:
        raise RecipeError(problems)


def confine_photo_lists(config: Mapping[str, Any], start: Path, source: str) -> None:
    """Refuse lists that a recipe names outside its own folder, or behind a link: a run's record repeats their lines.

    Args:
        config: the recipe, as written.
        start: its folder.
        source: names the recipe in error lines.

    Raises:
        RecipeError: with every such file.
    """
    problems = []
    for key, entries in _given(config):
        for path in filter(is_photo_list, entries):
            if why := why_outside(path, start):
                problems.append(f"{source}: dataset.{key}: {why}")
    if problems:
        raise RecipeError(problems)


def _given(config: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    dataset = config.get("dataset")
    if isinstance(dataset, dict):
        given = {key: dataset[key] for key in _KEYS if dataset.get(key) is not None}
        yield from ((key, value if isinstance(value, list) else [value]) for key, value in given.items())


def _names(path: Path) -> list[str]:
    if not is_file(path):
        raise RecipeError(f"{label(path)}: no such file")
    names = [exactly(line) for line in re.split(r"\r\n?|\n", read_text(path)) if line.strip()]
    if not names:
        raise RecipeError(f"{label(path)}: holds no name; write one per line, as in the journal")
    return names
