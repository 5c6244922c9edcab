"""Where two prompts make a diffusion model predict different noise: step 1 of DiffEdit (arXiv 2210.11427)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from darkroom.models.denoiser import Denoiser
from darkroom.models.latents import encode_images
from darkroom.models.prompts import encode_texts
from darkroom.models.request import DiffEditMaskRequest
from darkroom.models.schedulers import build_scheduler
from darkroom.system.profiling import spanned

if TYPE_CHECKING:
    import torch

    from darkroom.models.diffusers_interfaces import Pipeline, Scheduler


class DiffEditMask:
    """A picture, two prompts, and the noises under which the model's predictions are compared.

    There is no guidance, and predicted velocities are compared just as predicted noise is. Guidance would multiply all
    differences by its scale, and velocity does so by a constant of the noise level; neither matters once a map is
    divided by its mean.

    Args:
        pipe: the model.
        base_scheduler: the checkpoint's, for its noise schedule; which sampler it is does not matter.
        request: the picture and the prompts.

    Attributes:
        noises: (1, 4, h, w) each; `DiffEditMaskRequest.maps` of them.
    """

    def __init__(self, pipe: Pipeline, base_scheduler: Scheduler, request: DiffEditMaskRequest) -> None:
        import torch

        self._scheduler = build_scheduler("ddim", base_scheduler)  # adds noise as in the UNet's training
        self._timestep = round(request.strength * (self._scheduler.config.num_train_timesteps - 1))
        self._denoise = Denoiser(pipe, *request.image.shape[:2])
        self._prompts = encode_texts(pipe, [request.reference, request.query])
        self._latents = encode_images(pipe, [request.image])
        generator = torch.Generator("cpu").manual_seed(request.seed)
        # Drawn one by one, so that `maps: 20` begins with the noises of `maps: 10`.
        self.noises = [torch.randn(self._latents.shape, generator=generator) for _ in range(request.maps)]

    @spanned("denoise")
    def maps(self, noises: Sequence[torch.Tensor]) -> list[np.ndarray]:
        """The distance of the two predictions under each noise, (rows, columns) float32 on the grid of latents."""
        import torch

        count = len(noises)
        noise = torch.cat(list(noises)).to(self._latents.device)
        timesteps = torch.full((count,), self._timestep, device=noise.device)
        noisy = self._scheduler.add_noise(self._latents.expand_as(noise), noise, timesteps)
        noise_preds = self._denoise(noisy.repeat(2, 1, 1, 1), self._timestep, self._prompts.repeated(count))
        return list((noise_preds[:count] - noise_preds[count:]).abs().mean(dim=1).cpu().numpy())
