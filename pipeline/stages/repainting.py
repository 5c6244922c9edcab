"""What all ops share that repaint a part of the picture with the diffusion model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from pydantic import Field

from pipeline.compositing import Crop, cut, paste, plan_crop, to_alpha
from pipeline.errors import EmptyMask
from pipeline.models.request import EditRequest, InpaintRequest
from pipeline.stages.base import Stage, stage
from pipeline.stages.fields import Resolution

if TYPE_CHECKING:
    from pipeline.edit import Edit
    from pipeline.models import ModelKind, Models


@stage
class Repainting(Stage):
    """A part of the picture around the mask, repainted at the model's own size and blended back by the mask.

    Where the mask is 0 (below 1/510) not a bit changes. The mask stays, for another stage.
    """

    takes_mask: ClassVar[bool] = True
    uses: ClassVar[tuple[ModelKind, ...]] = ("inpaint",)

    resolution: Resolution = None
    crop: bool = Field(True, description="Work on the mask's surroundings alone; else on the whole photo.")
    context: float = Field(
        1.5, ge=1, le=100, description="Factor by which the sides of the crop exceed those of the mask."
    )

    @abstractmethod
    def request(self, image: np.ndarray, mask: np.ndarray) -> InpaintRequest | EditRequest:
        """What the model is asked for.

        Args:
            image: (h, w, 3) uint8, the part at working size.
            mask: (h, w) bool, True where it is repainted.
        """

    @classmethod
    @abstractmethod
    def paint(cls, requests: Sequence[InpaintRequest | EditRequest], models: Models) -> list[np.ndarray]:
        """The model's answers, (h, w, 3) uint8 each."""

    def batch_size(self, models: Models) -> int:
        """See `Stage.batch_size`."""
        return models.batch_size

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `EmptyMask`; `PhotoError` for a part too long and narrow to work on."""
        return self.apply_together([self], [edit], models)[0]

    @classmethod
    def apply_together(cls, stages: Sequence[Self], edits: Sequence[Edit], models: Models) -> list[Edit]:
        """See `Stage.apply_together`: one call of the model, which batches what goes together."""
        alphas = [to_alpha(edit.need_mask()) for edit in edits]
        if not all(alpha.any() for alpha in alphas):
            raise EmptyMask("nothing to repaint: the mask is empty")
        crops = [one._plan(alpha, models) for one, alpha in zip(stages, alphas, strict=True)]
        jobs = list(zip(stages, edits, alphas, crops, strict=True))
        pictures = cls.paint([one.request(*cut(edit.image, alpha, crop)) for one, edit, alpha, crop in jobs], models)
        return [
            edit.with_image(paste(edit.image, alpha, crop, picture), alpha)
            for (_, edit, alpha, crop), picture in zip(jobs, pictures, strict=True)
        ]

    def _plan(self, alpha: np.ndarray, models: Models) -> Crop:
        native = self.resolution or models.diffusion.native
        return plan_crop(alpha, self.context if self.crop else None, native, models.diffusion.multiple)
