"""Tiny IP-Adapters of random weights for the tiny checkpoints, in the published layout."""

from __future__ import annotations

from pathlib import Path

import diffusers
import torch
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

FEATURES, TOKENS = 24, 4


def write_ip_adapter(folder: Path, checkpoint: Path, plus: bool = False, width: int | None = None) -> str:
    """An IP-Adapter with its image encoder; `plus` sees patches. Returns the path of its file.

    Args:
        folder: for the file and the folder `image_encoder`.
        checkpoint: the painter.
        plus: the variant with a resampler.
        width: of the painter's text, if it is to be another.
    """
    unet = diffusers.UNet2DConditionModel.from_pretrained(checkpoint / "unet")
    text = width or unet.config.cross_attention_dim
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPVisionConfig(**sizes, image_size=28, patch_size=14, projection_dim=FEATURES)
    CLIPVisionModelWithProjection(config).save_pretrained(folder / "image_encoder")
    weights: dict[str, torch.Tensor] = _resampler(text) if plus else _projection(text)
    crossing = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    for index, name in enumerate(crossing):
        size = unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
        for part in ("to_k_ip", "to_v_ip"):
            weights[f"ip_adapter.{2 * index + 1}.{part}.weight"] = torch.randn(size, text) / 4
    save_file(weights, folder / "ip-adapter.safetensors")
    return str(folder / "ip-adapter.safetensors")


def _projection(text: int) -> dict[str, torch.Tensor]:
    return {
        "image_proj.proj.weight": torch.randn(TOKENS * text, FEATURES),
        "image_proj.proj.bias": torch.randn(TOKENS * text),
        "image_proj.norm.weight": torch.ones(text),
        "image_proj.norm.bias": torch.zeros(text),
    }


def _resampler(text: int) -> dict[str, torch.Tensor]:
    """A perceiver with one head of 64 features."""
    shapes = resampler_shapes(text, 64, 32, TOKENS)
    return {f"image_proj.{name}": torch.randn(shape) / 8 for name, shape in shapes.items()}


def resampler_shapes(text: int, inner: int, seen: int, tokens: int) -> dict[str, tuple[int, ...]]:
    """The tensors of a perceiver of four layers.

    Args:
        text: features of the painter's text.
        inner: its own features, 64 for each head.
        seen: features of a patch.
        tokens: that it makes of a picture.
    """
    shapes: dict[str, tuple[int, ...]] = {
        "latents": (1, tokens, inner),
        "proj_in.weight": (inner, seen),
        "proj_in.bias": (inner,),
        "proj_out.weight": (text, inner),
        "proj_out.bias": (text,),
        "norm_out.weight": (text,),
        "norm_out.bias": (text,),
    }
    for index in range(4):  # layers that diffusers' converter knows by name
        layer = f"layers.{index}"
        shapes |= {f"{layer}.0.{norm}.{part}": (inner,) for norm in ("norm1", "norm2") for part in ("weight", "bias")}
        shapes |= {f"{layer}.0.to_q.weight": (inner, inner), f"{layer}.0.to_kv.weight": (2 * inner, inner)}
        shapes |= {f"{layer}.0.to_out.weight": (inner, inner)}
        shapes |= {f"{layer}.1.0.weight": (inner,), f"{layer}.1.0.bias": (inner,)}
        shapes |= {f"{layer}.1.1.weight": (4 * inner, inner), f"{layer}.1.3.weight": (inner, 4 * inner)}
    return shapes
