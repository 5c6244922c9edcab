"""Edits whose ground, which is what the mask covers, becomes another picture or gets darker. The subject stays."""

from __future__ import annotations

import numpy as np

from darkroom.imaging.bands import by_bands
from darkroom.imaging.compositing import paste
from darkroom.imaging.crops import Crop
from darkroom.imaging.edit import Edit
from darkroom.imaging.layers import Layers, in_band, is_band, with_band


def with_new_ground(edit: Edit, picture: np.ndarray) -> Edit:
    """The edit with another picture where its mask is white; in the band it meets the unmixed colours of the rest.

    Args:
        edit: has a mask.
        picture: (H, W, 3) uint8 RGB.
    """
    mask = edit.need_mask()
    kept = edit.image if edit.layers is None else with_band(edit.image, edit.layers.outside, mask)
    image = paste(kept, mask, Crop.whole(mask.shape), picture, edit.opacity)
    return edit.with_image(image, mask, Layers(inside=in_band(picture, mask), outside=in_band(kept, mask)))


def with_darker_ground(edit: Edit, black: np.ndarray) -> Edit:
    """The edit with black over what its mask covers.

    In the band of the mask, with layers, only the ground's part of each pixel gets darker. Without layers the whole
    pixel does, by the ground's share. Transparent ground becomes black, as opaque as the shadow is dark. In an opaque
    photo all that the mask covers counts as repainted, so that the rest still is the subject for later stages.

    Args:
        edit: has a mask.
        black: (H, W) uint8, the share of black in each pixel, at most the mask. Where it is 0, nothing changes.
    """
    mask, opacity, layers = edit.need_mask(), edit.opacity, edit.layers
    blend_mask = mask if opacity is None else black  # which also makes transparent ground opaque, by as much
    nothing = np.broadcast_to(np.uint8(0), edit.image.shape)
    image = paste(edit.image, black, Crop.whole(mask.shape), nothing, opacity)
    if layers is None:
        return edit.with_image(image, blend_mask)
    opaque = np.broadcast_to(np.uint8(255), mask.shape) if opacity is None else opacity
    image = by_bands(_with_edge, image, edit.image, layers.inside, mask, black, opaque)
    ground = by_bands(_darker, layers.inside, mask, black)
    return edit.with_image(image, blend_mask, Layers(inside=ground, outside=layers.outside))


def _with_edge(
    image: np.ndarray, before: np.ndarray, ground: np.ndarray, mask: np.ndarray, black: np.ndarray, opaque: np.ndarray
) -> np.ndarray:
    """The darkened picture with other pixels in the opaque part of the band: minus black's share of the ground."""
    edge = is_band(mask) & (opaque == 255)
    result = image.copy()
    lost = (ground[edge].astype(np.int32) * black[edge, None] + 127) // 255
    result[edge] = np.maximum(before[edge] - lost, 0)
    return result


def _darker(ground: np.ndarray, mask: np.ndarray, black: np.ndarray) -> np.ndarray:
    """The colours of the ground in the band, with the shadow on it."""
    edge = is_band(mask)
    result = ground.copy()
    whole = mask[edge, None].astype(np.int32)
    result[edge] = (ground[edge] * (whole - black[edge, None]) + whole // 2) // whole
    return result
