"""`shadow`: the shadow of the subject on its new background, made from its outline."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np
from pydantic import Field

from darkroom.errors import EmptyMask, PhotoError
from darkroom.imaging.bands import bands
from darkroom.imaging.dithering import dithered
from darkroom.imaging.ground import with_darker_ground
from darkroom.imaging.shadows import Light, shadow
from darkroom.stages.base import Stage, stage
from darkroom.stages.fields import Share

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import Models


@stage
class Shadow(Stage):
    """Darkens the ground, which is the white of the mask, under and beside the subject, which is its black.

    A contact shadow where the subject touches the ground, and a cast shadow: the outline, laid down on the ground.
    Where the mask is 0, nothing changes, and in the soft edge only the ground gets darker. The mask stays.
    """

    repaints: ClassVar[bool] = True
    needs_mask: ClassVar[bool] = True

    direction: float = Field(
        60,
        ge=0,
        le=360,
        description="Where the cast shadow falls in the picture, in degrees clockwise: 0 is up (behind the subject), "
        "90 right, 180 down (in front of it), 270 left.",
    )
    length: float = Field(
        0.5, ge=0, le=5, description="Length of the cast shadow, as a share of the subject's height; 0 casts none."
    )
    softness: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Blur (sigma) at the far end of the cast shadow, as a share of the subject's height; towards "
        "the subject it gets sharper.",
    )
    strength: Share = Field(0.4, description="Darkness of the cast shadow next to the subject; it fades with distance.")
    contact: Share = Field(0.7, description="Darkness of the ground where the subject touches it.")
    contact_size: float = Field(
        0.02, ge=0, le=1, description="Reach of the contact shadow, as a share of the subject's height."
    )

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `EmptyMask`, or `PhotoError` if the mask covers the whole photo."""
        mask = edit.need_mask()
        if not mask.any():
            raise EmptyMask("no ground for a shadow: the mask is empty")
        darkness = shadow(255 - mask, self._light())
        if darkness is None:
            raise PhotoError("nothing casts a shadow: the mask covers the whole photo; find the subject and `invert`")
        return with_darker_ground(edit, _share(darkness, mask))

    def _light(self) -> Light:
        return Light(self.direction, self.length, self.softness, self.strength, self.contact, self.contact_size)


def _share(darkness: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The share of black in each pixel, (H, W) uint8: `darkness`, (h, w) float32 from 0 to 1, enlarged, on the mask."""
    height, width = mask.shape
    large = cv2.resize(darkness, (width, height), interpolation=cv2.INTER_LINEAR)
    result = np.empty_like(mask)
    for rows in bands(height, width):
        result[rows] = dithered(large[rows] * mask[rows], rows.start)
    return result
