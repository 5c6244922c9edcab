"""Parameter types that several stages share; their error messages say what would be right."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from PIL import ImageColor
from pydantic import BeforeValidator, Field, WithJsonSchema

from darkroom.models.foreign_syntax import Syntax, find_foreign_syntax
from darkroom.stages.markers import Length, LinesFile, RandomSeed
from darkroom.stages.seeds import MAX_SEED, SeedRule

if TYPE_CHECKING:
    from darkroom.models import Models

T = TypeVar("T")

_COORDINATES = re.compile(r"\s*\d{1,9}(\.\d{1,9})?(\s*,\s*\d{1,9}(\.\d{1,9})?){1,3}\s*", re.ASCII)
_PERCENTILE = re.compile(r"p(100|[1-9]?[0-9](\.[0-9]+)?)")

Units = Annotated[
    Literal["pixels", "fraction"],
    Field(description="Unit of all coordinates: `pixels`, or `fraction` of the photo's width and height."),
]


def is_number(value: Any) -> bool:
    """Whether a value in a recipe is a finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False


def _from_text(value: Any) -> Any:
    """`160,180`, as in a table's cell, as a list of numbers; any other value as it is."""
    if not (isinstance(value, str) and _COORDINATES.fullmatch(value)):
        return value
    return tuple(float(number) for number in value.split(","))


def _numbers(value: Any, count: int, form: str) -> tuple[float, ...]:
    value = _from_text(value)
    if not (isinstance(value, list | tuple) and len(value) == count and all(map(is_number, value))):
        raise ValueError(f"should be {form}, {count} numbers; got {value!r:.60}")
    if min(value) < 0:
        raise ValueError(f"{value!r} lies outside every photo: coordinates start at 0")
    return tuple(map(float, value))


def _point(value: Any) -> tuple[float, ...]:
    return _numbers(value, 2, "[x, y]")


def _box(value: Any) -> tuple[float, ...]:
    x0, y0, x1, y1 = box = _numbers(value, 4, "[x0, y0, x1, y1]")
    if not (x0 < x1 and y0 < y1):
        raise ValueError(f"a box needs x0 < x1 and y0 < y1; got {value!r}")
    return box


def _several(value: Any) -> Any:
    """One point or box alone as a list of one."""
    value = _from_text(value)
    alone = isinstance(value, list | tuple) and value and all(map(is_number, value))
    return (value,) if alone else value


def _texts(value: Any) -> Any:
    several = value if isinstance(value, list | tuple) else (value,)
    if not several or not all(isinstance(text, str) or is_number(text) for text in several):
        raise ValueError(f"should be text or a list of texts; got {value!r:.60}")
    return tuple(map(str, several)) if isinstance(value, list | tuple) else str(value)


def _phrases(value: Any) -> Any:
    several = value if isinstance(value, list | tuple) else (value,)
    if any(isinstance(phrase, str) and not phrase.strip() for phrase in several):
        raise ValueError(f"should name something, such as `a car`; got {value!r:.60}")
    return _texts(value)


def _phrases_or_none(value: Any) -> Any:
    return () if value in ([], (), "") else _phrases(value)


def _whole(value: Any) -> Any:
    """A float such as 7.0, which JSON Lines from pandas have, as a whole number; any other value as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _whole_numbers(value: Any) -> Any:
    """`_whole` of a value, or of each in a list, which becomes a tuple."""
    return tuple(map(_whole, value)) if isinstance(value, list | tuple) else _whole(value)


def _seeds(value: Any) -> Any:
    value = _whole_numbers(value)
    several = value if isinstance(value, tuple) else (value,)
    if not isinstance(value, int | tuple):
        SeedRule.parse(value).seeds(None)  # raises: a valid rule has become numbers before
    if not several or not all(type(seed) is int and 0 <= seed <= MAX_SEED for seed in several):
        raise ValueError(f"should be a whole number from 0 to 2**63 - 1, or a list of them; got {value!r:.60}")
    return value


def _steps(value: Any) -> Any:
    value = _whole_numbers(value)
    several = value if isinstance(value, tuple) else (value,)
    if not several or not all(type(number) is int and 1 <= number <= 1000 for number in several):
        raise ValueError(f"should be a whole number from 1 to 1000, or a list of them; got {value!r:.60}")
    return value


def _threshold(value: Any) -> float | str:
    if isinstance(value, str) and (value == "otsu" or _PERCENTILE.fullmatch(value)):
        return value
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number <= 1:
        raise ValueError(f"should be a number from 0 to 1, `otsu`, or a percentile such as `p90`; got {value!r:.60}")
    return number


def _flag(value: Any) -> Any:
    """True or false as in YAML 1.2, also in a table's cell; pydantic alone would accept `yes`, 1 and others."""
    written = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
    if isinstance(value, str) and value in written:
        return written[value]
    if not isinstance(value, bool):
        raise ValueError(f"should be true or false; got {value!r:.60}")
    return value


def bounds(value: Any) -> tuple[float, float]:
    """A pair of numbers, [low, high]. Raises `ValueError` if it is none."""
    if not (isinstance(value, list | tuple) and len(value) == 2 and all(map(is_number, value))):
        raise ValueError(f"should be [low, high], 2 numbers; got {value!r:.60}")
    if not 0 <= value[0] <= value[1]:
        raise ValueError(f"should be [low, high] with 0 <= low <= high; got {value!r:.60}")
    return tuple(value)


