"""The ops as forms: kinds, limits, defaults and help of their parameters, from the same types as the tables in docs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from darkroom.config.stage_defaults import MISSING, with_defaults
from darkroom.stages import STAGES, Stage
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
    step = {"step": 1} if kind == "integer" else {"step": _step(limits)} if kind == "number" else {}
    return {
        "kind": kind,
        "nullable": False,
        **{name: limit for name, limit in limits.items() if limit is not None},
        **step,
    }


def _step(limits: Mapping[str, float | None]) -> float:
    """A step of about a hundredth of the range, a power of ten."""
    low, high = limits["minimum"], limits["maximum"]
    if low is None or high is None:
        return 0.1
    return next(step for step in (0.001, 0.01, 0.1, 1, 10, 100, 1e9) if high - low <= 200 * step)
