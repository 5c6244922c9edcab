"""`inpaint`: repaint what the mask shows after a prompt, with a diffusion model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Self

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
    places: ClassVar[tuple[str, ...]] = ("prompts_file",)
    uses: ClassVar[tuple[ModelKind, ...]] = ("inpaint",)

    prompt: Texts = Field(description="What the repainted part shows; a list makes a picture each.")
    prompts_file: str | None = Field(
        None, description="A `.txt` file in place of `prompt`: each line of it is a prompt and makes a picture."
    )
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
        if self.prompts_file is not None:
            raise ValueError("prompts_file: its prompts are put in where a recipe is composed, before it is checked")
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
        return models.batch_size

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `EmptyMask`; `PhotoError` for a part too long and narrow to work on."""
        return self.apply_together([self], [edit], models)[0]

    @classmethod
    def apply_together(cls, stages: Sequence[Self], edits: Sequence[Edit], models: Models) -> list[Edit]:
        """See `Stage.apply_together`: one call of the model, which batches what goes together."""
        jobs = [_Repaint(one, edit, to_alpha(edit.need_mask())) for one, edit in zip(stages, edits, strict=True)]
        if not all(job.alpha.any() for job in jobs):
            raise EmptyMask("nothing to repaint: the mask is empty")
        crops = [job.stage._plan(job.alpha, models) for job in jobs]
        requests = [job.request(crop) for job, crop in zip(jobs, crops, strict=True)]
        pictures = models.diffusion.inpaint(requests)
        return [job.result(crop, picture) for job, crop, picture in zip(jobs, crops, pictures, strict=True)]

    def _plan(self, alpha: np.ndarray, models: Models) -> Crop:
        native = self.resolution or models.diffusion.native
        return plan_crop(alpha, self.context if self.crop else None, native, models.diffusion.multiple)


class _Repaint(NamedTuple):
    """One repaint: the stage, the edit it works on, and the (H, W) uint8 alpha of its mask."""

    stage: Inpaint
    edit: Edit
    alpha: np.ndarray

    def request(self, crop: Crop) -> InpaintRequest:
        picture, mask = cut(self.edit.image, self.alpha, crop)
        return InpaintRequest(
            image=picture,
            mask=mask,
            prompt=self.stage.prompt,
            negative_prompt=self.stage.negative_prompt,
            seed=self.stage.seed,
            steps=self.stage.steps,
            guidance_scale=self.stage.guidance_scale,
            strength=self.stage.strength,
            scheduler=self.stage.scheduler,
        )

    def result(self, crop: Crop, picture: np.ndarray) -> Edit:
        edit, alpha = self.edit, self.alpha
        repainted = alpha if edit.repainted is None else np.maximum(edit.repainted, alpha)
        return replace(edit, image=paste(edit.image, alpha, crop, picture), repainted=repainted, artifacts={})
