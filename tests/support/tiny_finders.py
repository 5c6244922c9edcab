"""Tiny models that find phrases, with random weights, in the layouts in which the real ones are published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import transformers as tf

from support.checkpoint_files import write_tokenizer

_WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "a", "car", "dog")
_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 600,
}
_LAYERS = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}


class BoxFiller:
    """In place of SAM: the whole box is the object."""

    def masks(self, image, points, labels, box):
        masks = np.zeros((3, *image.shape[:2]), bool)
        x0, y0, x1, y1 = np.round(box).astype(int)
        masks[1, y0:y1, x0:x1] = True
        return masks, np.array([0.1, 0.9, 0.2])


def write_sam3(folder: Path) -> Path:
    """SAM 3 for pictures of 112 px."""
    write_tokenizer(folder, 600, 32)
    vit = {
        **_LAYERS,
        "model_type": "sam3_vit_model",
        "num_hidden_layers": 2,
        "image_size": 112,
        "pretrain_image_size": 112,
        "patch_size": 14,
        "window_size": 4,
        "global_attn_indexes": [1],
    }
    config = tf.Sam3Config(
        vision_config={
            "backbone_config": vit,
            "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        },
        text_config={**_TEXT, "max_position_embeddings": 32, "projection_dim": 32},
        geometry_encoder_config={**_LAYERS, "num_layers": 1},
        detr_encoder_config={**_LAYERS, "num_layers": 1},
        detr_decoder_config={**_LAYERS, "num_layers": 2, "num_queries": 12},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )
    processor = tf.Sam3Processor(
        tf.Sam3ImageProcessor(size={"height": 112, "width": 112}), tf.CLIPTokenizer.from_pretrained(folder)
    )
    return _write(folder, tf.Sam3Model(config), processor)


def write_owlv2(folder: Path) -> Path:
    """OWLv2 for pictures of 64 px."""
    write_tokenizer(folder, 600, 16)
    vision = {**_LAYERS, "num_hidden_layers": 2, "image_size": 64, "patch_size": 16}
    config = tf.Owlv2Config(
        vision_config=vision, text_config={**_TEXT, "max_position_embeddings": 16}, projection_dim=32
    )
    processor = tf.Owlv2Processor(
        tf.Owlv2ImageProcessor(size={"height": 64, "width": 64}), tf.CLIPTokenizer.from_pretrained(folder)
    )
    return _write(folder, tf.Owlv2ForObjectDetection(config), processor)


def write_grounding_dino(folder: Path) -> Path:
    """Grounding DINO for pictures of about 64 px."""
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(_WORDS))
    swin = tf.SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_indices=[2, 3, 4],
    )
    bert = {**_TEXT, "model_type": "bert", "vocab_size": len(_WORDS)}
    config = tf.GroundingDinoConfig(
        backbone_config=swin,
        text_config=bert,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=10,
    )
    sizes = {"shortest_edge": 64, "longest_edge": 96}
    tokenizer = tf.BertTokenizer.from_pretrained(folder)
    processor = tf.GroundingDinoProcessor(tf.GroundingDinoImageProcessor(size=sizes), tokenizer)
    return _write(folder, tf.GroundingDinoForObjectDetection(config), processor)


_CLASSES = {0: "face", 1: "hand", 2: "Left foot"}
_DETR = {
    "d_model": 32,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "decoder_layers": 2,
    "num_queries": 20,
    "id2label": _CLASSES,
}
_HYBRID = {**_DETR, "encoder_hidden_dim": 32, "encoder_in_channels": [16, 32, 64], "decoder_in_channels": [32, 32, 32]}


def write_rt_detr_v2(folder: Path) -> Path:
    """RT-DETR v2 for pictures of 64 px."""
    backbone = tf.RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 32, 64], depths=[1, 1, 1, 1], out_features=["stage2", "stage3", "stage4"]
    )
    network = tf.RTDetrV2ForObjectDetection(tf.RTDetrV2Config(backbone_config=backbone, **_HYBRID))
    return _write(folder, network, tf.RTDetrImageProcessor(size={"height": 64, "width": 64}))


def write_d_fine(folder: Path) -> Path:
    """D-FINE for pictures of 64 px."""
    backbone = tf.HGNetV2Config(
        embedding_size=8,
        hidden_sizes=[8, 16, 32, 64],
        depths=[1, 1, 1, 1],
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 8, 16, 32],
        stage_mid_channels=[8, 8, 16, 16],
        stage_out_channels=[8, 16, 32, 64],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1],
        out_features=["stage2", "stage3", "stage4"],
    )
    network = tf.DFineForObjectDetection(tf.DFineConfig(backbone_config=backbone, **_HYBRID))
    return _write(folder, network, tf.RTDetrImageProcessor(size={"height": 64, "width": 64}))


def write_yolos(folder: Path) -> Path:
    """YOLOS for pictures of 64 px."""
    config = tf.YolosConfig(
        **_LAYERS, num_hidden_layers=2, image_size=[64, 64], num_detection_tokens=20, id2label=_CLASSES
    )
    processor = tf.YolosImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    return _write(folder, tf.YolosForObjectDetection(config), processor)


def write_detr(folder: Path) -> Path:
    """DETR for pictures of about 64 px, with a ResNet of transformers' own."""
    backbone = tf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1] * 4, out_features=["stage4"])
    network = tf.DetrForObjectDetection(tf.DetrConfig(backbone_config=backbone, encoder_layers=1, **_DETR))
    return _write(folder, network, tf.DetrImageProcessor(size={"shortest_edge": 64, "longest_edge": 96}))


def _write(folder: Path, network: torch.nn.Module, processor: object) -> Path:
    torch.manual_seed(0)
    for tensor in network.parameters():
        torch.nn.init.normal_(tensor, std=0.1)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
