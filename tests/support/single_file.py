"""Converts a diffusers folder of Stable Diffusion 1 to the single file that model sites publish.

The names of CompVis' latent-diffusion code, as diffusers' `scripts/convert_diffusers_to_original_*` writes them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def write_single_file(folder: Path, file: Path) -> Path:
    """Convert `folder` to `file`; returns `file`."""
    unet = json.loads((folder / "unet" / "config.json").read_text())
    vae = json.loads((folder / "vae" / "config.json").read_text())
    state = {
        f"model.diffusion_model.{_unet_name(name, unet['layers_per_block'])}": tensor
        for name, tensor in load_file(folder / "unet" / "diffusion_pytorch_model.safetensors").items()
    }
    for name, tensor in load_file(folder / "vae" / "diffusion_pytorch_model.safetensors").items():
        state[f"first_stage_model.{_vae_name(name, len(vae['block_out_channels']))}"] = _as_conv(name, tensor)
    for name, tensor in load_file(folder / "text_encoder" / "model.safetensors").items():
        state[f"cond_stage_model.transformer.{name}"] = tensor
    save_file(state, file)
    return file


def _unet_name(name: str, layers: int) -> str:
    for ours, theirs in _UNET_ENDS.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    for ours, theirs in _RESNET.items():
        name = re.sub(rf"(resnets\.\d+)\.{ours}\.", rf"\1.{theirs}.", name)
    place = re.match(r"(down|up|mid)_block(?:s\.(\d+))?\.([a-z]+)\.(\d+)\.(.*)", name)
    side, block, what, index, rest = place.groups()
    index = int(index)
    if side == "mid":
        return f"middle_block.{1 if what == 'attentions' else 2 * index}.{rest}"
    start = int(block) * (layers + 1)
    if side == "down":
        if what == "downsamplers":
            return f"input_blocks.{start + layers + 1}.0.op.{rest.removeprefix('conv.')}"
        return f"input_blocks.{start + index + 1}.{int(what == 'attentions')}.{rest}"
    if what == "upsamplers":
        return f"output_blocks.{start + layers}.{2 if block == '0' else 1}.{rest}"  # behind the attention, if any
    return f"output_blocks.{start + index}.{int(what == 'attentions')}.{rest}"


def _vae_name(name: str, blocks: int) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets\.(\d+)", lambda m: f"up.{blocks - 1 - int(m[1])}.block.{m[2]}", name)
    name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{blocks - 1 - int(m[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d+)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    if "mid_block.attentions.0" in name:
        parts = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
        name = name.replace("mid_block.attentions.0", "mid.attn_1")
        for ours, theirs in parts.items():
            name = name.replace(f".{ours}.", f".{theirs}.")
    return name


def _as_conv(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """The original VAE stores its attention as 1 x 1 convolutions."""
    is_matrix = "attentions" in name and name.endswith("weight") and tensor.ndim == 2
    return tensor[:, :, None, None] if is_matrix else tensor
