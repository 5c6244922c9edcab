"""Splits what a picture shows into the objects that `find` has told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from darkroom.record.schema import JournalLine

_ARTIFACT = "instances"
# Chosen by judgement: a mask that was grown or refined afterwards is mostly covered by the objects; that of something
# else is not.
_SHARE = 0.8


def instances_path(line: JournalLine) -> str | None:
    """The picture in which every object has a grey of its own; None where no stage has told several apart."""
    steps = zip(line["settings"], line["steps"][1:], strict=False)
    found = [step.get("artifacts", {}).get(_ARTIFACT) for settings, step in steps if settings["op"] == "find"]
    return next((path for path in reversed(found) if path), None)


def instances(whole: np.ndarray, greys: np.ndarray, framed: Callable[[np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
    """The parts of a mask that belong to each object, one at a time, the surest object first.

    Args:
        whole: (H, W) bool, in the geometry of the delivered picture.
        greys: (H, W) uint8, the picture at `instances_path`.
        framed: brings a mask, (H, W) uint8, into the geometry of the delivered picture.

    Returns:
        (H, W) bool each, none of them empty; `whole` alone if it is not mostly covered by several objects.
    """

    def shown(mask: np.ndarray) -> np.ndarray:
        return whole & (framed(np.uint8(255) * mask) >= 128)

    levels = np.unique(greys[greys > 0])[::-1]
    if len(levels) < 2 or shown(greys > 0).sum() < _SHARE * whole.sum():
        yield whole
        return
    yield from (part for level in levels if (part := shown(greys == level)).any())
