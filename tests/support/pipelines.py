"""Diffusers' pipelines of the tiny checkpoints: loaded, offloaded in every way, and called as diffusers documents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import diffusers
import numpy as np
import torch
from accelerate import cpu_offload
from PIL import Image

from darkroom.models import InpaintRequest, Memory
from darkroom.models.checkpoint import load_pipeline
from darkroom.models.offload import apply_memory_settings
from darkroom.models.weights import find_weights


def pipeline_of(checkpoint: Path, dtype: torch.dtype = torch.float32) -> diffusers.DiffusionPipeline:
    return load_pipeline(find_weights("inpaint", str(checkpoint)), dtype)


def diffusers_picture(
    checkpoint: Path,
    request: InpaintRequest,
    loras: Mapping[Path, float] = MappingProxyType({}),
    dtype: torch.dtype = torch.float32,
) -> np.ndarray:
    """The picture that somebody gets who only knows the documentation of diffusers."""
    is_xl = "sdxl" in checkpoint.name
    kind = diffusers.StableDiffusionXLInpaintPipeline if is_xl else diffusers.StableDiffusionInpaintPipeline
    options = {"add_watermarker": False} if is_xl else {"safety_checker": None}
    second = {"prompt_2": request.prompt.text_2, "negative_prompt_2": request.prompt.negative_2} if is_xl else {}
    pipe = kind.from_pretrained(checkpoint, dtype=dtype, **options)
    for file in loras:
        pipe.load_lora_weights(file.parent, weight_name=file.name, adapter_name=file.stem)
    if loras:
        pipe.set_adapters([file.stem for file in loras], list(loras.values()))
    return np.asarray(
        pipe(
            prompt=request.prompt.text,
            negative_prompt=request.prompt.negative,
            **second,
            image=Image.fromarray(request.image),
            mask_image=Image.fromarray(request.mask.astype(np.uint8) * 255),
            height=request.image.shape[0],
            width=request.image.shape[1],
            num_inference_steps=request.steps,
            strength=request.strength,
            guidance_scale=request.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(request.seed),
        ).images[0]
    )


def offload_sequentially(pipe: diffusers.DiffusionPipeline) -> None:
    """Do from CPU to CPU what `enable_sequential_cpu_offload` does, which refuses that device."""
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            cpu_offload(part, torch.device("cpu"), offload_buffers=len(part._parameters) > 0)


def offload(pipe: diffusers.DiffusionPipeline, kind: str) -> None:
    """Offload as `Memory(offload=kind)` does."""
    plain = {"channels_last": False, "compile": False, "vae_slicing": True, "vae_tiling": False}
    apply_memory_settings(pipe, Memory(offload=kind, **plain), "cpu")


OFFLOADS = {
    "model": lambda pipe: offload(pipe, "model"),
    "group": lambda pipe: offload(pipe, "group"),
    "sequential": offload_sequentially,
}
