"""The device, and the memory settings that suit it."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path

from darkroom.errors import SetupError
from darkroom.models.settings import Memory

_GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "/dev/nvmap")  # NVIDIA, ROCm, WSL 2, Jetson

_FAST = Memory(dtype="fp16", offload="none", vae_slicing=True, vae_tiling=False, batch_size=4)
_BALANCED = Memory(dtype="fp16", offload="model", vae_slicing=True, vae_tiling=False, batch_size=2)
_LOW = Memory(dtype="fp16", offload="sequential", vae_slicing=True, vae_tiling=True, batch_size=1)
_CPU = Memory(dtype="fp32", offload="none", vae_slicing=False, vae_tiling=False, batch_size=1)
_MPS = replace(_CPU, dtype="fp16", vae_slicing=True)


def choose_device(wanted: str) -> str:
    """The device to compute on: `cpu`, `cuda`, `cuda:1` or `mps`.

    Args:
        wanted: one of these, or `auto` for the first there is of CUDA (or ROCm), Apple's MPS and the CPU.

    Raises:
        SetupError: this machine has no such device.
    """
    if wanted == "cpu" or (wanted == "auto" and not _may_have_gpu()):
        return "cpu"  # said without the two seconds that importing torch takes
    import torch

    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    if wanted == "auto":
        return "cuda" if cuda else "mps" if mps else "cpu"
    there = [*(["cuda"] if cuda else []), *cuda, *mps, "cpu"]
    if wanted not in there:
        raise SetupError(f"device={wanted}: this machine has {', '.join(there)} (torch {torch.__version__})")
    return wanted


def resolve_memory(memory: Memory, device: str) -> Memory:
    """The settings with every `auto` chosen for the device.

    The limits are estimates for SDXL at 1024 px (7 GB of weights in fp16, the VAE decoding in fp32), not
    measured.

    Raises:
        SetupError: the device cannot do what a setting asks for.
    """
    given = {key: value for key, value in asdict(memory).items() if value != "auto"}
    settled = replace(_suited_to(device), **given)
    if device == "cpu" and settled.offload in ("model", "sequential"):
        raise SetupError(f"memory.offload={settled.offload}: moves models to a GPU; this runs on the CPU")
    if device == "cpu" and settled.batch_size != 1:
        raise SetupError(
            f"memory.batch_size={settled.batch_size}: on a CPU every picture runs alone, which is as fast "
            "and equals plain diffusers bit for bit; use memory=auto or memory.batch_size=1"
        )
    return settled


def _suited_to(device: str) -> Memory:
    if device == "cpu":
        return _CPU
    if device == "mps":
        return _MPS
    import torch

    gib = torch.cuda.mem_get_info(device)[1] / 2**30  # all it has: what is free now would be another answer tomorrow
    return _FAST if gib >= 20 else _BALANCED if gib >= 10 else _LOW


def _may_have_gpu() -> bool:
    """False only where there is certainly none: a Linux without any device node of a GPU's driver."""
    return not sys.platform.startswith("linux") or any(Path(node).exists() for node in _GPU_NODES)
