"""`clip_diff`: find where a photo shows one thing rather than another, with CLIPSeg."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from darkroom.stages.base import Problem, Stage, stage
from darkroom.stages.fields import Texts, Threshold, literal
from darkroom.stages.heatmap import from_heat, heat_of

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models


@stage
class ClipDiff(Stage):
    """CLIPSeg's heat of `source` minus that of `target`, at least 0; kept as the artifact `heat`.

    The idea of DiffEdit (Couairon et al., ICLR 2023, arXiv 2210.11427): two texts that differ only in what is
    to change tell where to change it. DiffEdit contrasts a diffusion model's noise estimates, this stage
    CLIPSeg's heats. To follow it with a blur and one's own threshold: `threshold: null`, then `refine`.
    """

    version: ClassVar[int] = 3  # says how sure it is
    uses: ClassVar[tuple[ModelKind, ...]] = ("clipseg",)
    reports_confidence: ClassVar[bool] = True

    source: Texts = Field(description="What the photo shows, such as `horse`; one phrase or several.")
    target: Texts = Field(description="What it must not be confused with, such as `zebra`; one phrase or several.")
    threshold: Threshold | None = Field(
        0.3,  # a difference is lower than either heat; IoU .74 for the miniature's horse beside a zebra
        description="Minimum difference for a white pixel; `otsu`, `p90` and `null` work as in `text`.",
    )

    def warnings(self, models: Models) -> Iterator[Problem]:
        """See `Stage.warnings`: signs that are read as words."""
        for key in ("source", "target"):
            yield from literal(key, getattr(self, key))

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`."""
        heat = heat_of(models, edit.flattened, self.source, self.target, "probability")
        return from_heat(edit, heat, self.threshold)
