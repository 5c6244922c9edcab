"""`matte`: turn a mask into alpha with fine edges, and find the colours on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from darkroom.imaging.matting import guided_alpha, modelled_alpha
from darkroom.imaging.strands import strands_alpha
from darkroom.imaging.unmixing import unmixed
from darkroom.stages.base import Problem, Stage, stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models


@stage
class Matte(Stage):
    """The mask's edge follows hair, fur and spokes, and each pixel of it gets the unmixed colours of both sides.

    A band around the edge is unknown; there, alpha says how much of each pixel belongs to what the mask covers. Later
    repaints and cut-outs use the unmixed colours, so that the old background does not shine through the edge.

    `models.matting` chooses how alpha is found. By default it is a colour guided filter and needs no model.
    """

    needs_mask: ClassVar[bool] = True
    uses: ClassVar[tuple[ModelKind, ...]] = ("matting",)

    band: float = Field(
        0.01,
        gt=0,
        le=0.25,
        description="How far from the mask's edge alpha is unknown, on both sides, as a share of the photo's longer "
        "side. Farther away, a grey mask becomes black or white.",
    )
    strands: bool = Field(
        False,
        description="Look for loose hair, fur and spokes up to 0.05 of the longer side from the mask's edge, where the "
        "edge is full of thin structures. `band` then counts elsewhere.",
    )

    def refusals(self, models: Models) -> Iterator[Problem]:
        """See `Stage.refusals`: strands are found by colours, not by another method."""
        if self.strands and models.matting_needs_model:
            yield "strands", "works with models.matting=guided only; for another method, set a wider `band`"

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `PhotoError` if `models.matting` cannot work on this photo."""
        shown, mask, model = edit.flattened, edit.need_mask(), models.matting
        if model is None:
            find = strands_alpha if self.strands else guided_alpha
            alpha = find(shown, mask, self.band)
        else:
            alpha = modelled_alpha(shown, mask, self.band, model.alpha)
        return edit.with_mask(alpha, edit.confidence, layers=unmixed(shown, alpha))
