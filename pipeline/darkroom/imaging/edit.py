"""`Edit`: one photo part-way through a recipe. It knows arrays only: no files, no models, no stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from darkroom.errors import PhotoError
from darkroom.imaging.bands import bands, by_bands
from darkroom.imaging.compositing import fill_alpha, flatten

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Edit:
    """A photo and what the stages so far have made of it. Stages return new edits; arrays are never written to.

    Attributes:
        original: the photo as decoded and upright, (H, W, 3) uint8 RGB. The same object through all stages.
        image: the picture so far, (H, W, 3) uint8 RGB; equal to `original` before the first repaint.
        mask: where the next repaint acts, (H, W) float32 in [0, 1] in steps of 1/255, so that the PNG that is
            kept of it is the mask itself; 1 (white) means repaint; None before the first mask stage.
        confidence: how sure the stage was that found the mask, 0 to 1; None where it does not say. Stages that work
            on a mask hand it on.
        masks: the masks after earlier stages, by stage name, as far as later ones ask for them; `confidences`: how sure
            every earlier stage was.
        repainted: (H, W) uint8, the alpha of everything repainted so far (the pointwise maximum over the passes);
            None before the first repaint. Where it is 0 the image equals the original bit for bit.
        alpha: the photo's own transparency, (H, W) uint8, or None for an opaque photo.
        name: the photo's file name, for stages that match files to it, such as `mask_file`.
        artifacts: what the latest stage wants kept besides mask and image, by label: (H, W) float32 in [0, 1].
        figures: what the latest stage has measured and wants recorded, by label.
    """

    original: np.ndarray
    image: np.ndarray
    mask: np.ndarray | None = None
    confidence: float | None = None
    masks: Mapping[str, np.ndarray] = field(default_factory=lambda: _EMPTY)
    confidences: Mapping[str, float | None] = field(default_factory=lambda: _EMPTY)
    repainted: np.ndarray | None = None
    alpha: np.ndarray | None = None
    name: str = ""
    artifacts: Mapping[str, np.ndarray] = field(default_factory=lambda: _EMPTY)
    figures: Mapping[str, float] = field(default_factory=lambda: _EMPTY)

    @property
    def opacity(self) -> np.ndarray | None:
        """The transparency of the picture so far, (H, W) uint8: the photo's, filled where something was repainted."""
        return self.alpha if self.alpha is None or self.repainted is None else fill_alpha(self.alpha, self.repainted)

    @property
    def flattened(self) -> np.ndarray:
        """The picture so far as people see it, (H, W, 3) uint8: on white paper. It is what models get to see."""
        return self.image if self.alpha is None else flatten(self.image, self.opacity)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.original.shape[1], self.original.shape[0]

    def with_mask(self, mask: np.ndarray, confidence: float | None = None, **artifacts: np.ndarray) -> Edit:
        """This edit with another mask.

        Args:
            mask: (H, W) bool or float; clipped to [0, 1], rounded to steps of 1/255.
            confidence: see above; clipped to [0, 1], and rounded, as it is recorded.
            artifacts: see above.
        """
        sure = None if confidence is None else round(min(max(float(confidence), 0.0), 1.0), 4)
        figures = {} if sure is None else {"confidence": sure}
        return replace(self, mask=by_bands(_in_steps, mask), confidence=sure, artifacts=artifacts, figures=figures)

    def with_image(self, image: np.ndarray, alpha: np.ndarray) -> Edit:
        """This edit repainted once more.

        Args:
            image: (H, W, 3) uint8 RGB.
            alpha: (H, W) uint8, the share of new picture; where it is 0 the image is what it was.
        """
        repainted = alpha if self.repainted is None else np.maximum(self.repainted, alpha)
        return replace(self, image=image, repainted=repainted, artifacts=_EMPTY, figures=_EMPTY)

    def need_mask(self) -> np.ndarray:
        """The mask; raises `PhotoError` where no stage has made one."""
        if self.mask is None:
            raise PhotoError("there is no mask yet: put a mask stage such as `sam` or `grabcut` before this one")
        return self.mask

    def outside_max_diff(self) -> int:
        """The largest difference, 0 to 255, between image and original where nothing was repainted."""
        if self.image is self.original:
            return 0
        largest = 0
        for rows in bands(*self.original.shape[:2]):
            new, old = self.image[rows], self.original[rows]
            difference = np.maximum(new, old) - np.minimum(new, old)
            if self.repainted is not None:
                difference[self.repainted[rows] > 0] = 0
            largest = max(largest, int(difference.max(initial=0)))
        return largest


def _in_steps(mask: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(np.asarray(mask, np.float32), 0, 1) * np.float32(255)) / np.float32(255)
