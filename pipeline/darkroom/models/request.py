"""What the inpainting model is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darkroom.models.prompts import Prompt


@dataclass(frozen=True)
class InpaintRequest:
    """One picture to repaint.

    Attributes:
        image: (h, w, 3) uint8 RGB; h and w multiples of `Diffusion.multiple`.
        mask: (h, w) bool, True where the model paints.
        prompt: what to paint there, and what to keep out.
        seed: of the noise, at least 0.
        steps: of the full schedule; `int(steps * strength)` of them are run and must be at least 1.
        guidance_scale: classifier-free guidance (Ho and Salimans, arXiv 2207.12598); 1 and less is none.
        strength: how far the masked picture is drowned in noise, above 0 to 1, exactly as diffusers defines
            it; 1 starts from pure noise.
        scheduler: one of `darkroom.models.names.SCHEDULERS`.
        change_map: (h, w) float32, how much of the mask may change, above 0 to 1: it is held to the old picture for the
            first 1 - grey of the steps that are run. 0 outside the mask. None for all from the start.
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

    def shared(self) -> tuple[object, ...]:
        """What the pictures of one batch must have in common."""
        return (
            self.image.shape,
            self.change_map is not None,
            self.steps,
            self.guidance_scale,
            self.strength,
            self.scheduler,
        )


@dataclass(frozen=True)
class DiffEditMaskRequest:
    """Two texts to contrast on a picture.

    Attributes:
        image: (h, w, 3) uint8 RGB; h and w multiples of `Diffusion.multiple`.
        reference: what the picture shows.
        query: what it shall show.
        maps: under how many noises the model is asked.
        strength: where in the noise schedule these are, above 0 to 1.
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
    """One picture to encode by DDIM inversion and to decode with another text.

    Attributes:
        image: (h, w, 3) uint8 RGB; h and w multiples of `Diffusion.multiple`.
        mask: (h, w) bool, True where the new text acts.
        reference: the text to encode with; None for no text.
        query: the text to decode with.
        steps: of the full schedule; `int(steps * ratio)` of them are run each way and must be at least 1.
        ratio: how far into the noise schedule it is encoded, above 0 to 1.
        guidance_scale: of the decoding; 1 and less is none.
    """

    image: np.ndarray
    mask: np.ndarray
    reference: str | None
    query: str
    steps: int
    ratio: float
    guidance_scale: float

    def shared(self) -> tuple[object, ...]:
        """What the pictures of one batch must have in common."""
        return self.image.shape, self.steps, self.ratio, self.guidance_scale
