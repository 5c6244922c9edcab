"""The recipes that are shipped. `--help` lists them, so this module imports nothing that takes time."""

from __future__ import annotations

from darkroom.resources import RECIPES


def available() -> list[tuple[str, str]]:
    """(name, first comment line) of every recipe in `recipes/`, by name."""
    found = sorted(RECIPES.rglob("*.yaml"))
    texts = ((path, path.read_text(encoding="utf-8").partition("\n")[0]) for path in found)
    comments = ((path, first.lstrip("#").strip() if first.startswith("#") else "") for path, first in texts)
    return [(path.relative_to(RECIPES).with_suffix("").as_posix(), comment) for path, comment in comments]
