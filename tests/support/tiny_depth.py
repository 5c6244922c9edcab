"""Tiny depth networks with random weights, in the layouts in which the real ones are published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as tf

_LAYERS = {"hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2}


def write_depth_anything(folder: Path, **other: Any) -> str:
    """Depth Anything for pictures of about 56 px, with other settings if any are given. Returns the folder."""
    backbone = tf.Dinov2Config(
        **_LAYERS, image_size=56, patch_size=14, out_indices=[1, 2, 3, 4], reshape_hidden_states=False
    )
    config = tf.DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=24,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=8,
        head_hidden_size=4,
        **other,
    )
    return _write(folder, tf.DepthAnythingForDepthEstimation(config), keep_aspect_ratio=True, ensure_multiple_of=14)


def write_dpt(folder: Path) -> str:
    """DPT for square pictures of 56 px, to which photos are stretched. Returns the folder."""
    config = tf.DPTConfig(
        **_LAYERS,
        intermediate_size=48,
        image_size=56,
        patch_size=14,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=8,
    )
    return _write(folder, tf.DPTForDepthEstimation(config))


def _write(folder: Path, network: torch.nn.Module, **sizes: Any) -> str:
    torch.manual_seed(0)
    for weight in network.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
    network.save_pretrained(folder)
    tf.DPTImageProcessor(size={"height": 56, "width": 56}, **sizes).save_pretrained(folder)
    return str(folder)
