"""`text`: find an object by its name, with CLIPSeg."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from darkroom.stages.base import Problem, Stage, stage
from darkroom.stages.fields import OptionalPhrases, Phrases, Threshold, foreign_syntax_warnings
from darkroom.stages.heatmap import Space, find_heatmap, mask_from_heatmap
from darkroom.stages.markers import Prose

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models


@stage
class Text(Stage):
    """CLIPSeg's heatmap of `phrase`, less that of `without`, thresholded. The artifact `heat` keeps the heatmap.

    Source: Lüddecke and Ecker, Image Segmentation Using Text and Image Prompts, CVPR 2022 (arXiv 2112.10003).
    CLIPSeg sees a square of 352 px in patches of 16 px, so its edges are coarse: refine them, or use `snap`.
    """

    version: ClassVar[int] = 3  # reports a confidence
    uses: ClassVar[tuple[ModelKind, ...]] = ("clipseg",)
    reports_confidence: ClassVar[bool] = True

    phrase: Annotated[Phrases, Prose()] = Field(
        description="What to find, such as `the car`; of several phrases, the strongest counts."
    )
    without: Annotated[OptionalPhrases, Prose()] = Field(
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
        """See `Stage.warnings`: phrases with the syntax of another tool."""
        for key in ("phrase", "without"):
            yield from foreign_syntax_warnings(key, getattr(self, key))

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`."""
        heatmap = find_heatmap(models, edit.flattened, self.phrase, self.without, self.combine)
        return mask_from_heatmap(edit, heatmap, self.threshold)
