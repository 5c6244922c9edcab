"""Tiny SAM 2.1 and EdgeTAM with random weights, in the layouts in which the real ones are published."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import transformers as tf

SIDE = 128  # of the square that they see, in pixels
_NECK = {
    "backbone_channel_list": [64, 32, 16, 8],
    "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
    "fpn_hidden_size": 32,
}
_PROMPTS = {"hidden_size": 32, "image_size": SIDE, "patch_size": 16}
_DECODER = {"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32}
_MEMORY = {  # of the networks for video; photos need none of it
    "memory_attention_hidden_size": 32,
    "memory_attention_num_layers": 1,
    "memory_attention_feed_forward_hidden_size": 32,
    "memory_attention_rope_feat_sizes": [8, 8],
    "memory_encoder_hidden_size": 32,
    "memory_encoder_output_channels": 16,
    "mask_downsampler_embed_dim": 32,
    "memory_fuser_embed_dim": 32,
    "memory_fuser_intermediate_dim": 32,
    "memory_fuser_num_layers": 1,
}


class BackboneConfig(tf.PretrainedConfig):
    """Of a backbone that takes the place of timm's, which is not needed for tests."""

    model_type = "tiny_backbone"


class _Maps(NamedTuple):
    last_hidden_state: list[torch.Tensor]
    hidden_states: None = None


class Backbone(tf.PreTrainedModel):
    """Four maps of features, each half as large as the one before."""

    config_class = BackboneConfig

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__(config)
        strides = zip([3, 8, 16, 32], [8, 16, 32, 64], [4, 2, 2, 2], strict=True)
        self.layers = torch.nn.ModuleList([torch.nn.Conv2d(one, two, stride, stride) for one, two, stride in strides])
        self.post_init()

    def forward(self, pixel_values: torch.Tensor, **_: object) -> _Maps:
        maps = [pixel_values]
        for layer in self.layers:
            maps.append(torch.tanh(layer(maps[-1])))
        return _Maps(maps[1:])


tf.AutoConfig.register("tiny_backbone", BackboneConfig)
tf.AutoModel.register(BackboneConfig, Backbone)


def write_sam2(folder: Path) -> Path:
    return _write(folder, tf.Sam2Model(tf.Sam2Config(**_hiera())))


def write_sam2_video(folder: Path) -> Path:
    """As Meta's repositories hold it."""
    return _write(folder, tf.Sam2VideoModel(tf.Sam2VideoConfig(**_hiera(), **_MEMORY)))


def write_edgetam_video(folder: Path) -> Path:
    vision = tf.EdgeTamVisionConfig(**_NECK, backbone_config=BackboneConfig())
    memory = {**_MEMORY, "perceiver_resampler_hidden_size": 16, "memory_attention_mlp_hidden_size": 32}
    config = tf.EdgeTamVideoConfig(
        vision_config=vision, prompt_encoder_config=_PROMPTS, mask_decoder_config=_DECODER, **memory
    )
    return _write(folder, tf.EdgeTamVideoModel(config))


def _hiera() -> dict[str, object]:
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [8, 4, 4, 4],
        "global_attention_blocks": [3],
    }
    vision = {**_NECK, "backbone_config": backbone}
    return {"vision_config": vision, "prompt_encoder_config": _PROMPTS, "mask_decoder_config": _DECODER}


def _write(folder: Path, network: torch.nn.Module) -> Path:
    torch.manual_seed(0)
    for tensor in network.parameters():
        torch.nn.init.normal_(tensor, std=0.3)
    network.save_pretrained(folder)
    tf.Sam2ImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder
