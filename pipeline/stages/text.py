"""`text`: find a thing by its name, with CLIPSeg."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from pipeline.stages.base import Stage, stage
from pipeline.stages.fields import Share, Texts, as_tuple

if TYPE_CHECKING:
    from pipeline.edit import Edit
    from pipeline.models import ModelKind, Models


@stage
class Text(Stage):
    """CLIPSeg's heat of a phrase, thresholded; the heat is kept as the artifact `heat`.

    Source: Lüddecke and Ecker, Image Segmentation Using Text and Image Prompts, CVPR 2022 (arXiv 2112.10003).
    CLIPSeg sees a square of 352 px in patches of 16, so its edges are coarse: refine them, or use `sam`.
    """

    uses: ClassVar[tuple[ModelKind, ...]] = ("clipseg",)

    phrase: Texts = Field(description="What to find, such as `the car`; of several phrases the hottest counts.")
    threshold: Share | None = Field(
        0.5, description="Heat from which a pixel is white; `null` keeps the heat as a soft mask."
    )

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`."""
        return from_heat(edit, hottest(models, edit.image, self.phrase), self.threshold)


def hottest(models: Models, image: np.ndarray, phrases: Texts) -> np.ndarray:
    """The pointwise maximum of the phrases' heats, (H, W) float32 in [0, 1], for an (H, W, 3) uint8 image."""
    return models.clipseg.heat(image, as_tuple(phrases)).max(axis=0)


def from_heat(edit: Edit, heat: np.ndarray, threshold: float | None) -> Edit:
    """The edit masked where heat >= threshold, or by the heat itself; with the heat as an artifact.

    A heat of 0 is never white: a threshold of 0 means "any trace of it".
    """
    mask = heat if threshold is None else (heat >= threshold) & (heat > 0)
    return edit.with_mask(mask, heat=heat)
