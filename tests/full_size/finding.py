"""Networks that find objects, estimate depth and refine edges, in their published settings, with random weights.

    python finding.py write|use KIND      (PYTHONPATH: pipeline and tests; HF_HUB_CACHE: where to write)

`write` puts one of `WRITERS` into the Hugging Face cache, `use` loads it as a run does and prints a line of JSON.
Sources: the defaults of transformers 5, which are those of facebook/sam3, grounding-dino-tiny and owlv2-base; and the
repositories' config.json files, where they differ.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as tf
from huggingface_hub.constants import HF_HUB_CACHE
from measuring import measured, told

from darkroom.models import Memory, ModelNames, Models
from darkroom.models.names import DEPTH, VITMATTE
from support.checkpoint_files import into_cache, write_part, write_tokenizer

PHOTO = np.random.default_rng(0).integers(0, 256, (300, 512, 3), np.uint8)
REPOSITORIES = {
    "sam3": "facebook/sam3",
    "grounding_dino": "IDEA-Research/grounding-dino-tiny",
    "owlv2": "google/owlv2-base-patch16-ensemble",
    "rt_detr_v2": "PekingU/rtdetr_v2_r50vd",
    "depth_anything": DEPTH,
    "dpt": "Intel/dpt-large",
    "vitmatte": VITMATTE,
}
_BERT = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?", 1037: "a"}


def _network(folder: Path, kind: Any, config: Any) -> None:
    with torch.device("meta"):
        network = kind(config)
    write_part(folder, network, None, torch.float32)


def write_sam3(folder: Path) -> None:
    """The published file holds the detector and a tracker for videos, which is ignored."""
    write_tokenizer(folder, 49408, 32)
    tokenizer = tf.CLIPTokenizer.from_pretrained(folder)
    tf.Sam3Processor(tf.Sam3ImageProcessor(), tokenizer).save_pretrained(folder)
    _network(folder, tf.Sam3VideoModel, tf.Sam3VideoConfig())


def write_grounding_dino(folder: Path) -> None:
    """With special tokens and punctuation where BERT has them, as the network cuts phrases there."""
    folder.mkdir(parents=True)
    words = [_BERT.get(number, f"[unused{number}]") for number in range(30522)]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = tf.BertTokenizer.from_pretrained(folder)
    tf.GroundingDinoProcessor(tf.GroundingDinoImageProcessor(), tokenizer).save_pretrained(folder)
    _network(folder, tf.GroundingDinoForObjectDetection, tf.GroundingDinoConfig())


def write_owlv2(folder: Path) -> None:
    write_tokenizer(folder, 49408, 16, pad="!")
    tokenizer = tf.CLIPTokenizer.from_pretrained(folder)
    tf.Owlv2Processor(tf.Owlv2ImageProcessor(), tokenizer).save_pretrained(folder)
    _network(folder, tf.Owlv2ForObjectDetection, tf.Owlv2Config(vision_config={"image_size": 960}))


def write_rt_detr_v2(folder: Path) -> None:
    """The size of the published one for COCO, which has 80 classes."""
    backbone = tf.RTDetrResNetConfig(out_features=["stage2", "stage3", "stage4"])
    names = {number: "car" if number == 2 else f"class {number}" for number in range(80)}
    config = tf.RTDetrV2Config(backbone_config=backbone, id2label=names)
    _network(folder, tf.RTDetrV2ForObjectDetection, config)
    tf.RTDetrImageProcessor().save_pretrained(folder)


def write_depth_anything(folder: Path) -> None:
    backbone = tf.Dinov2Config(
        hidden_size=384,
        num_attention_heads=6,
        image_size=518,
        out_indices=[3, 6, 9, 12],
        reshape_hidden_states=False,
    )
    _network(folder, tf.DepthAnythingForDepthEstimation, tf.DepthAnythingConfig(backbone_config=backbone))
    sizes = {"size": {"height": 518, "width": 518}, "keep_aspect_ratio": True, "ensure_multiple_of": 14}
    tf.DPTImageProcessor(**sizes).save_pretrained(folder)


def write_dpt(folder: Path) -> None:
    """Ranftl et al., arXiv 2103.13413."""
    config = tf.DPTConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        backbone_out_indices=[5, 11, 17, 23],
        neck_hidden_sizes=[256, 512, 1024, 1024],
    )
    _network(folder, tf.DPTForDepthEstimation, config)
    tf.DPTImageProcessor().save_pretrained(folder)


def write_vitmatte(folder: Path) -> None:
    """Yao et al., arXiv 2305.15272: ViTMatte-S, whose ViT looks at windows of 14 patches but in every third layer."""
    backbone = tf.VitDetConfig(
        hidden_size=384,
        num_attention_heads=6,
        num_channels=4,
        image_size=512,
        use_relative_position_embeddings=True,
        window_block_indices=[0, 1, 3, 4, 6, 7, 9, 10],
        residual_block_indices=[2, 5, 8, 11],
        window_size=14,
        out_features=["stage12"],
    )
    config = tf.VitMatteConfig(backbone_config=backbone, fusion_hidden_sizes=[256, 128, 64, 32])
    _network(folder, tf.VitMatteForImageMatting, config)
    tf.VitMatteImageProcessor().save_pretrained(folder)


WRITERS: dict[str, Callable[[Path], None]] = {
    "sam3": write_sam3,
    "grounding_dino": write_grounding_dino,
    "owlv2": write_owlv2,
    "rt_detr_v2": write_rt_detr_v2,
    "depth_anything": write_depth_anything,
    "dpt": write_dpt,
    "vitmatte": write_vitmatte,
}


def write(kind: str) -> None:
    WRITERS[kind](Path(kind))
    into_cache(Path(HF_HUB_CACHE), REPOSITORIES[kind], Path(kind))


KINDS = {"depth_anything": "depth", "dpt": "depth", "vitmatte": "matting"}
"""What kind of model these are; all others find objects."""


def use(kind: str) -> None:
    """One photo; detectors ask the miniature SAM for masks."""
    of = KINDS.get(kind, "find")
    name = {of: REPOSITORIES[kind]}
    models = Models(ModelNames(**name), Memory(), "cpu")
    with measured("load"):
        models.require(name)
        model = getattr(models, of)
    with measured("one photo"):
        found: dict[str, Any] = {"find": _objects, "depth": _depth, "matting": _alpha}[of](model)
    print(json.dumps({**told(), **found, "identity": models.identity(of)["weights"]}))


def _depth(model: Any) -> dict[str, Any]:
    nearness = model.map(PHOTO)
    return {"nearness": [nearness.shape, int(nearness.min()), int(nearness.max())]}


def _alpha(model: Any) -> dict[str, Any]:
    trimap = np.full(PHOTO.shape[:2], 128, np.uint8)
    trimap[:100], trimap[200:] = 0, 255
    alpha = model.alpha(PHOTO, trimap)
    return {"alpha": [alpha.shape, bool(np.isfinite(alpha).all())]}


def _objects(model: Any) -> dict[str, Any]:
    found = model(PHOTO, ["a car"])
    shape = found.mask(0).shape if len(found.scores) else PHOTO.shape[:2]
    return {"objects": len(found.scores), "finite": bool(np.isfinite(found.scores).all()), "mask": shape}


if __name__ == "__main__":
    {"write": write, "use": use}[sys.argv[1]](sys.argv[2])
