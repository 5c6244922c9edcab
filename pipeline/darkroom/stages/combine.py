"""`combine`: join the current mask with that of an earlier stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from darkroom.errors import PhotoError, suggest
from darkroom.stages.base import Stage, stage
from darkroom.stages.markers import StageName

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import Models

# Zadeh's max and min for soft masks; on hard masks all three are the set operations.
_JOIN: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "union": np.maximum,
    "intersection": np.minimum,
    "difference": lambda a, b: ((a * (255 - b).astype(np.uint16) + 127) // 255).astype(np.uint8),
}


@stage
class Combine(Stage):
    """The union, intersection or difference of the current mask and that of an earlier stage.

    The confidence is the lower one of the two masks', or the only one that is known.
    """

    needs_mask: ClassVar[bool] = True

    mask: Annotated[str, StageName()] = Field(
        description="Name of the earlier stage whose mask to combine with the current mask."
    )
    how: Literal["union", "intersection", "difference"] = Field(
        "union",
        description="`union`: white where either mask is white. `intersection`: white where both are. "
        "`difference`: white where the current mask is white and the other one is not.",
    )

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `PhotoError` if no earlier stage of that name has made a mask."""
        if self.mask not in edit.masks:
            raise PhotoError(f"no earlier stage '{self.mask}' made a mask, {suggest(self.mask, list(edit.masks))}")
        known = [value for value in (edit.confidence, edit.confidences.get(self.mask)) if value is not None]
        return edit.with_mask(_JOIN[self.how](edit.need_mask(), edit.masks[self.mask]), min(known, default=None))
