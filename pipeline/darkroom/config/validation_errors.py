"""pydantic's validation errors as lines for users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from darkroom.errors import suggest

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


def explain(error: ValidationError, names: Sequence[str]) -> list[tuple[str, str]]:
    """(key, problem) of each wrong parameter; the alternatives of a union type are joined by "or".

    Args:
        error: of a dataclass.
        names: its fields.
    """
    lines: dict[str, list[str]] = {}
    for details in error.errors(include_url=False):
        key = _key(details)
        lines.setdefault(key, []).append(_explain_one(details, key, names))
    return [(key, " or ".join(dict.fromkeys(texts))) for key, texts in lines.items()]


def wrong_keys(error: ValidationError) -> set[str]:
    """The parameters that are wrong."""
    return {_key(details) for details in error.errors(include_url=False)}


def _key(details: ErrorDetails) -> str:
    return str(details["loc"][0]) if details["loc"] else ""


def _explain_one(details: ErrorDetails, key: str, names: Sequence[str]) -> str:
    if details["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown key, {suggest(key, names)}"
    if details["type"].startswith("missing"):
        return "is required"
    text = details["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return text if details["type"] == "value_error" else f"{text}, got {details['input']!r:.60}"
