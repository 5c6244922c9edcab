"""SAM 2.1 base plus and EdgeTAM at their published sizes, with random weights.

Sources: the configurations of facebook/sam2.1-hiera-base-plus (Ravi et al., arXiv 2408.00714, table 12) and
EdgeTAM (timm's `repvit_m1`), as transformers converts them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as tf

from darkroom.models import Memory, ModelNames, Models

pytestmark = pytest.mark.full_size

BASE_PLUS = {
    "model_type": "sam2_hiera_det_model",
    "hidden_size": 112,
    "num_attention_heads": 2,
    "blocks_per_stage": [2, 3, 16, 3],
    "embed_dim_per_stage": [112, 224, 448, 896],
    "num_attention_heads_per_stage": [2, 4, 8, 16],
    "window_size_per_stage": [8, 4, 14, 7],
    "global_attention_blocks": [12, 16, 20],
    "window_positional_embedding_background_size": [14, 14],
}
REPVIT = {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]}


def test_sam2_base_plus(tmp_path: Path) -> None:
    vision = {"backbone_config": BASE_PLUS, "backbone_channel_list": [896, 448, 224, 112]}
    _answers(tmp_path, tf.Sam2VideoModel(tf.Sam2VideoConfig(vision_config=vision)), 80e6)


def test_edgetam(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    backbone = tf.TimmWrapperConfig(architecture="repvit_m1", model_args=REPVIT)
    vision = tf.EdgeTamVisionConfig(backbone_config=backbone)
    _answers(tmp_path, tf.EdgeTamVideoModel(tf.EdgeTamVideoConfig(vision_config=vision)), 14e6)


def _answers(folder: Path, network: torch.nn.Module, size: float) -> None:
    assert sum(tensor.numel() for tensor in network.parameters()) == pytest.approx(size, rel=0.1)
    network.save_pretrained(folder)
    tf.Sam2ImageProcessor().save_pretrained(folder)
    sam = Models(ModelNames(sam=str(folder)), Memory(), "cpu").sam
    photo = np.random.default_rng(0).integers(0, 256, (300, 512, 3), np.uint8)
    masks, scores = sam.masks(photo, np.array([[100.0, 90.0]]), np.ones(1, int), np.array([50.0, 40.0, 200.0, 160.0]))
    assert np.stack(masks).shape == (3, 300, 512) and np.isfinite(scores).all()
    assert sam.segment_everything(photo, 5).masks.shape == (75, 150, 256)
