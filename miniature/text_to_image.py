"""The miniature painter as a text-to-image model, for ops that take no inpainting model, such as `diffedit_repaint`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from darkroom.models.weights import MINIATURE_WEIGHTS

_UNET = Path("unet") / "diffusion_pytorch_model.safetensors"


@torch.no_grad()
def write_text_to_image(folder: Path) -> Path:
    """Write a diffusers folder with a 4-channel UNet, made from the 9-channel one of the inpainting miniature.

    An inpainting model that repaints everything gets the same five numbers at every latent: a mask of 1 and the latents
    of grey. Their contribution to its first layer is a constant, which is added to that layer's bias here. Except for
    one latent at the border, where the layer sees its padding, both models predict the same.

    Returns:
        The folder.
    """
    source = MINIATURE_WEIGHTS / "sdxl_inpaint"
    shutil.copytree(source, folder, dirs_exist_ok=True)
    vae = AutoencoderKL.from_pretrained(source / "vae")
    grey = vae.encode(torch.zeros(1, 3, 64, 64)).latent_dist.mean[0, :, 8, 8] * vae.config.scaling_factor
    weights = load_file(folder / _UNET)
    first = weights["conv_in.weight"].float()
    constant = torch.cat([torch.ones(1), grey])
    bias = weights["conv_in.bias"].float() + (first[:, 4:].sum(dim=(2, 3)) @ constant)
    weights |= {"conv_in.weight": first[:, :4].half().contiguous(), "conv_in.bias": bias.half()}
    save_file(weights, folder / _UNET)
    _change(folder / "unet" / "config.json", in_channels=4)
    _change(folder / "model_index.json", _class_name="StableDiffusionXLPipeline")
    return folder


def _change(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values, indent=2))
