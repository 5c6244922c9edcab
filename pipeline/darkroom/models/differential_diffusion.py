"""Soft masks that say how much each pixel may change: Differential Diffusion (arXiv 2306.00950)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from darkroom.models.latents import encode, to_latent_grid
from darkroom.models.request import InpaintRequest

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline


class DifferentialDiffusion:
    """Holds each grey place of the mask to the old picture for its share of the steps.

    After a step, a place of grey g is put back to the old picture, with the noise of the next step, for as long as less
    than 1 - g of the steps are done; from then on the model goes on with what it finds there. So white changes freely,
    and a hard mask changes nothing about a repaint. Source: Levin and Fried, Differential Diffusion: Giving
    Each Pixel Its Strength, 2023 (arXiv 2306.00950), here within the mask, as the outside is the pipeline's to keep.

    Args:
        pipe: an inpainting pipeline of 4 or 9 channels.
        requests: the requests of one batch, all with a `change_map`.
    """

    def __init__(self, pipe: DiffusionPipeline, requests: Sequence[InpaintRequest]) -> None:
        import torch

        self._pipe = pipe
        self._old = encode(pipe, [request.image for request in requests])
        self._change_map = to_latent_grid([request.change_map for request in requests], self._old)
        self._noise = torch.cat([self._draw(request.seed) for request in requests]).to(self._old.device)

    def __call__(self, step: int, latents: torch.Tensor) -> torch.Tensor:
        """What the pipeline goes on with, in place: another layout in memory would alter last bits.

        Args:
            step: how many steps were done before the one that has just been done.
            latents: (N, 4, h, w), its outcome.
        """
        import torch

        steps = self._pipe.num_timesteps
        done = step + 1
        if done == steps:
            return latents
        time = self._pipe.scheduler.timesteps[-steps:][done]
        noisy = self._pipe.scheduler.add_noise(self._old, self._noise, time[None])
        held = (self._change_map > 0) & (1 - self._change_map > done / steps)
        return latents.copy_(torch.where(held, noisy.to(latents.dtype), latents))

    def _draw(self, seed: int) -> torch.Tensor:
        import torch

        return torch.randn(self._old[:1].shape, generator=torch.Generator("cpu").manual_seed(seed))
