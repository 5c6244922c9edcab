"""Chooses the device, and the memory settings for it."""

from __future__ import annotations

import logging
import os
import platform
import re
import shutil
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from darkroom.errors import SetupError
from darkroom.models.painter_families import STABLE_DIFFUSION, PainterFamily
from darkroom.models.settings import Memory
from darkroom.system.cores import threads_asked, usable_cores
from darkroom.system.files import open_file

log = logging.getLogger("darkroom")

_GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "/dev/nvmap")  # NVIDIA, ROCm, WSL 2, Jetson

_PLAIN: dict[str, Any] = {"channels_last": False, "compile": False}
_CHANNELS_LAST: dict[str, Any] = {"channels_last": True, "compile": False}
_FAST = Memory(dtype="fp16", offload="none", vae_slicing=True, vae_tiling=False, batch_size=4, **_CHANNELS_LAST)
_BALANCED = Memory(dtype="fp16", offload="model", vae_slicing=True, vae_tiling=False, batch_size=2, **_PLAIN)
_LOW = Memory(dtype="fp16", offload="sequential", vae_slicing=True, vae_tiling=True, batch_size=1, **_PLAIN)
_CPU = Memory(dtype="fp32", offload="none", vae_slicing=False, vae_tiling=False, batch_size=1, **_PLAIN)
_MPS = replace(_CPU, dtype="fp16", vae_slicing=True)


def choose_device(wanted: str) -> str:
    """The device to compute on: `cpu`, `cuda`, `cuda:1` or `mps`.

    Args:
        wanted: one of these, or `auto` for the first available of CUDA (or ROCm), Apple's MPS and the CPU.

    Raises:
        SetupError: this machine has no such device.
    """
    if wanted == "cpu" or (wanted == "auto" and not _may_have_gpu()):
        return "cpu"  # without the two seconds that importing torch takes
    import torch

    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    if wanted == "auto":
        return "cuda" if cuda else "mps" if mps else "cpu"
    available = [*(["cuda"] if cuda else []), *cuda, *mps, "cpu"]
    if wanted not in available:
        raise SetupError(f"device={wanted}: this machine has {', '.join(available)} (torch {torch.__version__})")
    return wanted


def resolve_memory(memory: Memory, device: str, painter: PainterFamily = STABLE_DIFFUSION) -> Memory:
    """The settings with a value for the device in place of `half` and of every `auto`, except that of `threads`.

    The limits are estimates for SDXL at 1024 px (7 GB of weights in fp16, the VAE decoding in fp32), not
    measured.

    Args:
        memory: as asked for.
        device: as `choose_device` returns it.
        painter: the family of the painter. Flow transformers overflow in fp16 and take bf16 instead, paint one picture
            at a time, and have no convolutions for `channels_last`.

    Raises:
        SetupError: the device does not support a setting.
    """
    given = {key: value for key, value in asdict(memory).items() if value != "auto"}
    resolved = replace(_defaults(device), **given)
    if resolved.dtype == "half":
        resolved = replace(resolved, dtype=_half(device))
    if device == "cpu" and resolved.offload in ("model", "sequential"):
        raise SetupError(f"memory.offload={resolved.offload}: moves models to a GPU; this runs on the CPU")
    if resolved.compile and device == "cpu" and not _cpp_compiler():
        log.warning("memory.compile=true: needs a C++ compiler on a CPU, and finds none; the model is not compiled")
        resolved = replace(resolved, compile=False)
    if device == "cpu" and memory.channels_last == "auto":  # without compiling, it takes 5 % longer on a CPU
        resolved = replace(resolved, channels_last=resolved.compile)
    if painter.is_flow:
        dtype = "bf16" if resolved.dtype == "fp16" else resolved.dtype
        return replace(resolved, dtype=dtype, batch_size=1, channels_last=False)
    return resolved


def resolve_threads(threads: int | Literal["auto"], miniature: bool) -> int:
    """The CPU threads that one picture is computed with.

    Args:
        threads: as asked for. `auto` is 1 for the miniature models: two pictures side by side with one thread each take
            less time than one after the other with two. For larger models it is `OMP_NUM_THREADS`, or all cores, since
            several of their pictures at once would need several times the memory.
        miniature: whether all models are miniatures.
    """
    if threads != "auto":
        return threads
    return 1 if miniature else threads_asked() or usable_cores()


def _defaults(device: str) -> Memory:
    if device == "cpu":
        return _CPU
    if device == "mps":
        return _MPS
    import torch

    gib = torch.cuda.mem_get_info(device)[1] / 2**30  # the total: the free memory changes from one run to the next
    return _FAST if gib >= 20 else _BALANCED if gib >= 10 else _LOW


def _half(device: str) -> Literal["fp32", "fp16", "bf16"]:
    """fp16 on a GPU. A CPU emulates fp16, which is slow, and bf16 too, unless it has instructions for it."""
    if device != "cpu":
        return "fp16"
    return "bf16" if re.search(rb"\b(?:avx512_bf16|amx_bf16)\b", _about_the_processor()) else "fp32"


def _cpp_compiler() -> str | None:
    """The compiler that torch.compile would use on a CPU."""
    return next(filter(None, map(shutil.which, (os.environ.get("CXX") or "g++", "clang++", "cl"))), None)


def _may_have_gpu() -> bool:
    """False only on a Linux without a device node of any GPU driver, where there is certainly no GPU."""
    return not sys.platform.startswith("linux") or any(Path(node).exists() for node in _GPU_NODES)


def hardware(device: str) -> dict[str, str]:
    """What of processor and GPU changes the last bits of results: libraries choose their code by it.

    Args:
        device: as `choose_device` returns it.
    """
    import cv2

    facts = {
        "the processor": f"{platform.machine()} {_vendor()}".strip(),
        "instructions of the processor": cv2.getCPUFeaturesLine(),
    }
    if device.startswith("cuda"):
        import torch

        facts["the GPU"] = torch.cuda.get_device_name(device)
    return facts


def _vendor() -> str:
    """The maker of the processor, by which MKL chooses its code; empty where Linux does not tell it."""
    found = re.search(rb"(?:vendor_id|CPU implementer)\s*:\s*(\S+)", _about_the_processor())
    return found[1].decode("ascii", "replace") if found else ""


def _about_the_processor() -> bytes:
    """What Linux tells of the first core, its maker and its instructions among it; empty elsewhere."""
    with suppress(OSError), open_file(Path("/proc/cpuinfo")) as file:
        return bytes(file.read(8192)).partition(b"\n\n")[0]
    return b""
