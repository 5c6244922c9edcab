"""Putting an inpainting pipeline where its memory settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darkroom.errors import SetupError
from darkroom.models.settings import Memory

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline


def torch_dtype(memory: Memory) -> torch.dtype:
    """The number format of settled settings."""
    import torch

    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[memory.dtype]


def put(pipe: DiffusionPipeline, memory: Memory, device: str) -> None:
    """Move a pipeline from the CPU to where it shall work.

    Args:
        pipe: a loaded pipeline.
        memory: settled settings (`darkroom.models.device.resolve_memory`).
        device: `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        SetupError: the device has not memory enough for the model's weights.
    """
    import torch

    torch.backends.cudnn.deterministic = True  # the same picture every time
    try:
        _put(pipe, memory, device)
    except torch.OutOfMemoryError:
        raise SetupError(f"memory.offload={memory.offload}: too much for {device}; try memory=low") from None


def _put(pipe: DiffusionPipeline, memory: Memory, device: str) -> None:
    if memory.vae_slicing:
        pipe.vae.enable_slicing()
    if memory.vae_tiling:
        pipe.vae.enable_tiling()
    if memory.offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif memory.offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    elif memory.offload == "group":
        import torch

        # Without streams: they keep pinned copies, which the VAE's change to fp32 and back would not reach.
        pipe.enable_group_offload(onload_device=torch.device(device), offload_type="leaf_level")
    else:
        pipe.to(device)
