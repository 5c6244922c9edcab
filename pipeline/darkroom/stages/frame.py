"""`frame`: the size, shape and composition of the delivered pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_args

import cv2
import numpy as np
from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from darkroom.errors import PhotoError
from darkroom.imaging.framing import MAX_SCALE, MAX_SIDE, Fill, Framing
from darkroom.stages.base import Stage, stage
from darkroom.stages.fields import Flag, rgb_of

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import Models

_FILLS: tuple[Fill, ...] = get_args(Fill)
_LARGEST_RATIO = 20.0
_VISIBLE = 31  # alpha above which a pixel belongs to the subject, about 12 %

_SubjectBox = tuple[float, float, float, float]  # x0, y0, x1, y1 in px of the photo


def _size(value: Any) -> Any:
    if value is None:
        return None
    sides = value if isinstance(value, list | tuple) else ()
    if len(sides) != 2 or not all(type(side) is int and 1 <= side <= MAX_SIDE for side in sides):
        raise ValueError(f"should be [width, height], whole numbers from 1 to {MAX_SIDE}; got {value!r:.60}")
    return tuple(sides)


def _aspect(value: Any) -> Any:
    if value is not None:
        ratio(value)
    return value


def _fill(value: Any) -> str:
    text = str(value)
    if text not in _FILLS:
        try:
            rgb_of(text)
        except ValueError as error:
            raise ValueError(str(error).replace("should be ", f"should be {', '.join(_FILLS)}, or ")) from None
    return text


def ratio(aspect: Any) -> float:
    """Width divided by height of an aspect ratio such as `4:5`. Raises `ValueError` for other values."""
    width, colon, height = str(aspect).partition(":")
    try:
        found = float(width) / float(height) if colon else math.nan
    except (ValueError, ZeroDivisionError):
        found = math.nan
    if not 1 / _LARGEST_RATIO <= found <= _LARGEST_RATIO:
        raise ValueError(f"should be width:height such as 4:5, at most {_LARGEST_RATIO:.0f}:1; got {aspect!r:.60}")
    return found


@stage
class Frame(Stage):
    """Delivers a part of the photo, around the subject, in another size or shape.

    Picture and mask keep the photo's size: the edit does not change, and the figures say which region is delivered
    (`Framing`). The subject is what a repaint has kept or, in a recipe that repaints nothing, what the mask covers.
    Without a mask it is the whole photo.
    """

    frames: ClassVar[bool] = True

    size: Annotated[tuple[int, int] | None, BeforeValidator(_size), WithJsonSchema({"type": "[width, height]"})] = (
        Field(None, description="Size of the delivered picture in px; give this or `aspect`.")
    )
    aspect: Annotated[str | None, BeforeValidator(_aspect), WithJsonSchema({"type": "width:height"})] = Field(
        None, description="Shape of the delivered picture, such as `4:5`; it is cut out without scaling."
    )
    share: float | None = Field(
        None,
        ge=0.01,
        le=1,
        description="How much of the frame's width or height the subject takes, whichever is more; `null`: all "
        "that `padding` leaves free or, without `padding`, whatever it takes in the largest frame that fits into "
        "the photo.",
    )
    padding: float | None = Field(
        None,
        ge=0,
        le=0.49,
        description="Least free space between the subject and each side of the frame, as a share of the frame's width "
        "or height; `null`: 0.",
    )
    horizontal: Literal["left", "centre", "right"] = Field(
        "centre", description="Where the subject is in the frame, from side to side."
    )
    vertical: Literal["top", "centre", "bottom"] = Field(
        "centre", description="Where the subject is in the frame, from top to bottom."
    )
    inside: Flag = Field(
        False,
        description="Keep the frame inside the photo: it moves and, if it is too large, shrinks; the subject "
        "may then be larger, and in another place, than you asked for.",
    )
    fill: Annotated[
        str, BeforeValidator(_fill), WithJsonSchema({"type": "`edge`, `mirror`, `transparent` or colour"})
    ] = Field(
        "edge",
        description="What the frame shows beyond the photo: its outermost pixels (`edge`), its reflection (`mirror`), "
        "nothing (`transparent`), or a colour such as `white` or `'#f4f4f4'`.",
    )
    max_scale: float = Field(
        2, ge=1, le=MAX_SCALE, description="How much `size` may enlarge the photo; a photo that needs more fails."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.size is None) == (self.aspect is None):
            raise ValueError("give either `size` or `aspect`")
        if self.share is not None and self.share > self._free + 1e-9:
            raise ValueError(f"`share` is at most {self._free:.3g}, which `padding` leaves free")
        return self

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `PhotoError` if the photo would be enlarged too much."""
        framing = self._framing(_subject(edit), edit.size)
        if framing.scale > self.max_scale:
            text = f"the frame would enlarge it {framing.scale:.3g} times, more than `max_scale`, {self.max_scale:g}"
            raise PhotoError(f"{text}: use a smaller `size` or `share`")
        x, y, scale, outside = framing.x, framing.y, framing.scale, framing.share_outside(edit.size)
        figures = {"x": x, "y": y, "scale": scale, "width": framing.width, "height": framing.height}
        return replace(edit, framing=framing, figures={**figures, "outside": round(outside, 4)}, artifacts={})

    def framing(self, figures: Mapping[str, float]) -> Framing:
        """See `Stage.framing`."""
        return Framing.from_figures(figures, self._outside)

    @property
    def _outside(self) -> Fill | tuple[int, int, int]:
        """See `Framing.fill`."""
        fills: Mapping[str, Fill] = {fill: fill for fill in _FILLS}
        return fills.get(self.fill) or rgb_of(self.fill)

    @property
    def _free(self) -> float:
        return 1 - 2 * (self.padding or 0)

    def _framing(self, subject: _SubjectBox, photo: tuple[int, int]) -> Framing:
        """The frame around a subject in a photo of this width and height."""
        shape = self.size[0] / self.size[1] if self.size else ratio(self.aspect)
        around = self.share is not None or self.padding is not None
        largest = _largest(photo, shape)
        sides = self._around(subject, shape) if around else largest
        sides = min(sides, largest) if self.inside else sides
        anywhere = around and not self.inside
        scale = self.size[0] / sides[0] if self.size else 1.0
        if abs(scale - 1) < 1e-9:
            scale, sides = 1.0, (max(1, round(sides[0])), max(1, round(sides[1])))
        x, y = (
            _within(self._start(place, near, far, side), side, length, _borders(near, far, length, anywhere))
            for place, near, far, side, length in zip(
                (self.horizontal, self.vertical), subject[:2], subject[2:], sides, photo, strict=True
            )
        )
        if scale == 1:
            return Framing(float(round(x)), float(round(y)), 1.0, round(sides[0]), round(sides[1]), self._outside)
        assert self.size is not None
        return Framing(x, y, scale, *self.size, self._outside)

    def _around(self, subject: _SubjectBox, shape: float) -> tuple[float, float]:
        """Width and height of the frame, in px of the photo, whose `share` the subject takes."""
        x0, y0, x1, y1 = subject
        share = self._free if self.share is None else self.share
        width = max(x1 - x0, (y1 - y0) * shape) / share
        return width, width / shape

    def _start(self, place: str, near: float, far: float, side: float) -> float:
        """Where a frame with sides of this length begins, so that a subject from `near` to `far` is in its place."""
        free = (self.padding or 0) * side
        if place in ("left", "top"):
            return near - free
        if place in ("right", "bottom"):
            return far + free - side
        return (near + far - side) / 2


def _borders(near: float, far: float, length: int, anywhere: bool) -> tuple[bool, bool]:
    """Which of the photo's two borders the frame does not cross: those that cut the subject off, or both."""
    return not anywhere or near < 1, not anywhere or far > length - 1


def _within(start: float, side: float, length: int, borders: tuple[bool, bool]) -> float:
    """The nearest start at which the frame crosses neither of these borders; in the middle if it must cross both."""
    if all(borders) and side > length:
        return (length - side) / 2
    start = max(start, 0.0) if borders[0] else start
    return min(start, length - side) if borders[1] else start


def _largest(photo: tuple[int, int], shape: float) -> tuple[float, float]:
    """Width and height of the largest frame of a shape inside a photo."""
    width = min(photo[0], photo[1] * shape)
    return width, width / shape


def _subject(edit: Edit) -> _SubjectBox:
    """The bounding box of the subject; the whole photo where nothing stands out."""
    mask = edit.mask if edit.repainted is None else edit.repainted
    if mask is not None:
        visible = mask > _VISIBLE if edit.repainted is None else mask < 255 - _VISIBLE
        x, y, width, height = cv2.boundingRect(visible.astype(np.uint8))
        if width and height:
            return x, y, x + width, y + height
    return 0, 0, *edit.size
