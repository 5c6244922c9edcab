"""Whether a control model fits the painter, told from both configurations: before a run, without weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkroom.errors import SetupError, suggest
from darkroom.models.load_errors import as_setup_error
from darkroom.models.names import UNION_TYPES

if TYPE_CHECKING:
    from darkroom.models.checkpoint_info import CheckpointInfo

CONTROLNET, UNION, ADAPTER = "ControlNetModel", "ControlNetUnionModel", "T2IAdapter"
"""The classes of diffusers that act as control models."""

# What a ControlNet shares with the UNet that it was trained for: key of both configurations, and its name for people.
_SHARED = {
    "block_out_channels": "channels",
    "cross_attention_dim": "features of the text",
    "layers_per_block": "layers per block",
    "projection_class_embeddings_input_dim": "features of the added conditions",
}


def control_class(folder: Path) -> str:
    """The class of a control model, `CONTROLNET`, `UNION` or `ADAPTER`.

    Raises:
        SetupError: the folder holds none, or its weights are not safetensors.
    """
    name = str(read_config(folder).get("_class_name"))
    if name not in (CONTROLNET, UNION, ADAPTER):
        holds = name if name != "None" else "no model of diffusers"
        raise SetupError(f"{folder}: holds {holds:.60}; a control is a {CONTROLNET}, {UNION} or {ADAPTER}")
    if not any(folder.glob("diffusion_pytorch_model*.safetensors")):
        raise SetupError(f"{folder}: lacks diffusion_pytorch_model.safetensors; other formats are not loaded")
    return name


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a control model. Raises `SetupError` if it cannot be read."""
    if not folder.is_dir():
        raise SetupError(f"{folder}: is a file; a control model is a folder as diffusers saves it, or a Hub repository")
    if not (folder / "config.json").is_file():
        raise SetupError(f"{folder}: has no config.json; diffusers saves a control model with one")
    with as_setup_error(folder, "a control model"):
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise SetupError(f"{folder}: config.json is no mapping")
    return content


def control_problem(name: str, folder: Path, painter: CheckpointInfo) -> str | None:
    """Why a control model cannot steer a painter; None if it can.

    Args:
        name: of the control in the settings; of a union model it says which kind of control.
        folder: of the control model.
        painter: the inpainting checkpoint.

    Raises:
        SetupError: a configuration cannot be read.
    """
    kind, config = control_class(folder), read_config(folder)
    with as_setup_error(folder, "a control model"):  # values of the wrong type
        return _problem(name, kind, config, painter)


def _problem(name: str, kind: str, config: Mapping[str, Any], painter: CheckpointInfo) -> str | None:
    unet = painter.config("unet")
    if kind == ADAPTER:
        return _adapter_problem(config, unet, painter.config("vae"))
    if kind == UNION:
        if name not in UNION_TYPES:
            return f"a union model needs a name that says the kind of control, {suggest(name, list(UNION_TYPES))}"
        if UNION_TYPES[name] >= int(config.get("num_control_type") or 0):
            return f"this union model has no {name}"
    for key, words in _SHARED.items():
        here, there = config.get(key), unet.get(key)
        if _plain(here) != _plain(there):
            return f"is made for another base model: {_shown(here)} {words}, but the painter has {_shown(there)}"
    return None


def _adapter_problem(config: Mapping[str, Any], unet: Mapping[str, Any], vae: Mapping[str, Any]) -> str | None:
    channels, blocks = list(config.get("channels") or ()), list(unet.get("block_out_channels") or ())
    common = min(len(channels), len(blocks))
    if not common or channels[:common] != blocks[:common]:
        return f"is made for another base model: {_shown(channels)} channels, but the painter has {_shown(blocks)}"
    scale = 2 ** (len(vae.get("block_out_channels") or ()) - 1)
    if unet.get("down_block_types", [""])[0] == "DownBlock2D":  # adds the features after it has halved the size
        scale *= 2
    if config.get("downscale_factor") != scale:
        return f"is made for another base model: its scale is 1/{config.get('downscale_factor')}, not 1/{scale}"
    return None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
