"""Where two texts make a diffusion model see something else: step 1 of DiffEdit (arXiv 2210.11427)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from darkroom.models.denoiser import Denoiser
from darkroom.models.latents import encode
from darkroom.models.prompts import read
from darkroom.models.request import DiffEditMaskRequest
from darkroom.models.schedulers import build_scheduler

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline, SchedulerMixin


class DiffEditMask:
    """A picture, two texts and the noises under which the model is asked about them.

    Guidance would multiply all differences by its scale, and velocity instead of noise by a constant of the noise
    level. Neither shows once a map is seen relative to its mean, so there is no guidance, and the UNet's outputs are
    taken as they are.

    Args:
        pipe: the model.
        base_scheduler: the checkpoint's scheduler, for its noise schedule; which sampler it is does not matter.
        request: what to contrast.
    """

    def __init__(self, pipe: DiffusionPipeline, base_scheduler: SchedulerMixin, request: DiffEditMaskRequest) -> None:
        import torch

        self._schedule = build_scheduler("ddim", base_scheduler)  # adds noise as the UNet was trained to see it
        self._time = round(request.strength * (self._schedule.config.num_train_timesteps - 1))
        self._predict = Denoiser(pipe, *request.image.shape[:2])
        self._texts = read(pipe, [request.reference, request.query])
        self._latents = encode(pipe, [request.image])
        generator = torch.Generator("cpu").manual_seed(request.seed)
        # One after the other: drawn together, the first of ten would not be the first of twenty.
        self.noises = [torch.randn(self._latents.shape, generator=generator) for _ in range(request.maps)]

    def maps(self, noises: Sequence[torch.Tensor]) -> list[np.ndarray]:
        """How far apart the two noise_preds are under each noise, (rows, columns) float32 on the latents' grid."""
        import torch

        count = len(noises)
        drawn = torch.cat(list(noises)).to(self._latents.device)
        times = torch.full((count,), self._time, device=drawn.device)
        noisy = self._schedule.add_noise(self._latents.expand_as(drawn), drawn, times)
        noise_preds = self._predict(noisy.repeat(2, 1, 1, 1), self._time, self._texts.repeated(count))
        return list((noise_preds[:count] - noise_preds[count:]).abs().mean(dim=1).cpu().numpy())
