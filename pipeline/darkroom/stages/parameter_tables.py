"""Writes the parameter tables of a page from the stages: `python -m darkroom.stages.parameter_tables docs/ops.md`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from darkroom.stages import STAGES, Stage

_TABLE = re.compile(r"(<!-- parameters of (\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)
_WORDS = {"string": "text", "integer": "whole number", "boolean": "true or false", "null": "null"}


def render(page: str) -> str:
    """The page with every `<!-- parameters of OP --> ... <!-- end -->` filled in again.

    Raises:
        ValueError: an op has no such place, or a place names no op.
    """
    described = [match[2] for match in _TABLE.finditer(page)]
    if sorted(described) != sorted(STAGES):
        raise ValueError(f"docs/ops.md describes {described}, but the ops are {list(STAGES)}")
    return _TABLE.sub(lambda match: match[1] + table(STAGES[match[2]]), page)


def table(stage: type[Stage]) -> str:
    """The parameters of a stage as a Markdown table: its own as the class declares them, then those of its base."""
    schema = TypeAdapter(stage).json_schema()
    required = schema.get("required", ())
    # In the order of the class; the schema sorts them.
    names = sorted(stage.__pydantic_fields__, key=lambda name: name not in stage.__annotations__)
    rows = [_row(name, schema["properties"][name], name in required) for name in names]
    if not rows:
        return "No parameters.\n"
    return "\n".join(["| parameter | value | default | meaning |", "|---|---|---|---|", *rows]) + "\n"


def _row(name: str, schema: dict[str, Any], required: bool) -> str:
    default = "required" if required else f"`{json.dumps(schema['default'])}`"
    return f"| `{name}` | {_value(schema)} | {default} | {schema['description']} |"


def _value(schema: dict[str, Any]) -> str:
    """A JSON schema in words, such as `number, 0 to 1`."""
    if "anyOf" in schema:
        return ", or ".join(map(_value, schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    word = str(_WORDS.get(schema["type"], schema["type"]))
    low = f"above {schema['exclusiveMinimum']}" if "exclusiveMinimum" in schema else schema.get("minimum")
    if low is None:
        return word
    return f"{word}, {low} to {schema['maximum']}" if "maximum" in schema else f"{word}, {low} or more"


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        page.write_text(render(page.read_text(encoding="utf-8")), encoding="utf-8")
