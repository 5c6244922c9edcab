"""What several Python threads that compute at once must agree on: the number of CPU threads, and whose turn it is."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from threading import RLock
from typing import Any

from darkroom.models.settings import Memory

Turns = AbstractContextManager[Any]
"""Held while a thread computes. It may be entered again by the thread that holds it."""


def turns_on(device: str, memory: Memory) -> Turns:
    """One thread at a time where threads would disturb each other; nothing to wait for in fp32 on a CPU.

    A GPU computes one thing at a time anyway. Both there and in half precision, the shared VAE may go to fp32 and back,
    and loading a model changes torch's default dtype. torch.compile traces a network when it is first used, which two
    threads must not do at once.

    Args:
        device: `cpu`, `cuda`, `cuda:1` or `mps`.
        memory: resolved settings.
    """
    return nullcontext() if device == "cpu" and memory.dtype == "fp32" and not memory.compile else RLock()


def use_threads(count: int) -> None:
    """Let torch compute with so many CPU threads in this Python thread; the number changes the last bits of results.

    Every Python thread must call this. A new one takes the number over only at its first operation that torch itself
    divides; a convolution or a matrix product before it would use all cores.
    """
    import torch

    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
