"""`invert`: swap the areas to keep and to repaint."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from darkroom.errors import EmptyMask
from darkroom.stages.base import Stage, stage

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import Models


@stage
class Invert(Stage):
    """The mask becomes 255 - mask; soft edges stay soft, and a matte stays a matte."""

    needs_mask: ClassVar[bool] = True

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `EmptyMask`, since inverting an empty mask would repaint the whole photo."""
        mask = edit.need_mask()
        if not mask.any():
            raise EmptyMask("nothing found: the mask to invert is empty")
        layers = edit.layers and edit.layers.swapped()
        return edit.with_mask(255 - mask, edit.confidence, layers=layers)
