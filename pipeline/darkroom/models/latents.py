"""Pictures to latents and back, without chance and in fp32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from darkroom.errors import PhotoError

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL, DiffusionPipeline


def encode(pipe: DiffusionPipeline, pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """The likeliest latents of pictures: the mode of what the autoencoder answers, so that no seed plays a part.

    One by one, so that a picture's latents do not depend on its companions.

    Args:
        pipe: whose autoencoder.
        pictures: N of (h, w, 3) uint8 RGB, all of one size.

    Returns:
        (N, 4, h / f, w / f) float32 on the pipeline's device, scaled as its UNet wants them; f is 8, mostly.
    """
    import torch
    from PIL import Image

    prepared = [pipe.image_processor.preprocess(Image.fromarray(each)) for each in pictures]
    return torch.cat([_encode(pipe, pixels) for pixels in prepared])


def encode_grey(pipe: DiffusionPipeline, height: int, width: int) -> torch.Tensor:
    """The latents of a picture of which nothing is known, (1, 4, height / f, width / f): exactly grey, 0 in -1 to 1."""
    import torch

    return _encode(pipe, torch.zeros(1, 3, height, width))


def _encode(pipe: DiffusionPipeline, pixels: torch.Tensor) -> torch.Tensor:
    """Of (1, 3, h, w) in -1 to 1."""
    import torch

    with torch.no_grad(), _in_fp32(pipe.vae) as vae:
        posterior = vae.encode(pixels.to(pipe._execution_device, torch.float32)).latent_dist
    return posterior.mode() * vae.config.scaling_factor


def decode(pipe: DiffusionPipeline, latents: torch.Tensor) -> list[np.ndarray]:
    """What `encode` took.

    Args:
        pipe: whose autoencoder.
        latents: (N, 4, h / f, w / f), as `encode` gives them.

    Returns:
        N of (h, w, 3) uint8 RGB.

    Raises:
        PhotoError: the latents hold not-a-number.
    """
    import torch

    if not torch.isfinite(latents).all():
        raise PhotoError("the model gave no picture: not-a-number")
    with torch.no_grad(), _in_fp32(pipe.vae) as vae:
        scaled = latents.float() / vae.config.scaling_factor
        decoded = torch.cat([vae.decode(each[None], return_dict=False)[0] for each in scaled])
    pictures = pipe.image_processor.postprocess(decoded, output_type="np")
    return [(picture * 255).round().astype(np.uint8) for picture in pictures]


def to_latent_grid(maps: Sequence[np.ndarray], latents: torch.Tensor) -> torch.Tensor:
    """N of (h, w) bool or float as (N, 1, rows, columns) float32 on the grid of latents: the most of each cell."""
    import torch
    from torch.nn.functional import adaptive_max_pool2d

    stacked = torch.from_numpy(np.stack(maps)[:, None].astype(np.float32))
    return adaptive_max_pool2d(stacked, latents.shape[-2:]).to(latents.device)


@contextmanager
def _in_fp32(vae: AutoencoderKL) -> Iterator[AutoencoderKL]:
    """Some autoencoders overflow in half precision (diffusers issue 4325)."""
    import torch

    dtype = vae.dtype
    if dtype == torch.float32:
        yield vae
        return
    vae.to(torch.float32)
    try:
        yield vae
    finally:
        vae.to(dtype)
