"""Steps 2 and 3 of DiffEdit (arXiv 2210.11427): encode by DDIM inversion, decode under the mask with another prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from darkroom.models.denoiser import Denoiser
from darkroom.models.latents import decode_latents, encode_images, to_latent_grid
from darkroom.models.prompts import PromptEmbeds, encode_texts
from darkroom.models.request import DiffEditRequest
from darkroom.models.schedulers import build_scheduler
from darkroom.system.profiling import spanned

if TYPE_CHECKING:
    import torch

    from darkroom.models.diffusers_interfaces import Pipeline, Scheduler


@spanned("denoise")
def invert_and_decode(
    pipe: Pipeline, base_scheduler: Scheduler, requests: Sequence[DiffEditRequest]
) -> list[np.ndarray]:
    """Edit all requests in one batch; they must agree in `DiffEditRequest.batch_key`.

    Args:
        pipe: a text-to-image model.
        base_scheduler: the checkpoint's, for its noise schedule and its prediction type.
        requests: the pictures to edit.

    Returns:
        (h, w, 3) uint8 RGB for each request.

    Raises:
        PhotoError: the model produced NaN.
    """
    first = requests[0]
    ddim = Ddim(base_scheduler, first.steps, first.ratio, Denoiser(pipe, *first.image.shape[:2]))
    reference = encode_texts(pipe, [request.reference for request in requests])
    query = encode_texts(pipe, [request.query for request in requests])
    unconditional = encode_texts(pipe, [None] * len(requests)) if first.guidance_scale > 1 else None
    latents = encode_images(pipe, [request.image for request in requests])
    mask = to_latent_grid([request.mask for request in requests], latents) > 0
    trajectory = ddim.invert(latents, reference)
    return decode_latents(pipe, ddim.decode(trajectory, mask, query, unconditional, first.guidance_scale))


class Ddim:
    """The deterministic path between clean and noisy latents: DDIM (Song et al., arXiv 2010.02502), in fp32.

    Args:
        base_scheduler: the checkpoint's.
        steps: for a path over the whole noise schedule; `int(steps * ratio)` of them are run.
        ratio: how far into the noise schedule the path leads, above 0 to 1.
        denoise: the model.
    """

    def __init__(self, base_scheduler: Scheduler, steps: int, ratio: float, denoise: Denoiser) -> None:
        scheduler = build_scheduler("ddim", base_scheduler)
        last = ratio * (scheduler.config.num_train_timesteps - 1)
        self._timesteps: list[int] = np.rint(np.linspace(0, last, int(steps * ratio) + 1)).astype(int).tolist()
        self._alphas_cumprod: list[float] = scheduler.alphas_cumprod[self._timesteps].tolist()
        self._alphas_cumprod[0] = 1.0  # the picture itself has no noise
        self._predicts_velocity = scheduler.config.prediction_type == "v_prediction"
        self._denoise = denoise

    def invert(self, latents: torch.Tensor, prompts: PromptEmbeds) -> list[torch.Tensor]:
        """The latents at each noise level, the clean ones first: DDIM would lead from the last back to the first."""
        trajectory = [latents]
        for level in range(len(self._timesteps) - 1):
            noise_pred = self._denoise(trajectory[-1], self._timesteps[level], prompts)
            trajectory.append(self._step(trajectory[-1], noise_pred, level, level + 1))
        return trajectory

    def decode(
        self,
        trajectory: Sequence[torch.Tensor],
        mask: torch.Tensor,
        prompts: PromptEmbeds,
        unconditional: PromptEmbeds | None,
        guidance_scale: float,
    ) -> torch.Tensor:
        """Clean latents: inside the mask decoded with the prompt, outside it exactly those of the trajectory.

        Args:
            trajectory: as `invert` returns it.
            mask: (N, 1, h, w) bool.
            prompts: N prompts.
            unconditional: N empty prompts; None for no guidance.
            guidance_scale: of classifier-free guidance (arXiv 2207.12598).
        """
        import torch

        latents = trajectory[-1]
        for level in range(len(trajectory) - 1, 0, -1):
            if unconditional is None:
                noise_pred = self._denoise(latents, self._timesteps[level], prompts)
            else:
                pair = unconditional.and_then(prompts)
                noise_pred_uncond, noise_pred_text = self._denoise(
                    latents.repeat(2, 1, 1, 1), self._timesteps[level], pair
                ).chunk(2)
                noise_pred = noise_pred_uncond + guidance_scale * (noise_pred_text - noise_pred_uncond)
            decoded = self._step(latents, noise_pred, level, level - 1)
            latents = torch.where(mask, decoded, trajectory[level - 1])
        return latents

    def _step(self, latents: torch.Tensor, noise_pred: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """The latents at noise level `stop`, from those at `start` and the model's prediction for them."""
        signal, noise = self._alphas_cumprod[start] ** 0.5, (1 - self._alphas_cumprod[start]) ** 0.5
        if self._predicts_velocity:
            clean, added = signal * latents - noise * noise_pred, signal * noise_pred + noise * latents
        else:
            clean, added = (latents - noise * noise_pred) / signal, noise_pred
        moved: torch.Tensor = (
            self._alphas_cumprod[stop] ** 0.5 * clean + (1 - self._alphas_cumprod[stop]) ** 0.5 * added
        )
        return moved
