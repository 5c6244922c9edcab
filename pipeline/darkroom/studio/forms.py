"""The ops as forms: kinds, limits, defaults and help of their parameters, from the same types as the tables in docs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from darkroom.config.stage_defaults import MISSING, with_defaults
from darkroom.stages import STAGES, Stage
from darkroom.studio.brush import is_brush
from darkroom.studio.clicks import click_parameters
from darkroom.studio.recipe_text import summary_of

_SIMPLE = {"number": "number", "integer": "integer", "boolean": "flag", "string": "text"}
_BY_TYPE = {  # the words that `stages/fields.py` gives to the schema of a parameter
    "text or list of texts": "texts",
    "whole number or list of them": "seeds",
    "colour": "text",
    "colour or list of colours": "colours",
}


@cache
def forms() -> dict[str, dict[str, Any]]:
    """Every op as plain data; see `docs/studio.md` of the repository for the keys."""
    return {op: _form(op, kind) for op, kind in STAGES.items()}


def _form(op: str, kind: type[Stage]) -> dict[str, Any]:
    schema = TypeAdapter(kind).json_schema()
    clicks = click_parameters(op)
    defaults = with_defaults(op, {"op": op})
    names = sorted(kind.__pydantic_fields__, key=lambda name: name not in kind.__annotations__)
    return {
        "summary": summary_of(op),
        "help": inspect.getdoc(kind) or "",
        "kind": "repaint" if kind.repaints else "gate" if kind.is_gate else "frame" if kind.frames else "mask",
        "needs_mask": kind.needs_mask,
        "clicks": bool(clicks),
        "brush": is_brush({"op": op}),
        "parameters": [
            {"name": name, "help": schema["properties"][name]["description"]}
            | _value(schema["properties"][name])
            | ({"kind": "clicks"} if name in clicks else {})
            | {"required": defaults[name] == MISSING, "default": None if defaults[name] == MISSING else defaults[name]}
            for name in names
        ],
    }


def _value(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Kind, limits and choices of a parameter."""
    if "anyOf" in schema:
        others = [each for each in schema["anyOf"] if each.get("type") != "null"]
        nullable = len(others) < len(schema["anyOf"])
        return {**(_value(others[0]) if len(others) == 1 else {"kind": "other"}), "nullable": nullable}
    if "enum" in schema:
        return {"kind": "choice", "choices": schema["enum"], "nullable": False}
    word = str(schema.get("type", "other"))
    kind = _SIMPLE.get(word) or _BY_TYPE.get(word, "other")
    limits = {name: schema.get(name, schema.get(f"exclusive{name.capitalize()}")) for name in ("minimum", "maximum")}
    known = {name: limit for name, limit in limits.items() if limit is not None}
    slider = _slider(schema.get("default"), **known, whole=kind == "integer") if len(known) == 2 else {}
    return {"kind": kind, "nullable": False, **known, **slider}


def _slider(default: float | None, minimum: float, maximum: float, whole: bool) -> dict[str, Any]:
    """The range of a slider and its step: of a very long range only the part where values are of use."""
    if maximum > 1e6:  # a seed
        return {}
    low, high = minimum, maximum
    if default and minimum >= 0 and maximum > 8 * default:
        high = max(4 * default, 10 if whole else 0)
    elif minimum <= 0 and maximum - minimum > 400:
        low, high = max(minimum, -50), min(maximum, 50)
    steps = (1, 10, 100) if whole else (0.001, 0.01, 0.1, 0.5, 1, 10)
    return {"slider": [low, high], "step": next((step for step in steps if high - low <= 400 * step), steps[-1])}
