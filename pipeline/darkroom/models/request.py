"""Requests to the inpainting model."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from darkroom.models.prompts import Prompt
from darkroom.system.frozen import FrozenDict


@dataclass(frozen=True)
class Control:
    """A control model that steers a repaint by a picture.

    Attributes:
        name: of the control model in the settings.
        weight: how strongly it acts, 0 to 2; 0 changes nothing.
        image: the control picture, (h, w) or (h, w, 3) uint8, of the size of the picture to repaint.
    """

    name: str
    weight: float
    image: np.ndarray


@dataclass(frozen=True)
class InpaintRequest:
    """One picture to repaint.

    Attributes:
        image: (h, w, 3) uint8 RGB; h and w multiples of `Diffusion.multiple`.
        mask: (h, w) bool, True where the model paints.
        prompt: what to paint there, and what to avoid.
        seed: of the noise, at least 0.
        steps: of the full schedule; `int(steps * strength)` of them are run and must be at least 1.
        guidance_scale: classifier-free guidance (Ho and Salimans, arXiv 2207.12598); 1 or less turns it off.
        strength: how much noise is added to the masked picture, above 0 to 1, exactly as diffusers defines it; 1 starts
            from pure noise.
        scheduler: one of `darkroom.models.names.SCHEDULERS`.
        change_map: (h, w) float32 in [0, 1], how much each pixel may change: it keeps the original for the first
            1 - value of the steps that are run. Above 0 exactly where `mask` is True. None lets the whole mask change
            from the first step.
        controls: what else steers the repaint.
        control_end: the share of the steps in which the controls act, above 0 to 1.
        references: pictures that what is painted should resemble, (h, w, 3) uint8 RGB of any size.
        reference_weight: how strongly they act together, 0 to 2; 0 changes nothing.
        loras: LoRAs by name, with their weights.
    """

    image: np.ndarray
    mask: np.ndarray
    prompt: Prompt
    seed: int
    steps: int
    guidance_scale: float
    strength: float
    scheduler: str
    change_map: np.ndarray | None = None
    controls: tuple[Control, ...] = ()
    control_end: float = 1.0
    references: tuple[np.ndarray, ...] = ()
    reference_weight: float = 0.0
    loras: FrozenDict[str, float] = field(default_factory=FrozenDict)

    def batch_key(self) -> tuple[object, ...]:
        """Requests with the same key may share a batch."""
        return (
            self.image.shape,
            self.change_map is not None,
            self.steps,
            self.guidance_scale,
            self.strength,
            self.scheduler,
            tuple((control.name, control.weight) for control in self.controls),
            self.control_end,
            len(self.references),
            self.reference_weight,
        )


@dataclass(frozen=True)
class DiffEditMaskRequest:
    """Two prompts to compare on a picture.

    Attributes:
        image: (h, w, 3) uint8 RGB; h and w multiples of `Diffusion.multiple`.
        reference: describes the picture as it is.
        query: describes the picture as it should be.
        maps: the number of noise samples for which the predictions are compared.
        strength: the noise level, as a share of the noise schedule, above 0 to 1.
        seed: of the noises, at least 0.
    """

    image: np.ndarray
    reference: str
    query: str
    maps: int
    strength: float
    seed: int


@dataclass(frozen=True)
class DiffEditRequest:
    """One picture to encode by DDIM inversion and to decode with another prompt.

    Attributes:
        image: (h, w, 3) uint8 RGB; h and w multiples of `Diffusion.multiple`.
        mask: (h, w) bool, True where the query applies.
        reference: the prompt to encode with; None for the empty prompt.
        query: the prompt to decode with.
        steps: of the full schedule; `int(steps * ratio)` of them are run each way and must be at least 1.
        ratio: how far into the noise schedule the picture is encoded, above 0 to 1.
        guidance_scale: of the decoding; 1 or less turns it off.
    """

    image: np.ndarray
    mask: np.ndarray
    reference: str | None
    query: str
    steps: int
    ratio: float
    guidance_scale: float

    def batch_key(self) -> tuple[object, ...]:
        """Requests with the same key may share a batch."""
        return self.image.shape, self.steps, self.ratio, self.guidance_scale
