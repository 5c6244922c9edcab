"""`Edit`: one photo part-way through a recipe. Arrays only: no files, no models, no stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from darkroom.errors import PhotoError
from darkroom.imaging.compositing import fill_alpha, flatten
from darkroom.imaging.framing import Framing
from darkroom.imaging.layers import Layers
from darkroom.imaging.masks import to_uint8
from darkroom.imaging.paste_back import outside_max_diff

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Edit:
    """A photo on its way through the stages: the picture so far, the mask so far, and what the latest stage reports.

    Immutable: a stage returns a new edit and never writes to an array of the one it was given. All arrays are uint8.

    Attributes:
        original: the photo as decoded and upright, (H, W, 3) uint8 RGB. The same object through all stages.
        image: the picture so far, (H, W, 3) uint8 RGB; equal to `original` before the first repaint.
        mask: where the next repaint acts, (H, W) uint8: 0 keeps, 255 (white) repaints, values between make soft edges.
            None before the first mask stage.
        layers: the unmixed colours in the soft edge of `mask`, from a `matte` stage; None if they are unknown. `invert`
            swaps them; other stages that change the mask drop them.
        confidence: the confidence of the stage that found the mask, 0 to 1; None if it reports none. Stages that change
            a mask keep it.
        masks: the masks of earlier stages that a later stage needs, by stage name, (H, W) uint8.
        confidences: the confidence of every earlier mask stage, by stage name.
        repainted: (H, W) uint8, how much of the new picture shows: the maximum of the blend masks of all repaints so
            far. None before the first repaint. Where it is 0 the image equals the original bit for bit.
        alpha: the photo's own transparency, (H, W) uint8, or None for an opaque photo.
        icc: the RGB colour profile of all pictures here, as in the photo's file; None means sRGB.
        framing: the geometry of the delivered picture, from a `frame` or `upscale` stage; None for the photo's own.
        enlarged: the delivered picture, from an `upscale` stage, (h, w, 3) or, with alpha, (h, w, 4) uint8.
        name: the photo's file name, for stages that match files to it, such as `mask_file`.
        artifacts: extra pictures of the latest stage, by label, (H, W) uint8.
        figures: measurements of the latest stage for the journal, by label.
    """

    original: np.ndarray
    image: np.ndarray
    mask: np.ndarray | None = None
    layers: Layers | None = None
    confidence: float | None = None
    masks: Mapping[str, np.ndarray] = field(default_factory=lambda: _EMPTY)
    confidences: Mapping[str, float | None] = field(default_factory=lambda: _EMPTY)
    repainted: np.ndarray | None = None
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    framing: Framing | None = None
    enlarged: np.ndarray | None = None
    name: str = ""
    artifacts: Mapping[str, np.ndarray] = field(default_factory=lambda: _EMPTY)
    figures: Mapping[str, float] = field(default_factory=lambda: _EMPTY)

    @property
    def opacity(self) -> np.ndarray | None:
        """The alpha of the picture so far, (H, W) uint8: the photo's, raised where something was repainted."""
        return self.alpha if self.alpha is None or self.repainted is None else fill_alpha(self.alpha, self.repainted)

    @property
    def flattened(self) -> np.ndarray:
        """The picture so far over white, (H, W, 3) uint8. Models see this: a transparent pixel may hide any colour."""
        opacity = self.opacity
        return self.image if opacity is None else flatten(self.image, opacity)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.original.shape[1], self.original.shape[0]

    def with_mask(
        self,
        mask: np.ndarray,
        confidence: float | None = None,
        *,
        layers: Layers | None = None,
        artifacts: Mapping[str, np.ndarray] = _EMPTY,
    ) -> Edit:
        """This edit with another mask.

        Args:
            mask: (H, W) uint8, bool, or float in [0, 1]; see `to_uint8`.
            confidence: 0 to 1, clipped, and rounded to four digits as in the journal.
            layers: the unmixed colours in its soft edge; None if they are unknown.
            artifacts: (H, W) uint8, bool, or float in [0, 1], by label.
        """
        sure = None if confidence is None else round(min(max(float(confidence), 0.0), 1.0), 4)
        figures = {} if sure is None else {"confidence": sure}
        pictures = {label: to_uint8(picture) for label, picture in artifacts.items()}
        mask = to_uint8(mask)
        return replace(self, mask=mask, layers=layers, confidence=sure, artifacts=pictures, figures=figures)

    def with_image(self, image: np.ndarray, blend_mask: np.ndarray, layers: Layers | None = None) -> Edit:
        """This edit repainted once more.

        Args:
            image: (H, W, 3) uint8 RGB.
            blend_mask: (H, W) uint8, the share of the new picture in `image`; where it is 0 the image did not change.
            layers: the unmixed colours of `image` in the soft edge of the mask; None if they are unknown.
        """
        repainted = blend_mask if self.repainted is None else np.maximum(self.repainted, blend_mask)
        return replace(self, image=image, layers=layers, repainted=repainted, artifacts=_EMPTY, figures=_EMPTY)

    def need_mask(self) -> np.ndarray:
        """The mask; raises `PhotoError` where no stage has made one."""
        if self.mask is None:
            raise PhotoError("there is no mask yet: put a mask stage such as `subject` or `sam` before this one")
        return self.mask

    def outside_max_diff(self) -> int:
        """The largest difference, 0 to 255, between image and original where nothing was repainted."""
        if self.image is self.original:
            return 0
        return outside_max_diff(self.image, self.original, self.repainted)
