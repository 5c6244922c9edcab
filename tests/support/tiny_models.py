"""Tiny settings of the real architectures (a megabyte, a tenth of a second per picture), and requests for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from darkroom.models import InpaintRequest, Memory, ModelNames, Models
from darkroom.models.prompts import Prompt
from support.checkpoint_files import write_pipeline

TOKENS, LENGTH = 600, 16
HEIGHT, WIDTH = 40, 64

VAE = {
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [8, 8, 8, 8],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "sample_size": 32,
}
UNET = {
    "sample_size": 32,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "norm_num_groups": 8,
}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "projection_dim": 32,
    "vocab_size": TOKENS,
    "max_position_embeddings": LENGTH,
    "bos_token_id": TOKENS - 2,
    "eos_token_id": TOKENS - 1,
    "pad_token_id": TOKENS - 1,
}
SCHEDULER = {  # of the published SDXL checkpoints
    "class": "EulerDiscreteScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "leading",
    "steps_offset": 1,
}


def sd15(channels: int = 9) -> dict[str, dict[str, Any]]:
    """Settings of a Stable Diffusion 1 checkpoint."""
    unet = {**UNET, "in_channels": channels, "attention_head_dim": 4, "cross_attention_dim": 32}
    scheduler = {**SCHEDULER, "class": "PNDMScheduler", "skip_prk_steps": True}
    return {"unet": unet, "vae": VAE, "text_encoder": TEXT, "scheduler": scheduler}


def sdxl(channels: int = 4) -> dict[str, dict[str, Any]]:
    """Settings of a Stable Diffusion XL checkpoint, whose VAE needs fp32."""
    unet = {
        **UNET,
        "in_channels": channels,
        "attention_head_dim": [2, 4],
        "cross_attention_dim": 64,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 32 + 6 * 8,
    }
    vae = {**VAE, "scaling_factor": 0.13025, "force_upcast": True}
    return {"unet": unet, "vae": vae, "text_encoder": TEXT, "text_encoder_2": TEXT, "scheduler": SCHEDULER}


KINDS = {
    "sd15-inpaint": ("StableDiffusionInpaintPipeline", sd15(9)),
    "sd15": ("StableDiffusionPipeline", sd15(4)),
    "sdxl-inpaint": ("StableDiffusionXLInpaintPipeline", sdxl(9)),
    "sdxl": ("StableDiffusionXLPipeline", sdxl(4)),
}


def write_tiny(folder: Path, kind: str, variant: str | None = None) -> Path:
    """Write a tiny checkpoint of one of `KINDS`."""
    return write_pipeline(folder, *KINDS[kind], variant=variant)


def models_of(checkpoint: Path | str, **memory: object) -> Models:
    """Models on the CPU; a given checkpoint repaints."""
    return Models(ModelNames(inpaint=str(checkpoint)), Memory(**memory), device="cpu")


def request_of(seed: int = 7, **changes: object) -> InpaintRequest:
    """A request for a picture that is not square and has a hole in its mask."""
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[5:30, 10:50] = True
    mask[12:20, 20:30] = False
    plain = InpaintRequest(image, mask, Prompt("a red car"), seed, 3, 5.0, 1.0, "default")
    return replace(plain, **changes)
