"""`diffedit_repaint`: turn the masked object into a similar one that keeps its pose and colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from darkroom.imaging.compositing import WorkingCrop
from darkroom.models.request import DiffEditRequest
from darkroom.stages.base import GenerationSummary, Problem, stage
from darkroom.stages.fields import (
    Steps,
    Texts,
    as_tuple,
    foreign_syntax_warnings,
    needs_stable_diffusion,
    scalar,
    truncation_warnings,
)
from darkroom.stages.markers import EachValue, Prose
from darkroom.stages.repainting import Repainting

if TYPE_CHECKING:
    from darkroom.models import Models


@stage
class DiffEditRepaint(Repainting):
    """The photo is inverted to noise by DDIM, decoded with another prompt under the mask, and blended in by the mask.

    Steps 2 and 3 of Couairon et al., DiffEdit, ICLR 2023 (arXiv 2210.11427). Where the mask is 0, nothing changes. The
    mask stays for later stages.
    """

    version: ClassVar[int] = 4

    prompt: Annotated[Texts, EachValue(takes_along=True), Prose()] = Field(
        description="What the result should show; each prompt of a list makes a picture."
    )
    reference: str | None = Field(
        None,
        description="What the photo shows now, as the prompt for the inversion; `null` inverts without a "
        "prompt, as in the paper.",
    )
    ratio: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Encoding ratio: how far to invert towards noise. Lower values keep more of the photo.",
    )
    steps: Annotated[Steps, EachValue()] = Field(
        50,
        description="Steps of the full schedule; `steps` x `ratio` of them run in each direction. "
        "Each number of a list makes a picture.",
    )
    guidance_scale: float = Field(
        7.5,
        ge=0,
        le=50,
        description="Classifier-free guidance: higher values follow the prompt more strictly; 1 or less turns it off.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if int((fewest := min(as_tuple(self.steps))) * self.ratio) < 1:
            raise ValueError(f"steps {fewest} x ratio {self.ratio} runs no step at all; raise one of them")
        return self

    def summary(self) -> GenerationSummary:
        """See `Stage.summary`."""
        return GenerationSummary(
            prompt=scalar(self.prompt), settings={"Steps": self.steps, "CFG scale": self.guidance_scale}
        )

    def refusals(self, models: Models) -> Iterator[Problem]:
        """See `Stage.refusals`: inpainting checkpoints, which see the photo itself and would copy it."""
        if models.checkpoint_info.family.is_flow:
            yield "", needs_stable_diffusion(models)
        elif models.checkpoint_info.channels != 4:
            has = f"models.inpaint has {models.checkpoint_info.channels}: give another, or repaint with `inpaint`"
            yield "", f"needs a text-to-image checkpoint, with 4 channels; {has}"

    def warnings(self, models: Models) -> Iterator[Problem]:
        """See `Stage.warnings`: prompts that are cut off, or have the syntax of another tool."""
        for key, text in (("prompt", scalar(self.prompt)), ("reference", self.reference or "")):
            yield from foreign_syntax_warnings(key, text)
            yield from truncation_warnings(models, key, text, "shorten it")

    def request(self, crop: WorkingCrop, region: int) -> DiffEditRequest:
        """See `Repainting.request`."""
        return DiffEditRequest(
            image=crop.image,
            mask=crop.mask,
            reference=self.reference,
            query=scalar(self.prompt),
            steps=scalar(self.steps),
            ratio=self.ratio,
            guidance_scale=self.guidance_scale,
        )

    @classmethod
    def paint(cls, requests: Sequence[Any], models: Models) -> list[np.ndarray]:
        """See `Repainting.paint`."""
        return models.diffusion.diffedit(requests)
