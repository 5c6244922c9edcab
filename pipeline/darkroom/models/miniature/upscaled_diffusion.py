"""Larger pictures from an inpainting model that knows small ones only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from darkroom.models.request import DiffEditMaskRequest, DiffEditRequest, InpaintRequest

if TYPE_CHECKING:
    from darkroom.models.diffusion import Diffusion

SMALL = 256  # native sides below this need it; no published Stable Diffusion model has less than 512
# Largest area, in native squares, that is painted as it is. A judgement: beyond it, the miniature repeats itself.
LARGEST = 1.5

_Request = TypeVar("_Request", InpaintRequest, DiffEditRequest)


class UpscaledDiffusion:
    """Paints what is too large for the model at the model's own area, and enlarges the result.

    So a recipe with `resolution: 512` runs on the miniature too, and shows the same things, less sharp.

    Args:
        diffusion: what paints.
    """

    def __init__(self, diffusion: Diffusion) -> None:
        self.diffusion = diffusion
        self.native = diffusion.native
        self.multiple = diffusion.multiple

    @property
    def batch_size(self) -> int:
        """See `Diffusion`."""
        return self.diffusion.batch_size

    def describe(self) -> dict[str, Any]:
        """See `Diffusion.describe`."""
        return self.diffusion.describe()

    def inpaint(self, requests: Sequence[InpaintRequest]) -> list[np.ndarray]:
        """See `Diffusion.inpaint`."""
        pictures = self.diffusion.inpaint([self._reduced(request) for request in requests])
        return _enlarged(pictures, requests)

    def diffedit_map(self, request: DiffEditMaskRequest) -> np.ndarray:
        """See `Diffusion.diffedit_map`; the grid is that of the smaller picture."""
        size = self._size(request.image.shape[:2])
        return self.diffusion.diffedit_map(replace(request, image=_resized(request.image, size)))

    def diffedit(self, requests: Sequence[DiffEditRequest]) -> list[np.ndarray]:
        """See `Diffusion.diffedit`."""
        return _enlarged(self.diffusion.diffedit([self._reduced(request) for request in requests]), requests)

    def _size(self, shape: tuple[int, int]) -> tuple[int, int]:
        """(height, width) at which a picture of this shape is worked on."""
        scale = self.native / (shape[0] * shape[1]) ** 0.5
        if scale**-2 <= LARGEST:
            return shape
        height, width = (max(1, round(side * scale / self.multiple)) * self.multiple for side in shape)
        return height, width

    def _reduced(self, request: _Request) -> _Request:
        height, width = self._size(request.mask.shape)
        if request.mask.shape == (height, width):
            return request
        maps = {"mask": _shared(request.mask, (height, width)) > 0}  # all that holds some of it
        if isinstance(request, InpaintRequest) and request.change_map is not None:
            maps["change_map"] = _shared(request.change_map, (height, width))
        return replace(request, image=_resized(request.image, (height, width)), **maps)


def _enlarged(pictures: Sequence[np.ndarray], requests: Sequence[_Request]) -> list[np.ndarray]:
    return [_resized(picture, request.mask.shape) for picture, request in zip(pictures, requests, strict=True)]


def _resized(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A uint8 picture at (height, width); the same where it has that size."""
    if picture.shape[:2] == shape:
        return picture
    return np.asarray(Image.fromarray(picture).resize(shape[::-1], Image.Resampling.LANCZOS))


def _shared(share: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """An (h, w) share of each pixel, in [0, 1], at (height, width), float32."""
    return np.asarray(Image.fromarray(share.astype(np.float32)).resize(shape[::-1], Image.Resampling.BOX))
