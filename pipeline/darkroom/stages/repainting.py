"""`Repainting`: the base of ops that repaint a part of the picture with the diffusion model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from darkroom.errors import EmptyMask
from darkroom.imaging.compositing import WorkingCrop, inward_ramp, paste, to_working_crop
from darkroom.imaging.crops import Crop, CropMode, CropPlanner, numbered_regions, of_region
from darkroom.imaging.harmonise import Harmoniser, harmonised
from darkroom.imaging.layers import Layers, in_band, with_band
from darkroom.imaging.seam import seam_figures
from darkroom.models.request import DiffEditRequest, InpaintRequest
from darkroom.stages.base import Stage, stage
from darkroom.stages.fields import Resolution

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models


@stage
class Repainting(Stage):
    """A crop around the mask is repainted at the model's working size and blended in by the mask.

    Where the mask is 0, nothing changes. The mask stays for later stages.
    """

    repaints: ClassVar[bool] = True
    needs_mask: ClassVar[bool] = True
    uses: ClassVar[tuple[ModelKind, ...]] = ("inpaint",)

    resolution: Resolution = None
    crop: CropMode = Field(
        "mask",
        description="What the model sees: a crop around the `mask`; one for each of its `regions`, where close ones "
        "share a crop; one for `each` region, however close; or the whole `photo`.",
    )
    context: float = Field(
        1.5, ge=1, le=100, description="Side of the crop divided by the side of the masked area: 1 is a tight crop."
    )
    harmonise: Harmoniser = Field(
        "none",
        description="Match the result to the photo around it: `mean_std` and `histogram` correct its colours "
        "by those of a ring around the mask, `poisson` spreads the difference along the edge "
        "smoothly over the inside.",
    )
    blend: float | None = Field(
        None,
        ge=0,
        le=250,
        description="Width in px of the soft edge of the pasted result, inwards from where the mask is "
        "black; `null`: use the mask's own greys.",
    )

    @abstractmethod
    def request(self, crop: WorkingCrop, region: int) -> InpaintRequest | DiffEditRequest:
        """The request to the model for one crop.

        Args:
            crop: of the photo.
            region: index of the crop among those of this photo, from 0.
        """

    @classmethod
    @abstractmethod
    def paint(cls, requests: Sequence[Any], models: Models) -> list[np.ndarray]:
        """The model's pictures, (h, w, 3) uint8 each, for requests made by `request`."""

    def batch_size(self, models: Models) -> int:
        """See `Stage.batch_size`."""
        return models.batch_size

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `EmptyMask`, or `PhotoError` for a mask without a possible crop."""
        return self.apply_together([self], [edit], models)[0]

    @classmethod
    def apply_together(cls, stages: Sequence[Self], edits: Sequence[Edit], models: Models) -> list[Edit]:
        """See `Stage.apply_together`: one call of the model, which batches the requests that fit together."""
        all_crops = [one._cut(edit, models) for one, edit in zip(stages, edits, strict=True)]
        requests = [
            one.request(working_crop, region)
            for one, crops in zip(stages, all_crops, strict=True)
            for region, (_, working_crop) in enumerate(crops)
        ]
        pictures = iter(cls.paint(requests, models))
        return [
            one._finished(edit, [(crop, working_crop, next(pictures)) for crop, working_crop in crops])
            for one, edit, crops in zip(stages, edits, all_crops, strict=True)
        ]

    def blend_mask(self, mask: np.ndarray) -> np.ndarray:
        """The share of the new picture in each pixel, (H, W) uint8, for a mask, (H, W) uint8; 0 where the mask is 0."""
        return mask if self.blend is None else inward_ramp(mask, self.blend)

    def _cut(self, edit: Edit, models: Models) -> list[tuple[Crop, WorkingCrop]]:
        mask = edit.need_mask()
        if not mask.any():
            raise EmptyMask("nothing to repaint: the mask is empty")
        native = self.resolution or models.diffusion.native
        planner = CropPlanner(mask.shape, native, models.diffusion.multiple, self.context)
        image = edit.flattened
        # Next to the subject's rim, a model continues the subject. With half a latent cell of the rim hidden, it did so
        # on 1.5 % of the pixels around it instead of 3.3 % (`miniature/evaluate_rim.py`); `paste` keeps the rim.
        grow = models.diffusion.multiple // 2 if self._layers(edit) else 0
        numbers = self._numbers(mask)
        return [
            (crop, to_working_crop(image, of_region(crop, numbers, mask), crop, grow))
            for crop in planner.plan(self.crop, mask)
        ]

    def _numbers(self, mask: np.ndarray) -> np.ndarray | None:
        """See `of_region`."""
        return numbered_regions(mask) if self.crop == "each" else None

    def _layers(self, edit: Edit) -> Layers | None:
        """The edit's layers, if the blend mask is the mask that they belong to."""
        mask = edit.need_mask()
        return edit.layers if edit.layers and np.array_equal(self.blend_mask(mask), mask) else None

    def _finished(self, edit: Edit, painted: Sequence[tuple[Crop, WorkingCrop, np.ndarray]]) -> Edit:
        mask, layers = edit.need_mask(), self._layers(edit)
        blend_mask = self.blend_mask(mask)
        pictures = [
            (crop, harmonised(before.image, before.mask, picture, self.harmonise)) for crop, before, picture in painted
        ]
        image = with_band(edit.image, layers.outside, mask) if layers else edit.image
        numbers = self._numbers(mask)
        for crop, picture in pictures:
            image = paste(image, of_region(crop, numbers, blend_mask), crop, picture, edit.opacity)
        if layers:
            layers = Layers(inside=_band_of(pictures, mask, numbers), outside=layers.outside)
        after = edit.with_image(image, blend_mask, layers)
        return replace(after, figures=seam_figures(edit.flattened, after.flattened, blend_mask))


def _band_of(pictures: Sequence[tuple[Crop, np.ndarray]], mask: np.ndarray, numbers: np.ndarray | None) -> np.ndarray:
    """The model's pictures in the band of a mask, black elsewhere, (H, W, 3) uint8. For `numbers` see `of_region`."""
    whole, everywhere = np.zeros((*mask.shape, 3), np.uint8), np.full_like(mask, 255)
    for crop, picture in pictures:
        whole = paste(whole, of_region(crop, numbers, everywhere), crop, picture)
    return in_band(whole, mask)
