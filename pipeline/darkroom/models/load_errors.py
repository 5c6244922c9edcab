"""Turns whatever a parser of weights raises into one line."""

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
