"""`diffedit_repaint`: turn what the mask shows into something else that keeps its pose and colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from pipeline.compositing import Crop, cut, paste, plan_crop, to_alpha
from pipeline.errors import EmptyMask
from pipeline.models.request import EditRequest
from pipeline.stages.base import Stage, stage
from pipeline.stages.fields import Texts, as_tuple

if TYPE_CHECKING:
    from pipeline.edit import Edit
    from pipeline.models import ModelKind, Models


@stage
class DiffEditRepaint(Stage):
    """The photo inverted to noise by DDIM and decoded with another text under the mask, blended back by the mask.

    Steps 2 and 3 of Couairon et al., DiffEdit, ICLR 2023 (arXiv 2210.11427). Where the mask is 0 (below 1/510) not a
    bit changes. The mask stays, for another stage.
    """

    takes_mask: ClassVar[bool] = True
    uses: ClassVar[tuple[ModelKind, ...]] = ("inpaint",)

    query: Texts = Field(description="What the photo shall show; a list makes a picture each.")
    reference: str | None = Field(
        None, description="What it shows now, to encode it with; `null` encodes it without a text, as in the paper."
    )
    ratio: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Encoding ratio: how far into the noise it goes; less keeps more of what was there.",
    )
    steps: int = Field(
        50, ge=1, le=1000, description="Of the whole way to noise; `steps` x `ratio` run there and back."
    )
    guidance_scale: float = Field(
        7.5, ge=0, le=50, description="How strictly the query is followed; 1 and less is without guidance."
    )
    resolution: int | None = Field(
        None,
        ge=64,
        le=4096,
        description="Side in px of the square whose area the model works on; `null`: its own.",
    )
    crop: bool = Field(True, description="Work on the mask's surroundings alone; else on the whole photo.")
    context: float = Field(
        1.5, ge=1, le=100, description="Factor by which the sides of the crop exceed those of the mask."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if int(self.steps * self.ratio) < 1:
            raise ValueError(f"steps {self.steps} x ratio {self.ratio} runs no step at all; raise one of them")
        return self

    def variants(self) -> Sequence[Self]:
        """One for each query; equal ones once."""
        return [replace(self, query=query) for query in dict.fromkeys(as_tuple(self.query))]

    def batch_size(self, models: Models) -> int:
        """See `Stage.batch_size`."""
        return models.batch_size

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`.

        Raises:
            EmptyMask: there is nothing to repaint.
            PhotoError: the part to repaint is too long and narrow to work on.
            SetupError: the model is one for inpainting; this takes a text-to-image one.
        """
        return self.apply_together([self], [edit], models)[0]

    @classmethod
    def apply_together(cls, stages: Sequence[Self], edits: Sequence[Edit], models: Models) -> list[Edit]:
        """See `Stage.apply_together`: one call of the model, which batches what goes together."""
        alphas = [to_alpha(edit.need_mask()) for edit in edits]
        if not all(alpha.any() for alpha in alphas):
            raise EmptyMask("nothing to repaint: the mask is empty")
        crops = [one._plan(alpha, models) for one, alpha in zip(stages, alphas, strict=True)]
        jobs = list(zip(stages, edits, alphas, crops, strict=True))
        pictures = models.diffusion.edit([one._request(edit.image, alpha, crop) for one, edit, alpha, crop in jobs])
        return [
            _repainted(edit, alpha, crop, picture)
            for (_, edit, alpha, crop), picture in zip(jobs, pictures, strict=True)
        ]

    def _plan(self, alpha: np.ndarray, models: Models) -> Crop:
        native = self.resolution or models.diffusion.native
        return plan_crop(alpha, self.context if self.crop else None, native, models.diffusion.multiple)

    def _request(self, image: np.ndarray, alpha: np.ndarray, crop: Crop) -> EditRequest:
        picture, mask = cut(image, alpha, crop)
        return EditRequest(
            image=picture,
            mask=mask,
            reference=self.reference,
            query=self.query,
            steps=self.steps,
            ratio=self.ratio,
            guidance_scale=self.guidance_scale,
        )


def _repainted(edit: Edit, alpha: np.ndarray, crop: Crop, picture: np.ndarray) -> Edit:
    repainted = alpha if edit.repainted is None else np.maximum(edit.repainted, alpha)
    return replace(edit, image=paste(edit.image, alpha, crop, picture), repainted=repainted, artifacts={})
