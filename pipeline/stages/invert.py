"""`invert`: repaint what was to be kept, and keep what was to be repainted."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pipeline.compositing import to_alpha
from pipeline.errors import EmptyMask
from pipeline.stages.base import Stage, stage

if TYPE_CHECKING:
    from pipeline.edit import Edit
    from pipeline.models import Models


@stage
class Invert(Stage):
    """The mask becomes 1 - mask; soft edges stay soft."""

    takes_mask: ClassVar[bool] = True

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `EmptyMask`: where nothing was found, nothing is kept from the repaint."""
        mask = edit.need_mask()
        if not to_alpha(mask).any():
            raise EmptyMask("nothing found: the mask to invert is empty")
        return edit.with_mask(1.0 - mask, edit.confidence)
