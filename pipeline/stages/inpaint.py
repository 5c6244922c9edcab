"""`inpaint`: repaint what the mask shows after a prompt, with a diffusion model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from pipeline.compositing import Crop, cut, paste, plan_crop, to_alpha
from pipeline.errors import EmptyMask
from pipeline.models import InpaintRequest
from pipeline.models.names import SCHEDULERS
from pipeline.stages.base import Stage, stage
from pipeline.stages.fields import Seeds, Texts, as_tuple

if TYPE_CHECKING:
    from pipeline.edit import Edit
    from pipeline.models import ModelKind, Models


Scheduler = Literal[SCHEDULERS]  # type: ignore[valid-type]


@stage
class Inpaint(Stage):
    """A part of the picture around the mask, repainted at the model's own size and blended back by the mask.

    Where the mask is 0 (below 1/510) not a bit changes. The mask stays, for another stage. Source: Podell et
    al., SDXL, 2023 (arXiv 2307.01952).
    """

    takes_mask: ClassVar[bool] = True
    uses: ClassVar[tuple[ModelKind, ...]] = ("inpaint",)

    prompt: Texts = Field(description="What the repainted part shows; a list makes a picture each.")
    negative_prompt: str | None = Field(
        None, description="What it must not show. An empty text is a prompt too, not the same as `null`."
    )
    seed: Seeds = Field(0, description="Start of the random numbers; a list makes a picture each.")
    steps: int = Field(30, ge=1, le=1000, description="Denoising steps.")
    guidance_scale: float = Field(
        7.5,
        ge=0,
        le=50,
        description="How strictly the prompt is followed; up to 1 the negative has no effect.",
    )
    strength: float = Field(
        0.99, gt=0, le=1, description="How much of what was there is lost; `steps` x `strength` steps run."
    )
    scheduler: Scheduler = Field("default", description="The sampler; `default` is the one that the model came with.")
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
        if int(self.steps * self.strength) < 1:
            raise ValueError(f"steps {self.steps} x strength {self.strength} runs no step at all; raise one of them")
        return self

    def variants(self) -> Sequence[Self]:
        """Prompts x seeds, the seeds running faster; equal ones once."""
        seeds = self.seed if isinstance(self.seed, tuple) else (self.seed,)
        pairs = dict.fromkeys(product(as_tuple(self.prompt), seeds))
        return [replace(self, prompt=prompt, seed=seed) for prompt, seed in pairs]

    def batch_size(self, models: Models) -> int:
        """See `Stage.batch_size`."""
        return models.diffusion.batch_size

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `EmptyMask`; `PhotoError` for a part too long and narrow to work on."""
        return self.apply_together([self], edit, models)[0]

    @classmethod
    def apply_together(cls, stages: Sequence[Self], edit: Edit, models: Models) -> list[Edit]:
        """See `Stage.apply_together`: one call of the model, which batches what goes together."""
        alpha = to_alpha(edit.need_mask())
        if not alpha.any():
            raise EmptyMask("nothing to repaint: the mask is empty")
        crops = [one._plan(alpha, models) for one in stages]
        parts = {crop: cut(edit.image, alpha, crop) for crop in dict.fromkeys(crops)}
        requests = [one._request(*parts[crop]) for one, crop in zip(stages, crops, strict=True)]
        pictures = models.diffusion.inpaint(requests)
        repainted = alpha if edit.repainted is None else np.maximum(edit.repainted, alpha)
        return [
            replace(edit, image=paste(edit.image, alpha, crop, picture), repainted=repainted, artifacts={})
            for crop, picture in zip(crops, pictures, strict=True)
        ]

    def _plan(self, alpha: np.ndarray, models: Models) -> Crop:
        native = self.resolution or models.diffusion.native
        return plan_crop(alpha, self.context if self.crop else None, native, models.diffusion.multiple)

    def _request(self, picture: np.ndarray, mask: np.ndarray) -> InpaintRequest:
        return InpaintRequest(
            image=picture,
            mask=mask,
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            seed=self.seed,
            steps=self.steps,
            guidance_scale=self.guidance_scale,
            strength=self.strength,
            scheduler=self.scheduler,
        )
