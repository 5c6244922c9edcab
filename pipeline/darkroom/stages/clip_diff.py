"""`clip_diff`: find where a photo shows one thing rather than another, with CLIPSeg."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from darkroom.stages.base import Problem, Stage, stage
from darkroom.stages.fields import Phrases, Threshold, foreign_syntax_warnings
from darkroom.stages.heatmap import find_heatmap, mask_from_heatmap

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models


@stage
class ClipDiff(Stage):
    """CLIPSeg's heatmap of `source` minus that of `target`, clipped at 0 and thresholded; kept as the artifact `heat`.

    The idea of DiffEdit (Couairon et al., ICLR 2023, arXiv 2210.11427): two texts that differ only in the
    object to change show where it is. DiffEdit compares the noise predictions of a diffusion model, this stage
    CLIPSeg's heatmaps. To blur before thresholding, use `threshold: null` and then `refine`.
    """

    version: ClassVar[int] = 3  # reports a confidence
    uses: ClassVar[tuple[ModelKind, ...]] = ("clipseg",)
    reports_confidence: ClassVar[bool] = True

    source: Phrases = Field(description="What the photo shows, such as `horse`; one phrase or several.")
    target: Phrases = Field(description="What it must not be confused with, such as `zebra`; one phrase or several.")
    threshold: Threshold | None = Field(
        0.3,  # a difference is lower than either heatmap; IoU .74 for the miniature's horse beside a zebra
        description="Minimum difference for a white pixel; `otsu`, `p90` and `null` work as in `text`.",
    )

    def warnings(self, models: Models) -> Iterator[Problem]:
        """See `Stage.warnings`: phrases with the syntax of another tool."""
        for key in ("source", "target"):
            yield from foreign_syntax_warnings(key, getattr(self, key))

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`."""
        heatmap = find_heatmap(models, edit.flattened, self.source, self.target, "probability")
        return mask_from_heatmap(edit, heatmap, self.threshold)
