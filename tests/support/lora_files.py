"""Writes LoRAs with random weights in the layouts in which they are published."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from darkroom.models.lora_file import shapes_of

Tensors = dict[str, torch.Tensor]
LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
_KOHYA = {"unet": "lora_unet", "text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}


def _peft(component: str, layer: str, down: torch.Tensor, up: torch.Tensor) -> Tensors:
    return {f"{component}.{layer}.lora_A.weight": down, f"{component}.{layer}.lora_B.weight": up}


def _diffusers(component: str, layer: str, down: torch.Tensor, up: torch.Tensor) -> Tensors:
    part = "lora" if component == "unet" else "lora_linear_layer"
    return {f"{component}.{layer}.{part}.down.weight": down, f"{component}.{layer}.{part}.up.weight": up}


def _kohya(component: str, layer: str, down: torch.Tensor, up: torch.Tensor) -> Tensors:
    name = f"{_KOHYA[component]}_{layer.replace('.', '_')}"
    alpha = torch.tensor(len(down) / 2)
    return {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": alpha}


LAYOUTS: dict[str, Callable[[str, str, torch.Tensor, torch.Tensor], Tensors]] = {
    "peft": _peft,
    "diffusers": _diffusers,
    "kohya": _kohya,
}


def _sgm(layer: str, per_block: int) -> str:
    """The name of an attention layer of SDXL's UNet in Stability's own code."""
    layer = layer.replace("mid_block.attentions.0", "middle_block.1")
    found = re.fullmatch(r"(down|up)_blocks\.(\d+)\.attentions\.(\d+)\.(.+)", layer)
    if not found:
        return layer
    side, block, place = found[1], int(found[2]), int(found[3])
    number = (per_block + 1) * block + place + (side == "down")  # before the first block down is conv_in
    return f"{'input' if side == 'down' else 'output'}_blocks.{number}.1.{found[4]}"


def write_lora(
    file: Path,
    checkpoint: Path,
    layout: str = "kohya",
    seed: int = 0,
    rank: int = 4,
    size: float = 0.2,
    parts: tuple[str, ...] = ("unet", "text_encoder", "text_encoder_2"),
) -> Path:
    """Write a LoRA for a checkpoint.

    Args:
        file: where to write it.
        checkpoint: a diffusers folder; only its configurations are read.
        layout: one of `LAYOUTS`, or `sgm`: kohya's with the names of blocks that its scripts give to SDXL.
        seed: of the weights.
        rank: of all layers.
        size: standard deviation of the weights.
        parts: the components to adapt.
    """
    generator = torch.Generator().manual_seed(seed)
    tensors: Tensors = {}
    shapes, unet = shapes_of(checkpoint)
    for (component, layer), shape in shapes.items():
        if component in parts and layer.endswith(LAYERS):
            is_bare = component == "unet" or layer.startswith("text_model.")  # published files have the prefix
            down = torch.randn((rank, *shape[1:]), generator=generator) * size
            up = torch.randn((shape[0], rank, *[1] * len(shape[2:])), generator=generator) * size
            name = layer if is_bare else f"text_model.{layer}"
            if layout == "sgm" and component == "unet":
                name = _sgm(layer, unet.layers_per_block)
            tensors |= LAYOUTS["kohya" if layout == "sgm" else layout](component, name, down, up)
    save_file(tensors, file)
    return file
