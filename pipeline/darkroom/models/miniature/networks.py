"""The network of the miniature SAM: segment_anything's own classes at another size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segment_anything.modeling import Sam


def load_sam_network(folder: Path) -> Sam:
    """The network of a folder with `config.json` (keys as in `build_sam`) and `model.safetensors`, on the CPU."""
    from safetensors.torch import load_file

    network = build_sam(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network


def build_sam(config: Mapping[str, Any]) -> Sam:
    """A `segment_anything.modeling.Sam` with random weights.

    Attention is global in every layer: at 16 x 16 tokens the windows of the original would save nothing.

    Args:
        config: the sizes, as `miniature.networks.SAM_CONFIG` lists them.
    """
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
    from torch import nn

    size, dim = config["image_size"], config["prompt_dim"]
    grid = size // config["patch_size"]
    encoder = ImageEncoderViT(
        img_size=size,
        patch_size=config["patch_size"],
        embed_dim=config["embed_dim"],
        depth=config["depth"],
        num_heads=config["heads"],
        mlp_ratio=config["mlp_ratio"],
        out_chans=dim,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        qkv_bias=True,
        use_rel_pos=True,
        window_size=0,
        global_attn_indexes=tuple(range(config["depth"])),
    )
    prompts = PromptEncoder(
        embed_dim=dim,
        image_embedding_size=(grid, grid),
        input_image_size=(size, size),
        mask_in_chans=config["mask_prompt_channels"],
    )
    transformer = TwoWayTransformer(
        depth=config["decoder_depth"],
        embedding_dim=dim,
        mlp_dim=config["decoder_mlp_dim"],
        num_heads=config["decoder_heads"],
    )
    decoder = MaskDecoder(
        num_multimask_outputs=3,
        transformer=transformer,
        transformer_dim=dim,
        iou_head_depth=3,
        iou_head_hidden_dim=dim,
    )
    return Sam(encoder, prompts, decoder, config["pixel_mean"], config["pixel_std"])
