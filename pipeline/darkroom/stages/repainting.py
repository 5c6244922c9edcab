"""What all ops share that repaint a part of the picture with the diffusion model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from pydantic import Field

from darkroom.errors import EmptyMask
from darkroom.imaging.compositing import WorkingCrop, inward_ramp, paste, to_working_crop
from darkroom.imaging.crops import Crop, CropMode, CropPlanner
from darkroom.imaging.harmonise import Harmoniser, harmonised
from darkroom.imaging.seam import seam_figures
from darkroom.models.request import DiffEditRequest, InpaintRequest
from darkroom.stages.base import Stage, stage
from darkroom.stages.fields import Resolution

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models


@stage
class Repainting(Stage):
    """A part of the picture around the mask, repainted at the model's own size and blended back by the mask.

    Where the mask is 0 (below 1/510) not a bit changes. The mask stays, for another stage.
    """

    repaints: ClassVar[bool] = True
    needs_mask: ClassVar[bool] = True
    uses: ClassVar[tuple[ModelKind, ...]] = ("inpaint",)

    resolution: Resolution = None
    crop: CropMode = Field(
        "mask",
        description="What the model sees: a crop around the `mask`, one crop for each of its `regions`, or "
        "the whole `photo`.",
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
    def request(self, part: WorkingCrop, region: int) -> InpaintRequest | DiffEditRequest:
        """What the model is asked for.

        Args:
            part: of the photo.
            region: which of the parts of this photo, from 0.
        """

    @classmethod
    @abstractmethod
    def paint(cls, requests: Sequence[InpaintRequest | DiffEditRequest], models: Models) -> list[np.ndarray]:
        """The model's answers, (h, w, 3) uint8 each."""

    def batch_size(self, models: Models) -> int:
        """See `Stage.batch_size`."""
        return models.batch_size

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `EmptyMask`; `PhotoError` for a mask that gives no crop to work on."""
        return self.apply_together([self], [edit], models)[0]

    @classmethod
    def apply_together(cls, stages: Sequence[Self], edits: Sequence[Edit], models: Models) -> list[Edit]:
        """See `Stage.apply_together`: one call of the model, which batches what goes together."""
        cuttings = [one._cut(edit, models) for one, edit in zip(stages, edits, strict=True)]
        requests = [
            one.request(part, region)
            for one, parts in zip(stages, cuttings, strict=True)
            for region, (_, part) in enumerate(parts)
        ]
        pictures = iter(cls.paint(requests, models))
        return [
            one._finished(edit, [(crop, part, next(pictures)) for crop, part in parts])
            for one, edit, parts in zip(stages, edits, cuttings, strict=True)
        ]

    def blend_mask(self, mask: np.ndarray) -> np.ndarray:
        """The share of new picture, (H, W) uint8, for a mask as (H, W) uint8; 0 where that is 0."""
        return mask if self.blend is None else inward_ramp(mask, self.blend)

    def _cut(self, edit: Edit, models: Models) -> list[tuple[Crop, WorkingCrop]]:
        mask = edit.need_mask()
        if not mask.any():
            raise EmptyMask("nothing to repaint: the mask is empty")
        native = self.resolution or models.diffusion.native
        planner = CropPlanner(mask.shape, native, models.diffusion.multiple, self.context)
        image = edit.flattened
        return [(crop, to_working_crop(image, mask, crop)) for crop in planner.plan(self.crop, mask)]

    def _finished(self, edit: Edit, painted: Sequence[tuple[Crop, WorkingCrop, np.ndarray]]) -> Edit:
        blend_mask, opacity, image = self.blend_mask(edit.need_mask()), edit.opacity, edit.image
        for crop, part, picture in painted:
            image = paste(image, blend_mask, crop, harmonised(part.image, part.mask, picture, self.harmonise), opacity)
        after = edit.with_image(image, blend_mask)
        return replace(after, figures=seam_figures(edit.flattened, after.flattened, blend_mask))
