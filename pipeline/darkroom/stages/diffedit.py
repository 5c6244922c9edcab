"""`diffedit`: find the area that would change for another prompt, with the diffusion model itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
from PIL import Image
from pydantic import Field, model_validator

from darkroom.imaging.compositing import to_working_crop
from darkroom.imaging.crops import CropPlanner
from darkroom.models.request import DiffEditMaskRequest
from darkroom.stages.base import Problem, Stage, stage
from darkroom.stages.fields import (
    Resolution,
    Share,
    foreign_syntax_warnings,
    needs_stable_diffusion,
    truncation_warnings,
)
from darkroom.stages.heatmap import mask_from_heatmap
from darkroom.stages.markers import RandomSeed

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models


@stage
class DiffEdit(Stage):
    """The difference of the model's noise predictions for two prompts, thresholded. Keeps it as the artifact `heat`.

    Step 1 of Couairon et al., DiffEdit, ICLR 2023 (arXiv 2210.11427). The photo is encoded as the mode of the
    autoencoder's posterior, so that `seed` determines the noise only.
    """

    version: ClassVar[int] = 3
    uses: ClassVar[tuple[ModelKind, ...]] = ("inpaint",)
    reports_confidence: ClassVar[bool] = True

    reference: str = Field(description="What the photo shows now, such as `a horse on a meadow`.")
    query: str = Field(description="What it should show, such as `a zebra on a meadow`.")
    maps: int = Field(10, ge=1, le=1000, description="Number of noise samples to average over.")
    strength: float = Field(0.5, gt=0, le=1, description="Noise level: 0 is the photo, 1 is pure noise.")
    clamp: float = Field(
        3,
        ge=1,
        le=100,
        description="The heatmap is 1 where the difference reaches this multiple of its mean over the photo; "
        "higher values are clipped.",
    )
    threshold: Share | None = Field(
        0.5, description="Minimum heatmap value for a white pixel; `null` uses the heatmap as a soft mask."
    )
    seed: Annotated[int, RandomSeed()] = Field(
        0, ge=0, lt=2**63, description="Random seed; also `random`, or `{per_photo: true}`."
    )
    resolution: Resolution = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.reference == self.query:
            raise ValueError("`reference` and `query` are the same text, so there is nothing to find")
        return self

    def refusals(self, models: Models) -> Iterator[Problem]:
        """See `Stage.refusals`: painters whose predictions cannot be compared."""
        if models.checkpoint_info.family.is_flow:
            yield "", needs_stable_diffusion(models)

    def warnings(self, models: Models) -> Iterator[Problem]:
        """See `Stage.warnings`: prompts that are cut off, or have the syntax of another tool."""
        for key in ("reference", "query"):
            yield from foreign_syntax_warnings(key, getattr(self, key))
            yield from truncation_warnings(models, key, getattr(self, key), "shorten it")

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `PhotoError` for a photo that is too long and narrow."""
        heatmap = relative_to_mean(models.diffusion.diffedit_map(self._request(edit.flattened, models)), self.clamp)
        enlarged = Image.fromarray(heatmap).resize(edit.size, Image.Resampling.BILINEAR)
        return mask_from_heatmap(edit, np.asarray(enlarged), self.threshold)

    def _request(self, image: np.ndarray, models: Models) -> DiffEditMaskRequest:
        """The request for the whole photo, at the model's working size."""
        height, width = image.shape[:2]
        everything = np.full((height, width), 255, np.uint8)
        native = self.resolution or models.diffusion.native
        crop = CropPlanner((height, width), native, models.diffusion.multiple).photo()
        return DiffEditMaskRequest(
            image=to_working_crop(image, everything, crop).image,
            reference=self.reference,
            query=self.query,
            maps=self.maps,
            strength=self.strength,
            seed=self.seed,
        )


def relative_to_mean(differences: np.ndarray, clamp: float) -> np.ndarray:
    """Differences, at least 0, divided by `clamp` times their mean and clipped to 1; all 0 if all differences are."""
    top = np.float32(clamp * differences.mean())
    return np.minimum(differences / top, np.float32(1)) if top else np.zeros_like(differences)
