"""A picture with its layers as a PSD file, through `psd-tools`."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

import numpy as np
from PIL import Image

from darkroom.errors import PhotoError

_MAX_SIDE = 30_000  # px, of the format


def encode_psd(merged: np.ndarray, layers: Mapping[str, np.ndarray], icc: bytes | None) -> bytes:
    """A PSD file with 8 bits; the same arguments give the same bytes.

    Args:
        merged: the whole picture, which programs without layers show: (H, W, 3) RGB or (H, W, 4) RGBA, uint8.
        layers: from the lowest to the highest, by name: arrays like `merged`, of its height and width.
        icc: the colour profile to embed.

    Raises:
        PhotoError: the format cannot hold a picture of this size.
    """
    from psd_tools import PSDImage
    from psd_tools.constants import Resource
    from psd_tools.psd.image_resources import ImageResource

    if max(merged.shape[:2]) > _MAX_SIDE:
        raise PhotoError(f"does not fit into a psd file: more than {_MAX_SIDE} px a side")
    document = PSDImage.frompil(Image.fromarray(merged))
    for name, layer in layers.items():
        document.create_pixel_layer_from_array(layer, name=name)
    if icc:
        document.image_resources[Resource.ICC_PROFILE] = ImageResource(key=Resource.ICC_PROFILE.value, data=icc)
    file = BytesIO()
    document._record.write(file)  # `save` would merge the layers itself, with further libraries
    return file.getvalue()
