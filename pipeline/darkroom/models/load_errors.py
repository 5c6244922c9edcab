"""Turns whatever a parser of weights, or a compiler of networks, raises into one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from darkroom.errors import SetupError
from darkroom.system.files import read_file
from darkroom.system.interrupts import raise_if_interrupted

_MAX_JSON = 100_000_000  # bytes; the largest tokenizers have 35 million


@contextmanager
def as_setup_error(path: Path, kind: str) -> Iterator[None]:
    """Wrap the reading of a model's files.

    Args:
        path: the file or folder that is read.
        kind: what it should be, for the message.

    Raises:
        SetupError: in place of all that safetensors, pickle, json, torch, transformers and diffusers raise; names the
            damaged file, if there is one.
    """
    try:
        yield
    except (SetupError, MemoryError):
        raise
    except Exception as error:
        raise_if_interrupted()
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = " ".join(lines[: 2 if lines[0].endswith(":") else 1])
        raise SetupError(_damage(path) or f"{path}: cannot be read as {kind}: {reason[:200]}") from error


def _damage(path: Path) -> str | None:
    """The first damaged file of a model, in a line that says what is wrong with it."""
    patterns = [f"{place}*{suffix}" for suffix in (".json", ".safetensors") for place in ("", "*/")]
    files = [path] if path.is_file() else sorted(file for pattern in patterns for file in path.glob(pattern))
    files = [file for file in files if file.is_file()]  # and no dead link, as caches leave them
    wrong = ((file, _wrong_json(file) if file.suffix == ".json" else _wrong_tensors(file)) for file in files)
    return next((f"{file}: {why}; get it again" for file, why in wrong if why), None)


def _wrong_json(file: Path) -> str | None:
    try:
        if not (data := read_file(file, _MAX_JSON)):
            return "is empty"
        content = json.loads(data)
    except (OSError, ValueError, RecursionError) as error:
        return f"cannot be read as JSON: {error}"
    if lost := _lost_shards(file, content):
        return f"names {lost}, which is not there"
    is_mapping = isinstance(content, dict) or not file.name.endswith(("config.json", "index.json"))
    return None if is_mapping else f"should hold a mapping of settings; got {content!r:.60}"


def _lost_shards(file: Path, content: Any) -> str | None:
    """The first file with tensors that an index names and that is missing."""
    if not file.name.endswith(".safetensors.index.json") or not isinstance(content, dict):
        return None
    shards = content.get("weight_map")
    names = sorted(set(map(str, shards.values()))) if isinstance(shards, dict) else []
    return next((name for name in names if not (file.parent / name).is_file()), None)


def _wrong_tensors(file: Path) -> str | None:
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors":
        return None
    try:
        with safe_open(file, "np"):
            return None
    except (OSError, SafetensorError) as error:
        return f"cannot be read as safetensors: {error}"


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
