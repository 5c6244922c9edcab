"""Text files of lines that a recipe names: prompts, words of wildcards, names of photos."""

from __future__ import annotations

import re
from pathlib import Path

from darkroom.config.recipe_paths import home, is_file, label, read_text
from darkroom.errors import RecipeError
from darkroom.system.files import Folder


def read_lines(path: Path, what: str) -> dict[int, str]:
    """The lines of a UTF-8 text file by number, from 1, stripped; without blank lines and those that begin with #.

    Args:
        path: the file, NAME.txt.
        what: of which each line holds one, such as `prompt`, for error lines.

    Raises:
        RecipeError: it is no such file, cannot be read or holds no line.
    """
    if path.suffix.lower() != ".txt":
        raise RecipeError(f"{label(path)}: the name of a file of {what}s must end in .txt")
    if not is_file(path):
        raise RecipeError(f"{label(path)}: no such file")
    lines = [line.strip() for line in re.split(r"\r\n?|\n", read_text(path))]
    kept = {number: line for number, line in enumerate(lines, 1) if line and not line.startswith("#")}
    if not kept:
        raise RecipeError(f"{label(path)}: holds no {what}; write one per line")
    return kept


def why_outside(path: str, start: Path) -> str | None:
    """Why a recipe may not name a file: it lies outside the recipe's folder, or behind a link. None if it may.

    Lines of text files end up in the records and pictures of a run: a recipe from a stranger must not copy private
    texts into them.

    Args:
        path: as written in the recipe.
        start: the recipe's folder.
    """
    try:
        Folder(start).open(home(path).as_posix()).close()
    except FileNotFoundError:
        return None  # reported when it is read, from the same place
    except OSError as error:
        return f"{path}: {error.strerror}; a recipe may name one in its own folder; give any other on the command line"
    return None
