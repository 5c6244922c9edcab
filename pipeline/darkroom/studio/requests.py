"""What requests say: numbers, parts of pictures, and changes of the draft."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from darkroom.studio import draft
from darkroom.studio.photos import VIEW_SIDE, Box
from darkroom.studio.state import State
from darkroom.system import strict_json

if TYPE_CHECKING:
    from starlette.requests import Request


_MAX_BODY = 1_000_000  # bytes of a request
_MAX_DEPTH = 20  # of lists and objects in it


async def body_of(request: Request) -> Mapping[str, Any]:
    """The JSON object of a POST; empty for other requests. Raises `ValueError` if it is something else."""
    if request.method != "POST":
        return {}
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > _MAX_BODY:
            raise ValueError("the request is too long")
    body = strict_json.loads(data or b"{}", _MAX_DEPTH)
    if not isinstance(body, dict):
        raise ValueError("the request should be a JSON object")
    return body


def made_change(change: Mapping[str, Any]) -> Callable[[State], State]:
    """A change of the draft, from its description."""
    stage, before = str(change.get("stage")), change.get("before")
    parameter = str(change.get("parameter"))
    before = None if before is None else str(before)
    makers: dict[str, Callable[[State], State]] = {
        "set": lambda state: draft.with_parameter(state, stage, parameter, change.get("value")),
        "reset": lambda state: draft.without_parameter(state, stage, parameter),
        "add": lambda state: draft.with_stage(state, str(change.get("op")), before),
        "remove": lambda state: draft.without_stage(state, stage),
        "move": lambda state: draft.with_stage_moved(state, stage, before),
        "brush": lambda state: draft.with_brush(state, None if change.get("stage") is None else stage, _how(change)),
    }
    if not isinstance(change.get("do"), str) or change["do"] not in makers:
        raise ValueError(f"change.do: one of {', '.join(makers)}, second_pass, undo")
    return makers[str(change["do"])]


def _how(change: Mapping[str, Any]) -> str:
    """How a painted mask joins that of a stage."""
    how = change.get("how", "instead")
    if how not in ("instead", "union", "difference"):
        raise ValueError("change.how: instead, union or difference")
    return str(how)


def revision_of(body: Mapping[str, Any]) -> int:
    return whole(body.get("revision"), -1)


def whole(value: Any, other: int) -> int:
    """A whole number from JSON or from a query; another one if it is missing or none."""
    if isinstance(value, str):
        return int(value) if value.isdecimal() and len(value) < 10 else other
    return value if type(value) is int else other


def view_of(request: Request) -> tuple[Box | None, int]:
    """The part and the width that a page asks for."""
    numbers = request.query_params.get("box", "").split(",")
    box = (
        tuple(map(int, numbers)) if len(numbers) == 4 and all(re.fullmatch(r"-?\d{1,6}", n) for n in numbers) else None
    )
    width = min(max(16, whole(request.query_params.get("width"), VIEW_SIDE)), 2 * VIEW_SIDE)
    return box, width  # type: ignore[return-value]
