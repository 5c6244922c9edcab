"""What a Stable Diffusion UNet predicts for noisy latents and a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darkroom.models.latents import encode_grey

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

    from darkroom.models.prompts import PromptEmbeds


class Denoiser:
    """The UNet for latents of one size.

    An inpainting UNet of 9 channels is told that everything is to be repainted: a mask of ones, and the latents of a
    grey picture, as its pipeline blanks what is masked. So it sees nothing but the noisy latents and the text, as one
    of 4 channels does. Told that the whole picture is known it would copy it, and the text would matter little: the
    first miniature found horses with a mean IoU of .35 this way and of .17 that way, each at its best threshold.

    Args:
        pipe: whose UNet.
        height, width: of the pictures, in pixels.
    """

    def __init__(self, pipe: DiffusionPipeline, height: int, width: int) -> None:
        import torch

        self._pipe = pipe
        self._size = height, width
        self._hidden: torch.Tensor | None = None
        if pipe.unet.config.in_channels == 9:
            grey = encode_grey(pipe, height, width)
            self._hidden = torch.cat([torch.ones_like(grey[:, :1]), grey], dim=1)

    def __call__(self, latents: torch.Tensor, time: int, text: PromptEmbeds) -> torch.Tensor:
        """The UNet's output: noise or velocity, whatever the checkpoint was trained to predict.

        Args:
            latents: (N, 4, h, w) with the noise of that time.
            time: of the checkpoint's noise schedule, mostly 0 to 999.
            text: N texts.

        Returns:
            (N, 4, h, w) float32.
        """
        import torch

        unet, count = self._pipe.unet, len(latents)
        if self._hidden is not None:
            latents = torch.cat([latents, self._hidden.expand(count, -1, -1, -1)], dim=1)
        added = {}
        if text.pooled is not None:
            sizes = torch.tensor([[*self._size, 0, 0, *self._size]] * count)  # original, corner, target: as SDXL has it
            added["added_cond_kwargs"] = {
                "text_embeds": text.pooled,
                "time_ids": sizes.to(latents.device, text.pooled.dtype),
            }
        times = torch.full((count,), time, device=latents.device)
        with torch.no_grad():
            noise_pred = unet(latents.to(text.embeds.dtype), times, text.embeds, **added, return_dict=False)[0]
        return noise_pred.float()
