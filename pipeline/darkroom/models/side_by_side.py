"""What several Python threads that compute at once must agree on: the number of CPU threads, and whose turn it is."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from threading import RLock
from typing import Any

from darkroom.models.settings import Memory

Turns = AbstractContextManager[Any]
"""Held while a thread computes. It may be entered again by the thread that holds it."""


def turns_on(device: str, memory: Memory, miniature: bool) -> Turns:
    """One thread at a time where threads would disturb each other; nothing to wait for in fp32 on a CPU.

    A GPU computes one thing at a time anyway. Both there and in half precision, the shared VAE may go to fp32 and back,
    and loading a model changes torch's default dtype. Only the miniature in bf16 is loaded in fp32 and cast then, all
    but its VAE: its pictures are computed side by side, with one thread each, while larger models use all cores for
    one picture. torch.compile traces a network when it is first used, which two threads must not do at once.

    Args:
        device: `cpu`, `cuda`, `cuda:1` or `mps`.
        memory: resolved settings.
        miniature: whether the miniature paints.
    """
    undisturbed = memory.dtype == "fp32" or (memory.dtype == "bf16" and miniature)
    return nullcontext() if device == "cpu" and undisturbed and not memory.compile else RLock()


def are_taken(turns: Turns) -> bool:
    """Whether threads have to wait for each other."""
    return not isinstance(turns, nullcontext)


def use_threads(count: int) -> None:
    """Let torch compute with so many CPU threads in this Python thread; the number changes the last bits of results.

    Every Python thread must call this. A new one takes the number over only at its first operation that torch itself
    divides; a convolution or a matrix product before it would use all cores.
    """
    import torch

    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
