"""Which mask of a picture shows its object, and on which side of it the object is.

In a mask, white is what is repainted. So the object is the black side where a recipe has replaced the background, and
the white side where it has repainted the object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from darkroom.errors import RecipeError, suggest
from darkroom.record.schema import JournalLine, StageLine, StepLine
from darkroom.stages import STAGES

AUTO, KEPT, REPAINTED = "auto", "kept", "repainted"

_NEW_GROUND = ("background", "shadow")  # ops that always keep the subject


class ObjectMask(NamedTuple):
    """Where the object of a picture is.

    Attributes:
        path: of the mask in the run folder; None if it has none.
        inverted: the object is its black side.
        framed: it has the geometry of the delivered picture already.
        repainted: the object is what was repainted, so its old name no longer fits.
    """

    path: str | None
    inverted: bool = False
    framed: bool = False
    repainted: bool = False


def object_mask(line: JournalLine, wanted: str) -> ObjectMask:
    """The mask of the object in a finished picture.

    Args:
        line: of the picture, perhaps from a stranger.
        wanted: `kept`, `repainted`, the name of the stage whose mask shows the object in white, or `auto`: what was
            kept if the last repaint is a `background` or `shadow`, or the mask was inverted between the stage that
            found it and the last repaint; else what was repainted; and if nothing was repainted, the mask.

    Raises:
        RecipeError: no stage of this name makes a mask.
    """
    pairs = list(zip(line["settings"], line["steps"][1:], strict=False))
    if wanted not in (AUTO, KEPT, REPAINTED):
        return ObjectMask(_mask_of(wanted, pairs))
    last = max((number for number, (settings, _) in enumerate(pairs) if repaints(settings)), default=None)
    if last is None:
        return ObjectMask(line["mask"])
    if wanted == KEPT or (wanted == AUTO and _keeps_object([settings for settings, _ in pairs[: last + 1]])):
        if "picture" in line["outputs"] and "mask" in line["outputs"]:
            return ObjectMask(line["outputs"]["mask"], framed=True)
        return ObjectMask(line["mask"], inverted=True)
    masks = [step["mask"] for _, step in pairs[:last] if "mask" in step]
    return ObjectMask(masks[-1] if masks else None, repainted=True)


def repaints(settings: StageLine) -> bool:
    """Whether a stage changes the picture."""
    kind = STAGES.get(settings["op"])
    return kind is not None and kind.repaints


def makes_mask(settings: StageLine) -> bool:
    """Whether a stage makes or changes the mask."""
    kind = STAGES.get(settings["op"])
    return kind is not None and kind.makes_mask()


def _mask_of(stage: str, pairs: Sequence[tuple[StageLine, StepLine]]) -> str | None:
    masks = {settings["stage"]: step.get("mask") for settings, step in pairs if makes_mask(settings)}
    if stage not in masks:
        raise RecipeError(f"command line: object={stage}: {suggest(stage, [KEPT, REPAINTED, *masks])}")
    return masks[stage]


def _keeps_object(stages: Sequence[StageLine]) -> bool:
    """Whether the last of these stages repaints everything but the object."""
    if stages[-1]["op"] in _NEW_GROUND:
        return True
    inverted = False
    for settings in stages:
        kind = STAGES.get(settings["op"])
        if kind is not None and kind.makes_mask() and not kind.needs_mask:
            inverted = False  # it finds an object
        inverted ^= settings["op"] == "invert"
    return inverted
