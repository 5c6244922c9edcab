"""Applies the memory settings to an inpainting pipeline."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

from darkroom.errors import SetupError
from darkroom.models.settings import Memory
from darkroom.models.small_weights import keep_small

if TYPE_CHECKING:
    import torch

    from darkroom.models.diffusers_interfaces import Pipeline


def torch_dtype(memory: Memory) -> torch.dtype:
    """The dtype of resolved settings."""
    import torch

    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[memory.dtype]


def apply_memory_settings(pipe: Pipeline, memory: Memory, device: str) -> None:
    """Move a pipeline to its device, or let its parts take turns there, with weights in as many bits as asked for.

    Args:
        pipe: a loaded pipeline, on the CPU.
        memory: resolved settings (`darkroom.models.device.resolve_memory`).
        device: `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        SetupError: the model's weights do not fit into the device's memory.
    """
    import torch

    torch.backends.cudnn.deterministic = True  # the same picture every time
    if memory.weights != "full":
        keep_small(network_of(pipe), memory.weights)
    if memory.channels_last:
        network_of(pipe).to(memory_format=torch.channels_last)
    try:
        _apply(pipe, memory, device)
    except torch.OutOfMemoryError:
        raise SetupError(f"memory.offload={memory.offload}: does not fit into {device}; try memory=low") from None
    if memory.compile:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(user_cache_path("darkroom") / "compiled"))
        network_of(pipe).compile_repeated_blocks(fullgraph=True, dynamic=False)


def network_of(pipe: Any) -> Any:
    """The network of a pipeline that denoises: its UNet or its transformer."""
    return getattr(pipe, "unet", None) or pipe.transformer


def place_beside(net: Any, memory: Memory, device: str) -> Callable[[], None]:
    """Move a module that works beside a pipeline's UNet to its device, as `apply_memory_settings` moves the pipeline.

    Args:
        net: a module of diffusers or transformers, on the CPU.
        memory: resolved settings.
        device: of the pipeline.

    Returns:
        a function that takes its weights off the device for now, where whole components take turns.

    Raises:
        SetupError: its weights do not fit into the device's memory.
    """
    import accelerate
    import torch

    try:
        if memory.offload == "model":
            _, hook = accelerate.cpu_offload_with_hook(net, torch.device(device))
            free: Callable[[], None] = hook.offload
            return free
        if memory.offload == "sequential":
            accelerate.cpu_offload(net, torch.device(device), offload_buffers=len(net._parameters) > 0)
        elif memory.offload == "group":
            from diffusers.hooks.group_offloading import apply_group_offloading

            apply_group_offloading(net, onload_device=torch.device(device), offload_type="leaf_level")
        else:
            net.to(device)
    except torch.OutOfMemoryError:
        raise SetupError(f"memory.offload={memory.offload}: does not fit into {device}; try memory=low") from None
    return _nothing


def _nothing() -> None:
    pass


def _apply(pipe: Pipeline, memory: Memory, device: str) -> None:
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

        # Without streams: they keep pinned copies, which would not follow a VAE that goes to fp32 and back.
        pipe.enable_group_offload(onload_device=torch.device(device), offload_type="leaf_level")
    else:
        pipe.to(device)
