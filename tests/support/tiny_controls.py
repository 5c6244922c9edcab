"""Tiny control models for the tiny checkpoints, in the published layout, and pictures of diffusers with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

from darkroom.models import InpaintRequest

# What a ControlNet shares with its UNet.
SHARED = (
    *("down_block_types", "block_out_channels", "layers_per_block", "norm_num_groups", "cross_attention_dim"),
    *("attention_head_dim", "use_linear_projection", "addition_embed_type", "addition_time_embed_dim"),
    "projection_class_embeddings_input_dim",
)
UNION = {"num_control_type": 6, "num_trans_channel": 16, "num_trans_head": 2, "num_proj_channel": 16}


def write_controlnet(folder: Path, checkpoint: Path, seed: int | None = None, union: bool = False, **other: Any) -> str:
    """A ControlNet of random weights; its zero convolutions are zero if there is no seed. Returns the folder."""
    unet = diffusers.UNet2DConditionModel.load_config(checkpoint / "unet")
    kind = diffusers.ControlNetUnionModel if union else diffusers.ControlNetModel
    config = {key: unet[key] for key in SHARED if key in unet} | (UNION if union else {}) | other
    torch.manual_seed(0)
    net = kind(conditioning_embedding_out_channels=(4, 4, 8, 8), **config)
    for name, weight in net.named_parameters():
        if seed is not None and "controlnet_" in name:
            torch.nn.init.normal_(weight, std=0.5, generator=torch.Generator().manual_seed(seed))
    net.save_pretrained(folder)
    return str(folder)


def write_adapter(folder: Path, seed: int | None = None, **config: Any) -> str:
    """A T2I-Adapter for the tiny SDXL checkpoints; it adds zeros if there is no seed."""
    torch.manual_seed(seed or 0)
    net = diffusers.T2IAdapter(**{"channels": [16], "num_res_blocks": 1, "downscale_factor": 16, **config})
    for weight in net.parameters():
        if seed is None:
            torch.nn.init.zeros_(weight)
    net.save_pretrained(folder)
    return str(folder)


def controlled_picture(
    checkpoint: Path, request: InpaintRequest, folders: Sequence[str], union: bool = False, **others: Any
) -> np.ndarray:
    """The picture that somebody gets who only knows the documentation of diffusers."""
    model = diffusers.ControlNetUnionModel if union else diffusers.ControlNetModel
    nets = [model.from_pretrained(folder) for folder in folders]
    kind = (
        diffusers.StableDiffusionXLControlNetUnionInpaintPipeline
        if union
        else diffusers.StableDiffusionXLControlNetInpaintPipeline
    )
    pipe = kind.from_pretrained(checkpoint, controlnet=nets if len(nets) > 1 else nets[0], add_watermarker=False)
    pictures = [Image.fromarray(control.image).convert("RGB") for control in request.controls]
    weights = [control.weight for control in request.controls]
    alone = len(pictures) == 1 and not union
    return np.asarray(
        pipe(
            prompt=request.prompt.text,
            image=Image.fromarray(request.image),
            mask_image=Image.fromarray(request.mask.astype(np.uint8) * 255),
            control_image=pictures[0] if alone else pictures,
            controlnet_conditioning_scale=weights[0] if alone else weights,
            height=request.image.shape[0],
            width=request.image.shape[1],
            num_inference_steps=request.steps,
            strength=request.strength,
            guidance_scale=request.guidance_scale,
            generator=torch.Generator().manual_seed(request.seed),
            **others,
        ).images[0]
    )
