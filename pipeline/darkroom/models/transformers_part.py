"""Loads a network of transformers whose files may come from a stranger."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from darkroom.errors import SetupError

_MOST_LAYERS = 1000  # Llama 3.1 405B has 126
_MOST = 4  # times as many numbers as its files hold; tied weights are stored once


def load_network(folder: Path, network: Any, **options: Any) -> Any:
    """A network, on the CPU. Unlike transformers, refuses a folder from which it would be filled up with noise.

    Args:
        folder: as `save_pretrained` writes it.
        network: its class.
        options: of `from_pretrained`.

    Raises:
        SetupError: `config.json` or tensors are missing, or tensors have another shape than it says.
        ValueError: `config.json` describes a far larger network than there is; and whatever transformers raises.
    """
    if not (folder / "config.json").is_file():
        raise SetupError(f"{folder}: lacks config.json")
    _check_size(folder, network)
    loaded, report = network.from_pretrained(
        folder, local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True, **options
    )
    if report["mismatched_keys"]:
        name, stored, described = min(map(tuple, report["mismatched_keys"]))
        sizes = f"has the shape {_shape(stored)}, and {_shape(described)} by config.json"
        raise SetupError(f"{folder}: the tensor {name} {sizes}")
    if report["missing_keys"]:
        raise SetupError(f"{folder}: lacks tensors: {', '.join(sorted(report['missing_keys'])[:3])} ...")
    return loaded


def _check_size(folder: Path, network: Any) -> None:
    """A few bytes of `config.json` can describe a network that takes all memory."""
    import torch
    import transformers

    is_auto = not hasattr(network, "config_class")
    kind = transformers.AutoConfig if is_auto else network.config_class
    config = kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    for key, value in _whole_numbers(config.to_dict()):
        if key.endswith(("_size", "_heads", "_layers", "_dim")) and value < 0:
            raise ValueError(f"{key} in config.json must not be negative; got {value}")
        if key.endswith("_layers") and value > _MOST_LAYERS:  # each takes memory, even on the device `meta`
            raise ValueError(f"{key} in config.json should be at most {_MOST_LAYERS:,}; got {value:,}")
    with torch.device("meta"):
        described_network = network.from_config(config) if is_auto else network(config)
    described = sum(tensor.numel() for tensor in described_network.parameters())
    held = sum(_numbers(file) for file in folder.glob("*.safetensors"))
    held = held or sum(file.stat().st_size for file in folder.glob("*.bin"))  # of which a number takes a byte or more
    if held and described > _MOST * held:
        raise ValueError(f"config.json describes a network of {described:,} numbers, its files hold {held:,}")


def _whole_numbers(settings: Mapping[Any, Any]) -> Iterator[tuple[str, int]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _whole_numbers(value)
        elif type(value) is int:
            yield str(key), value


def _numbers(file: Path) -> int:
    from safetensors import safe_open

    with safe_open(file, "np") as tensors:
        names = tensors.keys()
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)


def _shape(size: Any) -> str:
    return " x ".join(map(str, size)) or "()"
