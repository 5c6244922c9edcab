"""`upscale`: deliver the picture larger."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from darkroom.errors import PhotoError
from darkroom.imaging.framing import MAX_SCALE, MAX_SIDE, Framing, enlarged, framed
from darkroom.imaging.unreadable import MAX_PIXELS
from darkroom.stages.base import Stage, stage

if TYPE_CHECKING:
    from darkroom.imaging.edit import Edit
    from darkroom.models import ModelKind, Models


@stage
class Upscale(Stage):
    """Enlarges the delivered picture, with a Lanczos filter or with the network of `models.upscale`.

    Picture and mask keep the photo's size, and the paste-back contract holds for them. The network sees the finished
    picture, after a `frame` its framed part, and enlarges it in tiles. Masks, cut-outs and backgrounds in `results/`
    are enlarged by a Lanczos filter, so that they fit the picture.
    """

    frames: ClassVar[bool] = True
    enlarges: ClassVar[bool] = True
    uses: ClassVar[tuple[ModelKind, ...]] = ("upscale",)

    scale: float = Field(
        2,
        gt=1,
        le=MAX_SCALE,
        description="How many times wider and higher the picture becomes. A network of another scale runs at its own, "
        "and its picture is resized.",
    )

    def apply(self, edit: Edit, models: Models) -> Edit:
        """See `Stage.apply`. Raises `PhotoError` if the enlarged picture is larger than a picture may be."""
        framing = edit.framing
        pixels, alpha = edit.image, edit.opacity
        if framing:
            pixels, alpha = framed(framing, pixels, alpha, edit.icc)
        after = _larger(framing or _whole(edit.size), self.scale)
        size, network = (after.width, after.height), models.upscale
        colours = enlarged(pixels, size) if network is None else network.enlarge(pixels, size)
        share = None if alpha is None else enlarged(alpha, size)
        picture = colours if share is None else np.dstack([colours, share])
        figures = {"x": after.x, "y": after.y, "scale": after.scale, "width": after.width, "height": after.height}
        return replace(edit, framing=after, enlarged=picture, figures=figures, artifacts={})

    def framing(self, figures: Mapping[str, float]) -> Framing:
        """See `Stage.framing`."""
        return Framing.from_figures(figures)


def _whole(size: tuple[int, int]) -> Framing:
    return Framing(0.0, 0.0, 1.0, *size)


def _larger(framing: Framing, scale: float) -> Framing:
    """The same region, scaled up. Raises `PhotoError` beyond the limits of `Framing`."""
    width, height = round(framing.width * scale), round(framing.height * scale)
    product = framing.scale * scale
    if product == 1:  # after a frame that made it smaller: such a region need not begin at whole pixels
        product = math.nextafter(1, 2)
    try:
        return replace(framing, scale=product, width=width, height=height)
    except PhotoError:
        most = _most(framing)
        advice = f"at most {most:.4g}" if most > 1 else "leave `upscale` out"
        size = f"{framing.width} x {framing.height} px"
        raise PhotoError(f"`scale: {scale:g}` makes a picture of {size} too large; {advice}") from None


def _most(framing: Framing) -> float:
    """How many times a picture can be enlarged, rounded down to hundredths."""
    sides, pixels = (framing.width, framing.height), framing.width * framing.height
    most = min(MAX_SIDE / max(sides), math.sqrt(MAX_PIXELS / pixels), MAX_SCALE / framing.scale, MAX_SCALE)
    return math.floor(most * 100) / 100
