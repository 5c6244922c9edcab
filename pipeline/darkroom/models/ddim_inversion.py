"""Steps 2 and 3 of DiffEdit (arXiv 2210.11427): encode by DDIM inversion, decode under the mask with another text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from darkroom.models.denoiser import Denoiser
from darkroom.models.latents import decode, encode, to_latent_grid
from darkroom.models.prompts import PromptEmbeds, read
from darkroom.models.request import DiffEditRequest
from darkroom.models.schedulers import build_scheduler

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline, SchedulerMixin


def invert_and_decode(
    pipe: DiffusionPipeline, base_scheduler: SchedulerMixin, requests: Sequence[DiffEditRequest]
) -> list[np.ndarray]:
    """All requests in one batch; they must agree in `DiffEditRequest.shared`.

    Args:
        pipe: a text-to-image model.
        base_scheduler: the checkpoint's scheduler, for its noise schedule and what its UNet predicts.
        requests: what to edit.

    Returns:
        (h, w, 3) uint8 RGB for each request.

    Raises:
        PhotoError: the model gave not-a-number.
    """
    first = requests[0]
    predict = Denoiser(pipe, *first.image.shape[:2])
    ddim = Ddim(base_scheduler, first.steps, first.ratio, predict)
    reference, query = (read(pipe, [getattr(each, name) for each in requests]) for name in ("reference", "query"))
    nothing = read(pipe, [None] * len(requests)) if first.guidance_scale > 1 else None
    latents = encode(pipe, [each.image for each in requests])
    mask = to_latent_grid([each.mask for each in requests], latents) > 0
    trail = ddim.invert(latents, reference)
    return decode(pipe, ddim.decode(trail, mask, query, nothing, first.guidance_scale))


class Ddim:
    """The way between clean and noisy latents, without chance: DDIM (Song et al., arXiv 2010.02502), in fp32.

    Args:
        base_scheduler: the checkpoint's scheduler.
        steps: of a way over the whole noise schedule; `int(steps * ratio)` are taken.
        ratio: how far into the noise schedule it leads, above 0 to 1.
        predict: the model.
    """

    def __init__(self, base_scheduler: SchedulerMixin, steps: int, ratio: float, predict: Denoiser) -> None:
        schedule = build_scheduler("ddim", base_scheduler)
        last = ratio * (schedule.config.num_train_timesteps - 1)
        self._times = np.rint(np.linspace(0, last, int(steps * ratio) + 1)).astype(int).tolist()
        self._signal = schedule.alphas_cumprod[self._times].tolist()
        self._signal[0] = 1.0  # the picture itself has no noise
        self._is_velocity = schedule.config.prediction_type == "v_prediction"
        self._predict = predict

    def invert(self, latents: torch.Tensor, text: PromptEmbeds) -> list[torch.Tensor]:
        """The latents at each noise level, the clean ones first: the inputs from which DDIM would come back."""
        trail = [latents]
        for level in range(len(self._times) - 1):
            noise_pred = self._predict(trail[-1], self._times[level], text)
            trail.append(self._move(trail[-1], noise_pred, level, level + 1))
        return trail

    def decode(
        self,
        trail: Sequence[torch.Tensor],
        mask: torch.Tensor,
        text: PromptEmbeds,
        nothing: PromptEmbeds | None,
        scale: float,
    ) -> torch.Tensor:
        """Clean latents: inside the mask what the text makes of the noisiest, outside those of the trail, exactly.

        Args:
            trail: what `invert` gave.
            mask: (N, 1, h, w) bool.
            text: N texts.
            nothing: N times no text, to guide away from; None for no guidance.
            scale: how strictly the text is followed (classifier-free guidance, arXiv 2207.12598).
        """
        import torch

        latents = trail[-1]
        for level in range(len(trail) - 1, 0, -1):
            if nothing is None:
                noise_pred = self._predict(latents, self._times[level], text)
            else:
                both = self._predict(latents.repeat(2, 1, 1, 1), self._times[level], nothing.and_then(text))
                without, noise_pred = both.chunk(2)
                noise_pred = without + scale * (noise_pred - without)
            moved = self._move(latents, noise_pred, level, level - 1)
            latents = torch.where(mask, moved, trail[level - 1])
        return latents

    def _move(self, latents: torch.Tensor, noise_pred: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Latents from one noise level to another, by what the model says about them."""
        signal, noise = self._signal[start] ** 0.5, (1 - self._signal[start]) ** 0.5
        if self._is_velocity:
            clean, added = signal * latents - noise * noise_pred, signal * noise_pred + noise * latents
        else:
            clean, added = (latents - noise * noise_pred) / signal, noise_pred
        return self._signal[stop] ** 0.5 * clean + (1 - self._signal[stop]) ** 0.5 * added
