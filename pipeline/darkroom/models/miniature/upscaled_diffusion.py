"""Large pictures from an inpainting model that was trained on small ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageFilter

from darkroom.models.interfaces import DiffusionModel
from darkroom.models.request import DiffEditMaskRequest, DiffEditRequest, InpaintRequest

SMALL = 256  # native sides in pixels below which a model is wrapped; no published Stable Diffusion has less than 512
# Area, in native squares, up to which pictures are painted at their own size. Chosen by judgement: above it, the
# miniature repeats itself.
LARGEST = 1.5

_Request = TypeVar("_Request", InpaintRequest, DiffEditRequest)


class UpscaledDiffusion:
    """Paints large pictures at the model's native area and scales the results up.

    A recipe with `resolution: 512` therefore runs on the miniature too, and shows the same things, less sharp.

    Args:
        diffusion: the model to run.
    """

    def __init__(self, diffusion: DiffusionModel) -> None:
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
        return _scaled_up(self.diffusion.inpaint([self._scaled_down(request) for request in requests]), requests)

    def diffedit_map(self, request: DiffEditMaskRequest) -> np.ndarray:
        """See `Diffusion.diffedit_map`; the grid is that of the scaled-down picture."""
        size = self._working_size(request.image.shape[:2])
        return self.diffusion.diffedit_map(replace(request, image=_resized(request.image, size)))

    def diffedit(self, requests: Sequence[DiffEditRequest]) -> list[np.ndarray]:
        """See `Diffusion.diffedit`."""
        return _scaled_up(self.diffusion.diffedit([self._scaled_down(request) for request in requests]), requests)

    def _working_size(self, shape: tuple[int, int]) -> tuple[int, int]:
        """(height, width) at which a picture of this shape is painted."""
        scale: float = self.native / (shape[0] * shape[1]) ** 0.5
        if scale**-2 <= LARGEST:
            return shape
        height, width = (max(1, round(side * scale / self.multiple)) * self.multiple for side in shape)
        return height, width

    def _scaled_down(self, request: _Request) -> _Request:
        shape = self._working_size(request.mask.shape)
        if request.mask.shape == shape:
            return request
        smaller: dict[str, Any] = {
            "image": _resized(request.image, shape),
            "mask": _averaged(request.mask, shape) > 0,  # keeps every pixel that the mask touches
        }
        if isinstance(request, InpaintRequest):
            smaller["controls"] = tuple(replace(one, image=_thinned(one.image, shape)) for one in request.controls)
            if request.change_map is not None:
                smaller["change_map"] = _averaged(request.change_map, shape)
        return replace(request, **smaller)


def at_native_size(diffusion: DiffusionModel) -> DiffusionModel:
    """The model itself, or `UpscaledDiffusion` around it where its native side is below `SMALL`."""
    return UpscaledDiffusion(diffusion) if diffusion.native < SMALL else diffusion


def _scaled_up(pictures: Sequence[np.ndarray], requests: Sequence[_Request]) -> list[np.ndarray]:
    return [_resized(picture, request.mask.shape) for picture, request in zip(pictures, requests, strict=True)]


def _resized(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A uint8 picture at (height, width); the picture itself if it has that size."""
    if picture.shape[:2] == shape:
        return picture
    height, width = shape
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def _thinned(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A control picture at a smaller (height, width); its white lines stay, at least a pixel wide."""
    width = int(picture.shape[0] / shape[0]) // 2 * 2 + 1
    bold = Image.fromarray(picture).filter(ImageFilter.MaxFilter(width))
    return np.asarray(bold.resize(shape[::-1], Image.Resampling.BOX))


def _averaged(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """An (h, w) array in [0, 1], bool or float, averaged over the pixels of a smaller (height, width): float32."""
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(shape[::-1], Image.Resampling.BOX))
