"""A repaint with a new picture of the photo's size, blended in by the mask."""

from __future__ import annotations

import numpy as np

from darkroom.imaging.compositing import paste
from darkroom.imaging.crops import Crop
from darkroom.imaging.edit import Edit
from darkroom.imaging.layers import Layers, in_band, with_band


def repainted_with(edit: Edit, picture: np.ndarray) -> Edit:
    """The edit with another picture where its mask is white; in the band it meets the unmixed colours of the rest.

    Args:
        edit: has a mask.
        picture: (H, W, 3) uint8 RGB.
    """
    mask = edit.need_mask()
    kept = edit.image if edit.layers is None else with_band(edit.image, edit.layers.outside, mask)
    height, width = mask.shape
    image = paste(kept, mask, Crop(0, 0, width, height, width, height), picture, edit.opacity)
    return edit.with_image(image, mask, Layers(inside=in_band(picture, mask), outside=in_band(kept, mask)))
