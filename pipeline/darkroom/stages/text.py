"""`text`: find a thing by its name, with CLIPSeg."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from darkroom.stages.base import Problem, Stage, stage
from darkroom.stages.fields import OptionalTexts, Texts, Threshold, literal
from darkroom.stages.heatmap import Space, from_heat, heat_of

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models


@stage
class Text(Stage):
    """CLIPSeg's heat of phrases but not of others, thresholded; the heat is kept as the artifact `heat`.

    Source: Lüddecke and Ecker, Image Segmentation Using Text and Image Prompts, CVPR 2022 (arXiv 2112.10003).
    CLIPSeg sees a square of 352 px in patches of 16, so its edges are coarse: refine them, or use `snap`.
    """

    version: ClassVar[int] = 3  # says how sure it is
    uses: ClassVar[tuple[ModelKind, ...]] = ("clipseg",)
    reports_confidence: ClassVar[bool] = True

    phrase: Texts = Field(description="What to find, such as `the car`; of several phrases, the strongest counts.")
    without: OptionalTexts = Field(
        (), description="Similar-looking things to avoid, such as `the truck`; one phrase or several."
    )
    combine: Space = "logit"
    threshold: Threshold | None = Field(
        0.5,
        description="Minimum heatmap value for a white pixel. `otsu`: a threshold computed for each photo by "
        "Otsu's method. `p90`: the highest 10 % of the photo's pixels. Both always find "
        "something. `null`: use the heatmap as a soft mask.",
    )

    def warnings(self, models: Models) -> Iterator[Problem]:
        """See `Stage.warnings`: signs that are read as words."""
        for key in ("phrase", "without"):
            yield from literal(key, getattr(self, key))

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`."""
        heat = heat_of(models, edit.flattened, self.phrase, self.without, self.combine)
        return from_heat(edit, heat, self.threshold)
