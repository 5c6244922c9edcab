"""`erase`: fill the masked area from its surroundings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import cv2
import numpy as np
from pydantic import Field

from darkroom.errors import EmptyMask, PhotoError
from darkroom.imaging.compositing import paste, to_working_crop
from darkroom.imaging.crops import Crop
from darkroom.imaging.seam import seam_figures
from darkroom.stages.base import Stage, stage

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models

_LAMA_SIDE = 1024  # px: LaMa was trained at 256 and is used up to about 2000; larger holes are filled coarser
_LAMA_MARGIN = 64  # px
_METHODS = {"ns": cv2.INPAINT_NS, "telea": cv2.INPAINT_TELEA}


@stage
class Erase(Stage):
    """Continues the surroundings into the hole: OpenCV's methods without a seam and without texture, LaMa with texture.

    Every pixel where the mask is above 0 is filled from the others, and blended in by the mask: where it is 0, nothing
    changes. The mask stays for later stages. Sources: Bertalmio, Bertozzi and Sapiro,
    "Navier-Stokes, Fluid Dynamics, and Image and Video Inpainting", CVPR 2001; Telea, J. Graphics Tools 9 (1), 2004;
    Suvorov et al., "Resolution-robust Large Mask Inpainting with Fourier Convolutions", WACV 2022.
    """

    version: ClassVar[int] = 2
    repaints: ClassVar[bool] = True
    needs_mask: ClassVar[bool] = True

    # Holes of 4, 10 and 24 px radius in 30 empty scenes of the miniature world, mean error (0 to 255): `ns` 2.8, 3.2,
    # 5.6, `telea` 3.8, 3.8, 5.8.
    method: Literal["ns", "telea", "lama"] = Field(
        "ns",
        description="`ns` (Navier-Stokes) continues the brightness lines of the surroundings into the hole; "
        "`telea` fills it with a weighted mean of the pixels around it; `lama` runs the network of `models.lama`.",
    )
    radius: float = Field(
        3,
        ge=1,
        le=100,
        description="Radius in px of the neighbourhood that fills a pixel; larger values blur more. `lama` ignores it.",
    )

    @classmethod
    def models_of(cls, parameters: Mapping[str, Any]) -> tuple[ModelKind, ...]:
        """See `Stage.models_of`."""
        return ("lama",) if parameters.get("method") == "lama" else ()

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `EmptyMask`, or `PhotoError` if the mask covers the whole photo."""
        mask = edit.need_mask()
        if not mask.any():
            raise EmptyMask("nothing to erase: the mask is empty")
        if mask.all():
            raise PhotoError("the mask covers the whole photo: nothing is left to fill it from")
        shown = edit.flattened
        if self.method == "lama":
            crop = _lama_crop(mask)
            working = to_working_crop(shown, mask, crop)
            filled = models.lama.fill(working.image, working.mask)
        else:
            crop = self._crop(mask)
            hole = (mask[crop.slices] > 0).astype(np.uint8)
            filled = _inpainted(shown[crop.slices], hole, self.radius, _METHODS[self.method])
        after = edit.with_image(paste(edit.image, mask, crop, filled, edit.opacity), mask)
        return replace(after, figures=seam_figures(shown, after.flattened, mask))

    def _crop(self, mask: np.ndarray) -> Crop:
        """The bounding box of the hole and of the pixels that fill it."""
        return _around(mask, int(np.ceil(self.radius)) + 2)  # the second pixel is for the gradients


def _lama_crop(mask: np.ndarray) -> Crop:
    """The hole and as much again around it, at most `_LAMA_SIDE` px a side for the network."""
    crop = _around(mask, max(_LAMA_MARGIN, max(cv2.boundingRect((mask > 0).astype(np.uint8))[2:]) // 2))
    scale = min(1.0, _LAMA_SIDE / max(crop.width, crop.height))
    return replace(crop, width=max(1, round(crop.width * scale)), height=max(1, round(crop.height * scale)))


def _around(mask: np.ndarray, margin: int) -> Crop:
    """The bounding box of the hole, and so many px around it."""
    x, y, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    x0, y0 = max(x - margin, 0), max(y - margin, 0)
    x1, y1 = min(x + width + margin, mask.shape[1]), min(y + height + margin, mask.shape[0])
    return Crop(x0, y0, x1, y1, x1 - x0, y1 - y0)


def _inpainted(image: np.ndarray, hole: np.ndarray, radius: float, method: int) -> np.ndarray:
    """`cv2.inpaint`. A single row is doubled: on it, OpenCV 5 gives other pixels each time."""
    rows = 2 if len(image) == 1 else 1
    image_rows, hole_rows = (np.ascontiguousarray(array.repeat(rows, axis=0)) for array in (image, hole))
    return np.asarray(cv2.inpaint(image_rows, hole_rows, radius, method))[: len(image)]