def _shares(value: Any) -> tuple[float, float]:
    if bounds(value)[1] > 1:
        raise ValueError(f"shares of the photo go from 0 to 1; got {value!r:.60}")
    return bounds(value)


def rgb_of(colour: str) -> tuple[int, int, int]:
    """A colour such as `"#f0f0f0"` or `white` as RGB, 0 to 255. Raises `ValueError` if it is none."""
    try:
        red, green, blue, *opacity = ImageColor.getrgb(colour)
        if opacity:
            raise ValueError
    except ValueError:
        raise ValueError(
            f'should be a colour such as white or "#f0f0f0" (in quotes: YAML takes # as a comment); got {colour!r:.60}'
        ) from None
    return red, green, blue


def _colour(value: Any) -> str:
    text = str(value)
    rgb_of(text)
    return text


def _colours(value: Any) -> Any:
    several = value if isinstance(value, list | tuple) and value else (value,)
    colours = tuple(map(_colour, several))
    return colours if isinstance(value, list | tuple) else colours[0]


def _unread_file(value: Any) -> Any:
    if value is not None:
        raise ValueError("is read when a recipe is composed, before the recipe is checked; give `prompt` instead")
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]
Resolution = Annotated[
    int | None,
    Field(
        ge=64,
        le=4096,
        description="Working size: the side in px of the square whose area the model works on; `null`: the "
        "size it was trained on.",
    ),
]
Share = Annotated[float, Field(ge=0, le=1)]

# The "type" of each JSON schema is what `docs/ops.md` shows.
Point = Annotated[tuple[float, float], BeforeValidator(_point), WithJsonSchema({"type": "[x, y]"}), Length()]
Points = Annotated[tuple[Point, ...], BeforeValidator(_several), WithJsonSchema({"type": "list of [x, y]"})]
Box = Annotated[
    tuple[float, float, float, float], BeforeValidator(_box), WithJsonSchema({"type": "[x0, y0, x1, y1]"}), Length()
]
Boxes = Annotated[tuple[Box, ...], BeforeValidator(_several), WithJsonSchema({"type": "list of [x0, y0, x1, y1]"})]
Threshold = Annotated[
    float | str, BeforeValidator(_threshold), WithJsonSchema({"type": "number, 0 to 1, `otsu`, or `p0` to `p100`"})
]
Texts = Annotated[str | tuple[str, ...], BeforeValidator(_texts), WithJsonSchema({"type": "text or list of texts"})]
Phrases = Annotated[str | tuple[str, ...], BeforeValidator(_phrases), WithJsonSchema({"type": "text or list of texts"})]
OptionalPhrases = Annotated[
    str | tuple[str, ...], BeforeValidator(_phrases_or_none), WithJsonSchema({"type": "text or list of texts"})
]
Seeds = Annotated[
    int | tuple[int, ...],
    BeforeValidator(_seeds),
    RandomSeed(),
    WithJsonSchema({"type": "whole number or list of them"}),
]
Steps = Annotated[
    int | tuple[int, ...],
    BeforeValidator(_steps),
    WithJsonSchema({"type": "whole number or list of them"}),
]
Shares = Annotated[tuple[float, float], BeforeValidator(_shares), WithJsonSchema({"type": "[low, high], 0 to 1"})]
Colour = Annotated[str, BeforeValidator(_colour), WithJsonSchema({"type": "colour"})]
Colours = Annotated[
    str | tuple[str, ...], BeforeValidator(_colours), WithJsonSchema({"type": "colour or list of colours"})
]
PromptsFile = Annotated[str | None, BeforeValidator(_unread_file), LinesFile("prompt")]


def as_tuple(value: T | tuple[T, ...]) -> tuple[T, ...]:
    """One value or several as a tuple."""
    return value if isinstance(value, tuple) else (value,)


def scalar(value: T | tuple[T, ...]) -> T:
    """The value of an `EachValue` parameter of a scalar stage (`Stage.variants`)."""
    if isinstance(value, tuple):
        raise TypeError("a stage with a list of values must be split into its variants first")
    return value


def needs_stable_diffusion(models: Models) -> str:
    """Why an op that takes Stable Diffusion apart refuses another painter."""
    return f"needs a Stable Diffusion checkpoint; models.inpaint is {models.checkpoint_info.family.title}"


def truncation_warnings(
    models: Models, key: str, text: str, remedy: str, encoder: int = 0
) -> Iterator[tuple[str, str]]:
    """A warning for `Stage.warnings` if a text encoder of the inpainting model cuts off a text.

    Args:
        models: have the text encoders.
        key: the parameter that holds the text.
        text: the text to encode.
        remedy: what to do about it.
        encoder: index of the text encoder.
    """
    if rest := models.checkpoint_info.truncated_text(text, encoder):
        room = models.checkpoint_info.max_tokens(encoder)
        yield key, f"too long: the model reads {room} tokens, which cuts off the words `{rest}`; {remedy}"


def foreign_syntax_warnings(
    key: str, text: str | tuple[str, ...], syntax: Syntax | None = None
) -> Iterator[tuple[str, str]]:
    """Warnings for `Stage.warnings` about the syntax of other tools, which models here read as words.

    Args:
        key: the parameter that holds the text.
        text: one or several.
        syntax: the syntax of a prompt; None for a phrase.
    """
    for one in as_tuple(text):
        yield from ((key, line) for line in find_foreign_syntax(one, syntax))
