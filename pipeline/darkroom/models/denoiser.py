"""Runs a Stable Diffusion UNet on noisy latents and a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darkroom.models.latents import encode_grey
from darkroom.system.watching import piece_done

if TYPE_CHECKING:
    import torch

    from darkroom.models.diffusers_interfaces import Pipeline
    from darkroom.models.prompts import PromptEmbeds


class Denoiser:
    """The UNet for latents of one size.

    An inpainting UNet of 9 channels gets a mask of ones and the latents of a grey picture, just as its pipeline blanks
    the masked part: everything is to be repainted. So it sees only the noisy latents and the prompt, as a UNet of 4
    channels does. With a mask of zeros and the picture itself it would copy the picture, and the prompt would matter
    little: the first miniature found horses with a mean IoU of .35 from blanks and of .17 from pictures, each at its
    best threshold.

    Args:
        pipe: the pipeline with the UNet.
        height, width: of the pictures, in pixels.
    """

    def __init__(self, pipe: Pipeline, height: int, width: int) -> None:
        import torch

        self._pipe = pipe
        self._size = height, width
        self._blank: torch.Tensor | None = None
        if pipe.unet.config.in_channels == 9:
            grey = encode_grey(pipe, height, width)
            self._blank = torch.cat([torch.ones_like(grey[:, :1]), grey], dim=1)

    def __call__(self, latents: torch.Tensor, timestep: int, prompts: PromptEmbeds) -> torch.Tensor:
        """The UNet's prediction: noise or velocity, depending on how the checkpoint was trained.

        Args:
            latents: (N, 4, h, w) with the noise of the timestep.
            timestep: of the checkpoint's noise schedule, mostly 0 to 999.
            prompts: N prompts.

        Returns:
            (N, 4, h, w) float32.
        """
        import torch

        unet, count = self._pipe.unet, len(latents)
        if self._blank is not None:
            latents = torch.cat([latents, self._blank.expand(count, -1, -1, -1)], dim=1)
        conditions = {}
        if prompts.pooled is not None:
            sizes = torch.tensor([[*self._size, 0, 0, *self._size]] * count)  # SDXL: original size, crop, target size
            conditions["added_cond_kwargs"] = {
                "text_embeds": prompts.pooled,
                "time_ids": sizes.to(latents.device, prompts.pooled.dtype),
            }
        timesteps = torch.full((count,), timestep, device=latents.device)
        latents = latents.to(prompts.embeds.dtype)
        with torch.no_grad():
            noise_pred: torch.Tensor = unet(latents, timesteps, prompts.embeds, **conditions, return_dict=False)[0]
        piece_done()
        return noise_pred.float()
