"""Parameters that map names to values, such as `{canny: 0.6}`: named weights and their strengths, or named files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from darkroom.stages.fields import is_number
from darkroom.system.frozen import FrozenDict

LARGEST = 2.0  # strength; 1 is what weights were trained for
LARGEST_LORA = 10.0  # weight of a LoRA, also below 0; sliders are trained for both directions

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


def names_in(value: Any) -> tuple[str, ...]:
    """The names in a parameter that maps names to values, or in a list of such mappings; none in anything else.

    Args:
        value: as a recipe or a record gives it, not yet checked.
    """
    if value is None:  # most
        return ()
    several = value if isinstance(value, list | tuple) else (value,)
    return tuple(dict.fromkeys(str(name) for each in several if isinstance(each, Mapping) for name in each))


def _strengths(value: Any) -> Any:
    several = value if isinstance(value, list | tuple) and value else (value,)
    checked = tuple(_one_strengths(each, "canny", 0, LARGEST) for each in several)
    return checked if isinstance(value, list | tuple) else checked[0]


def _lora_weights(value: Any) -> Any:
    several = value if isinstance(value, list | tuple) and value else (value,)
    checked = tuple(_one_strengths(each or {}, "sketch", -LARGEST_LORA, LARGEST_LORA) for each in several)
    return checked if isinstance(value, list | tuple) else checked[0]


def _one_strengths(value: Any, example: str, lowest: float, largest: float) -> FrozenDict[str, float]:
    named = _named(value, f"a mapping of names to weights such as {{{example}: 0.6}}, or a list of such mappings")
    for name, weight in named.items():
        if not is_number(weight) or not lowest <= weight <= largest:
            bounds = f"{lowest:g} to {largest:g}"
            raise ValueError(f"the weight of {name} should be a number from {bounds}; got {weight!r:.60}")
    return FrozenDict({name: float(weight) for name, weight in named.items()})


def _texts(value: Any) -> FrozenDict[str, str]:
    named = _named(value, "a mapping of names to texts such as {depth: depth.png}")
    for name, text in named.items():
        if not isinstance(text, str) or not text:
            raise ValueError(f"the value of {name} should be text; got {text!r:.60}")
    return FrozenDict(named)


def _named(value: Any, form: str) -> dict[str, Any]:
    """The mapping in the order of its names, so that equal ones are written alike."""
    if not isinstance(value, Mapping):
        raise ValueError(f"should be {form}; got {value!r:.60}")
    for name in value:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"a name has up to 40 letters, digits, _ and -; got {name!r:.60}")
    return {name: value[name] for name in sorted(value)}


def _or_none(check: Any) -> Any:
    return lambda value: None if value is None else check(value)


Strengths = FrozenDict[str, float]
SeveralStrengths = Annotated[
    Strengths | tuple[Strengths, ...] | None,
    PlainValidator(_or_none(_strengths)),
    WithJsonSchema({"type": "{name: number, 0 to 2}, or list of them, or null"}),
]
SeveralLoras = Annotated[
    Strengths | tuple[Strengths, ...] | None,
    PlainValidator(_or_none(_lora_weights)),
    WithJsonSchema({"type": "{name: number, -10 to 10}, or list of them, or null"}),
]
NamedTexts = Annotated[
    FrozenDict[str, str] | None,
    PlainValidator(_or_none(_texts)),
    WithJsonSchema({"type": "{name: text}, or null"}),
]
