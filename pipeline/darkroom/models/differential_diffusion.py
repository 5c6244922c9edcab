"""Soft masks that say how much each pixel may change: Differential Diffusion (arXiv 2306.00950)."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

from darkroom.models.latents import encode_images, to_latent_grid
from darkroom.models.request import InpaintRequest

if TYPE_CHECKING:
    import torch

    from darkroom.models.diffusers_interfaces import Pipeline


class DifferentialDiffusion:
    """Restores the original latents of a pixel for the share of the steps that its change map asks for.

    While fewer than 1 - g of the steps are done, a pixel with the value g in the change map gets the original latents
    back after each step, with the noise of the next one; after that the model continues from there. A pixel of 1
    changes freely, so a hard mask gives the same repaint as none. Source: Levin and Fried, Differential Diffusion:
    Giving Each Pixel Its Strength, 2023 (arXiv 2306.00950); here inside the mask only, as the pipeline itself keeps
    the outside.

    Args:
        pipe: an inpainting pipeline of 4 or 9 channels.
        requests: the requests of one batch, all with a `change_map`.
    """

    def __init__(self, pipe: Pipeline, requests: Sequence[InpaintRequest]) -> None:
        import torch

        self._pipe = pipe
        self._noisy: list[torch.Tensor] = []
        self._original = encode_images(pipe, [request.image for request in requests])
        change_maps = [request.change_map for request in requests if request.change_map is not None]
        self._change_map = to_latent_grid(change_maps, self._original)
        self._noise = torch.cat([self._draw_noise(request.seed) for request in requests]).to(self._original.device)

    def __call__(self, step: int, latents: torch.Tensor) -> torch.Tensor:
        """Restore latents in place, since another memory layout would change last bits, and return them.

        Args:
            step: the index of the step that has just finished.
            latents: (N, 4, h, w), the result of that step.
        """
        import torch

        steps = self._pipe.num_timesteps
        done = step + 1
        if done == steps:
            return latents
        if not self._noisy:
            self._noisy = self._noise_levels(steps)
        held = (self._change_map > 0) & (1 - self._change_map > done / steps)
        return latents.copy_(torch.where(held, self._noisy[step].to(latents.dtype), latents))

    def _noise_levels(self, steps: int) -> list[torch.Tensor]:
        """The original latents with the noise of all steps but the first, since `add_noise` may wait for the device."""
        scheduler: Any = copy(self._pipe.scheduler)
        scheduler._begin_index = scheduler._step_index = None  # so that it takes the level of the timestep it is given
        later = scheduler.timesteps[-steps:][1:]
        return [scheduler.add_noise(self._original, self._noise, timestep[None]) for timestep in later]

    def _draw_noise(self, seed: int) -> torch.Tensor:
        import torch

        return torch.randn(self._original[:1].shape, generator=torch.Generator("cpu").manual_seed(seed))
