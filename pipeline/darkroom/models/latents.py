"""Pictures to latents and back, deterministic and in fp32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from darkroom.errors import PhotoError

if TYPE_CHECKING:
    import torch

    from darkroom.models.diffusers_interfaces import Pipeline


def encode_images(pipe: Pipeline, images: Sequence[np.ndarray]) -> torch.Tensor:
    """The most likely latents of images: the mode of the VAE's distribution, so no seed is involved.

    The images are encoded one by one, so that their latents do not depend on the batch.

    Args:
        pipe: the pipeline whose VAE encodes.
        images: N of (h, w, 3) uint8 RGB, all of one size.

    Returns:
        (N, 4, h / f, w / f) float32 on the pipeline's device, scaled as its UNet expects them; f is mostly 8.
    """
    import torch
    from PIL import Image

    preprocessed = [pipe.image_processor.preprocess(Image.fromarray(image)) for image in images]
    return torch.cat([_encode(pipe, pixels) for pixels in preprocessed])


def encode_grey(pipe: Pipeline, height: int, width: int) -> torch.Tensor:
    """The latents of a picture that is 0 (mid-grey) everywhere, (1, 4, height / f, width / f)."""
    import torch

    return _encode(pipe, torch.zeros(1, 3, height, width))


def _encode(pipe: Pipeline, pixels: torch.Tensor) -> torch.Tensor:
    """The latents of (1, 3, h, w) in -1 to 1."""
    import torch

    with torch.no_grad(), _in_fp32(pipe.vae) as vae:
        posterior = vae.encode(pixels.to(pipe._execution_device, torch.float32)).latent_dist
    latents: torch.Tensor = posterior.mode() * vae.config.scaling_factor
    return latents


def decode_latents(pipe: Pipeline, latents: torch.Tensor) -> list[np.ndarray]:
    """The inverse of `encode_images`.

    Args:
        pipe: the pipeline whose VAE decodes.
        latents: (N, 4, h / f, w / f), scaled as `encode_images` returns them.

    Returns:
        N of (h, w, 3) uint8 RGB.

    Raises:
        PhotoError: the latents hold NaN.
    """
    import torch

    if not torch.isfinite(latents).all():
        raise PhotoError("the model produced no picture: NaN")
    with torch.no_grad(), _in_fp32(pipe.vae) as vae:
        unscaled = latents.float() / vae.config.scaling_factor
        decoded = torch.cat([vae.decode(latent[None], return_dict=False)[0] for latent in unscaled])
    pictures = pipe.image_processor.postprocess(decoded, output_type="np")
    return [(picture * 255).round().astype(np.uint8) for picture in pictures]


def to_latent_grid(maps: Sequence[np.ndarray], latents: torch.Tensor) -> torch.Tensor:
    """N of (h, w), bool or float, as (N, 1, rows, columns) float32 on the grid of latents: the maximum of each cell."""
    import torch
    from torch.nn.functional import adaptive_max_pool2d

    stacked = torch.from_numpy(np.stack(maps)[:, None].astype(np.float32))
    return adaptive_max_pool2d(stacked, latents.shape[-2:]).to(latents.device)


@contextmanager
def _in_fp32(vae: Any) -> Iterator[Any]:
    """The VAE in fp32: some overflow in half precision (diffusers issue 4325)."""
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
