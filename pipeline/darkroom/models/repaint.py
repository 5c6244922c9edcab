"""One call of a diffusers inpainting pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from darkroom.errors import Cancelled, PhotoError
from darkroom.models.differential_diffusion import DifferentialDiffusion
from darkroom.models.prompts import EncodedPrompt, PromptEmbeds
from darkroom.models.request import InpaintRequest
from darkroom.models.schedulers import eta_of, know_timesteps_on_host
from darkroom.models.steered_unet import steered
from darkroom.system.profiling import span
from darkroom.system.watching import piece_done

if TYPE_CHECKING:
    import torch

    from darkroom.models.diffusers_interfaces import Pipeline
    from darkroom.models.steering import Steering


def repaint(
    pipe: Pipeline,
    requests: Sequence[InpaintRequest],
    prompts: Sequence[EncodedPrompt],
    steering: Steering | None = None,
) -> list[np.ndarray]:
    """Repaint all requests in one batch; they must agree in `InpaintRequest.batch_key`.

    Args:
        pipe: the pipeline.
        requests: the pictures to repaint.
        prompts: the encoded prompt of each request, all of one length.
        steering: what the requests may use beside their prompts.

    Returns:
        (h, w, 3) uint8 RGB for each request.

    Raises:
        PhotoError: the model produced NaN or a single colour, which is never saved as a picture.
        Cancelled: the watcher of this work has stopped it.
    """
    latents: list[torch.Tensor] = []
    restore = None if requests[0].change_map is None else DifferentialDiffusion(pipe, requests)

    def after_step(_pipe: Any, step: int, _timestep: int, tensors: dict[str, Any]) -> dict[str, Any]:
        """Nothing here waits for the device, which still computes this step."""
        if restore:
            tensors["latents"] = restore(step, tensors["latents"])
        if step + 1 == _pipe.num_timesteps:
            latents[:] = tensors["latents"]
            tensors["latents"] = _as_decoded(tensors["latents"], pipe.vae.dtype)
        piece_done(step + 1, _pipe.num_timesteps)
        return tensors

    arguments = _arguments(requests, prompts)
    know_timesteps_on_host(pipe)
    with steered(pipe, requests, steering), span("denoise"):
        try:
            pictures = pipe(**arguments, callback_on_step_end=after_step, output_type="np").images
        except Cancelled:
            pipe.maybe_free_model_hooks()  # which the pipeline itself does only at its end
            raise
    return [
        to_uint8(picture if is_picture(picture) else _decode_in_fp32(pipe, latent, request))
        for request, picture, latent in zip(requests, pictures, latents, strict=True)
    ]


def _arguments(requests: Sequence[InpaintRequest], prompts: Sequence[EncodedPrompt]) -> dict[str, Any]:
    import torch
    from PIL import Image

    first = requests[0]
    positive, negative = (reduce(PromptEmbeds.and_then, side) for side in zip(*prompts, strict=True))
    pooled = {"pooled_prompt_embeds": positive.pooled, "negative_pooled_prompt_embeds": negative.pooled}
    # One image and one generator per request: diffusers encodes a single image with the first generator only, and
    # then all other pictures differ from what they are alone.
    return {
        "prompt_embeds": positive.embeds,
        "negative_prompt_embeds": negative.embeds,
        **(pooled if positive.pooled is not None else {}),
        "image": [Image.fromarray(request.image) for request in requests],
        "mask_image": [Image.fromarray(request.mask.astype(np.uint8) * 255) for request in requests],
        "generator": [torch.Generator("cpu").manual_seed(request.seed) for request in requests],
        "height": first.image.shape[0],
        "width": first.image.shape[1],
        "num_inference_steps": first.steps,
        "guidance_scale": first.guidance_scale,
        "strength": first.strength,
        "eta": eta_of(first.scheduler),
    }


def _as_decoded(latents: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Latents in the dtype of the VAE, if that is wider; as diffusers has them before it scales them."""
    import torch

    return latents.to(torch.promote_types(latents.dtype, dtype))


def _decode_in_fp32(pipe: Pipeline, latent: torch.Tensor, request: InpaintRequest) -> np.ndarray:
    """The picture again, (h, w, 3) float: some VAEs overflow in half precision (diffusers issue 4325)."""
    import torch

    vae, dtype = pipe.vae, pipe.vae.dtype
    if dtype != torch.float32 and torch.isfinite(latent).all():
        vae.to(torch.float32)
        with torch.no_grad():
            decoded = vae.decode(latent[None].float() / vae.config.scaling_factor, return_dict=False)[0]
        vae.to(dtype)
        pipe.maybe_free_model_hooks()
        picture: np.ndarray = pipe.image_processor.postprocess(decoded, output_type="np")[0]
        if is_picture(picture):
            return picture
    raise PhotoError(f"the model produced no picture for seed {request.seed}: NaN or a single colour")


def is_picture(pixels: np.ndarray) -> bool:
    """Whether the pixels are finite and not all of one colour; after clipping, an overflow is one colour."""
    return bool(np.isfinite(pixels).all()) and bool(np.ptp(pixels) > 0)


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Floats in [0, 1] as uint8, rounded as diffusers rounds them."""
    return (pixels * 255).round().astype(np.uint8)
