"""Clicks on photos: what a person marks or paints on the page, and how a stage takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from darkroom.imaging.strokes import Stroke
from darkroom.stages import STAGES
from darkroom.studio.brush import Painting, is_brush, plain_strokes, strokes_of

_MARKS = ("points", "negative", "boxes", "box")  # parameters that are made on the canvas
_MOST = 200  # marks of a kind on one photo
_CHOICE = "choose"  # which of SAM's candidates


@dataclass(frozen=True)
class Clicks:
    """The marks on one photo for one stage, in pixels of the upright photo.

    Attributes:
        points: [x, y] each, on the object.
        negative: [x, y] each, beside it.
        boxes: [x0, y0, x1, y1] each.
        choose: which of SAM's candidates.
        strokes: of the brush, in their order.
        size: (width, height) of the photo that has strokes.
    """

    points: tuple[tuple[float, ...], ...] = ()
    negative: tuple[tuple[float, ...], ...] = ()
    boxes: tuple[tuple[float, ...], ...] = ()
    choose: str = "score"
    strokes: tuple[Stroke, ...] = ()
    size: tuple[int, int] = (1, 1)

    def __bool__(self) -> bool:
        return bool(self.points or self.boxes or any(not stroke.erase for stroke in self.strokes))

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Clicks:
        """Clicks from parameters as a stage or a request gives them; anything malformed counts as none.

        Raises:
            ValueError: there are more than a person makes (SAM would take gigabytes), or strokes are malformed.
        """
        boxes = given.get("boxes") or ([given["box"]] if given.get("box") else [])
        choose = given.get(_CHOICE)
        return cls(
            _marks(given.get("points"), 2),
            _marks(given.get("negative"), 2),
            _marks(boxes, 4),
            choose if isinstance(choose, str) else "score",
            strokes_of(given.get("strokes") or []),
        )

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing on the photo, not even what alone makes no mask."""
        return not (self.points or self.negative or self.boxes or self.strokes)

    @cached_property
    def painting(self) -> Painting:
        """What the strokes paint."""
        return Painting(self.size, self.strokes)

    def parameters(self, stage: Mapping[str, Any], mask: str | None) -> dict[str, Any]:
        """The parameters that a stage takes from these clicks; empty ones are left out.

        Args:
            stage: `op`, and the parameters that are written.
            mask: the path of the painted mask; None if nothing is painted.
        """
        op = stage["op"]
        if is_brush(stage):
            return {} if mask is None else {"file": mask}
        values: dict[str, Any] = {
            "points": _lists(self.points),
            "negative": _lists(self.negative),
            "boxes": _lists(self.boxes),
            "box": list(_lists(self.boxes)[-1]) if self.boxes else [],
        }
        taken = {name: values[name] for name in marks_of(op) if values[name]}
        return taken | ({_CHOICE: self.choose} if _CHOICE in click_parameters(op) and self.choose != "score" else {})

    def on(self, size: tuple[int, int]) -> Clicks:
        """The same on a photo of this size, (width, height) in px."""
        return replace(self, size=size)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        marks = {name: getattr(self, name) for name in ("points", "negative", "boxes", "choose")}
        return {**marks, "strokes": plain_strokes(self.strokes)}


def made_by_clicks(stage: Mapping[str, Any]) -> tuple[str, ...]:
    """The parameters of a stage that are set on the canvas; empty for most."""
    return ("file",) if is_brush(stage) else click_parameters(stage["op"])


def click_parameters(op: str) -> tuple[str, ...]:
    """The parameters of an op that are set by clicks; empty for most ops."""
    marks = marks_of(op)
    return (*marks, _CHOICE) if "boxes" in marks and _CHOICE in STAGES[op].__pydantic_fields__ else marks


def marks_of(op: str) -> tuple[str, ...]:
    """`click_parameters` without the choice among SAM's candidates."""
    fields = STAGES[op].__pydantic_fields__ if op in STAGES else {}
    return tuple(name for name in _MARKS if name in fields) if "negative" in fields else ()


def _marks(given: Any, count: int) -> tuple[tuple[float, ...], ...]:
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else ()
    if several and all(_is_number(value) for value in several):  # one mark alone
        several = (several,)
    if len(several) > _MOST:
        raise ValueError(f"at most {_MOST} clicks on a photo")
    return tuple(
        tuple(round(float(value), 2) for value in mark)
        for mark in several
        if isinstance(mark, Sequence) and len(mark) == count and all(_is_number(value) for value in mark)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6


def _lists(marks: tuple[tuple[float, ...], ...]) -> list[list[float]]:
    return [[int(value) if value == int(value) else value for value in mark] for mark in marks]
