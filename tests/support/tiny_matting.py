"""A tiny matting network with random weights, in the layout in which the real ones are published."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import VitDetConfig, VitMatteConfig, VitMatteForImageMatting, VitMatteImageProcessor


def write_vitmatte(folder: Path) -> Path:
    """A tiny ViTMatte with random weights, as `save_pretrained` writes it."""
    backbone = VitDetConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_channels=4, image_size=64,
        pretrain_image_size=64,
        window_block_indices=[0], residual_block_indices=[], use_relative_position_embeddings=True, window_size=2,
        out_features=["stage2"],
    )  # fmt: skip
    config = VitMatteConfig(
        backbone_config=backbone, hidden_size=16, convstream_hidden_sizes=[4, 8, 12], fusion_hidden_sizes=[16, 12, 8, 4]
    )
    torch.manual_seed(0)
    VitMatteForImageMatting(config).save_pretrained(folder)
    VitMatteImageProcessor().save_pretrained(folder)
    return folder
