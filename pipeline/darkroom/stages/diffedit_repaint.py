"""`diffedit_repaint`: turn what the mask shows into something else that keeps its pose and colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from darkroom.imaging.compositing import WorkingCrop
from darkroom.models.request import DiffEditRequest
from darkroom.stages.base import GenerationSummary, Problem, stage
from darkroom.stages.fields import Texts, literal, unread
from darkroom.stages.markers import EachValue
from darkroom.stages.repainting import Repainting

if TYPE_CHECKING:
    from darkroom.models import Models


@stage
class DiffEditRepaint(Repainting):
    """The photo inverted to noise by DDIM and decoded with another text under the mask, blended back by the mask.

    Steps 2 and 3 of Couairon et al., DiffEdit, ICLR 2023 (arXiv 2210.11427). Where the mask is 0 (below 1/510) not a
    bit changes. The mask stays, for another stage.
    """

    version: ClassVar[int] = 2

    prompt: Annotated[Texts, EachValue()] = Field(
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
    steps: int = Field(
        50, ge=1, le=1000, description="Steps of the full schedule; `steps` x `ratio` of them run in each direction."
    )
    guidance_scale: float = Field(
        7.5,
        ge=0,
        le=50,
        description="Classifier-free guidance: higher values follow the prompt more strictly; 1 or less turns it off.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if int(self.steps * self.ratio) < 1:
            raise ValueError(f"steps {self.steps} x ratio {self.ratio} runs no step at all; raise one of them")
        return self

    def summary(self) -> GenerationSummary:
        """See `Stage.summary`."""
        return GenerationSummary(prompt=self.prompt, settings={"Steps": self.steps, "CFG scale": self.guidance_scale})

    def refusals(self, models: Models) -> Iterator[Problem]:
        """See `Stage.refusals`: a checkpoint for inpainting, which is shown what it ought to make out by itself."""
        if models.checkpoint_info.channels != 4:
            has = f"models.inpaint has {models.checkpoint_info.channels}: give another, or repaint with `inpaint`"
            yield "", f"needs a text-to-image checkpoint, with 4 channels; {has}"

    def warnings(self, models: Models) -> Iterator[Problem]:
        """See `Stage.warnings`: the words that are cut off, and signs that are read as words."""
        for key, text in (("prompt", self.prompt), ("reference", self.reference or "")):
            yield from literal(key, text)
            yield from unread(models, key, text, "shorten it")

    def request(self, part: WorkingCrop, region: int) -> DiffEditRequest:
        """See `Repainting.request`."""
        return DiffEditRequest(
            image=part.image,
            mask=part.mask,
            reference=self.reference,
            query=self.prompt,
            steps=self.steps,
            ratio=self.ratio,
            guidance_scale=self.guidance_scale,
        )

    @classmethod
    def paint(cls, requests: Sequence[DiffEditRequest], models: Models) -> list[np.ndarray]:
        """See `Repainting.paint`."""
        return models.diffusion.diffedit(requests)
