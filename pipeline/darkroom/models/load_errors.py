"""Turns whatever a parser of weights, or a compiler of networks, raises into one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from darkroom.errors import SetupError
from darkroom.system.interrupts import raise_if_interrupted


@contextmanager
def as_setup_error(path: Path, kind: str) -> Iterator[None]:
    """Wrap the reading of a model's files.

    Args:
        path: the file or folder that is read.
        kind: what it should be, for the message.

    Raises:
        SetupError: in place of all that safetensors, pickle, json, torch, transformers and diffusers raise.
    """
    try:
        yield
    except (SetupError, MemoryError):
        raise
    except Exception as error:
        raise_if_interrupted()
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SetupError(f"{path}: cannot be read as {kind}: {reason[:200]}") from error


@contextmanager
def as_compile_error() -> Iterator[None]:
    """Wrap the use of a network that may be compiled when it is first used.

    Raises:
        SetupError: torch.compile fails.
    """
    import torch

    try:
        yield
    except torch._dynamo.exc.TorchDynamoException as error:
        reason = str(error).strip().splitlines()[0]
        raise SetupError(
            f"memory.compile=true: torch.compile fails: {reason:.200}; use memory.compile=false"
        ) from error
