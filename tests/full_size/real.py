"""The settings of the published SAM ViT-B, CLIPSeg rd64 refined and SDXL inpainting 0.1, written with random weights.

    python real.py FOLDER      (PYTHONPATH: tests)

writes `FOLDER/sam_vit_b_01ec64.pth` and the Hugging Face cache `FOLDER/hub`, 8 GB in all.
Sources: the repositories' config.json files; segment_anything/build_sam.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from darkroom.models.names import CLIPSEG, SAM_CHECKPOINTS, SDXL
from support.checkpoint_files import into_cache, random_state, write_part, write_pipeline, write_tokenizer

TOKENS = {"vocab_size": 49408, "max_position_embeddings": 77, "bos_token_id": 49406, "eos_token_id": 49407}
TEXT = {
    **TOKENS,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
    "pad_token_id": 1,
}
TEXT_2 = {
    **TOKENS,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
    "pad_token_id": 1,
}
UNET = {
    "sample_size": 128,
    "in_channels": 9,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [320, 640, 1280],
    "layers_per_block": 2,
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
VAE = {
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "sample_size": 1024,
    "scaling_factor": 0.13025,
    "force_upcast": True,
}
SCHEDULER = {
    "class": "EulerDiscreteScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "leading",
    "steps_offset": 1,
}


def write_sam(file: Path) -> None:
    """The published layout: a pickled state dict in fp32."""
    from segment_anything import sam_model_registry

    with torch.device("meta"):
        network = sam_model_registry["vit_b"]()
    torch.save(random_state(network, torch.float32), file)


def write_clipseg(folder: Path) -> None:
    """The published settings; its image processor looks at 352 px, though the vision tower was trained at 224."""
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, ViTImageProcessor

    text = {**TOKENS, "hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8}
    config = CLIPSegConfig(text_config=text, vision_config={"patch_size": 16}, use_complex_transposed_convolution=True)
    with torch.device("meta"):
        network = CLIPSegForImageSegmentation(config)
    write_tokenizer(folder, TOKENS["vocab_size"], TOKENS["max_position_embeddings"])
    write_part(folder, network, None, torch.float32)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")  # this repository publishes a pickle
    size = {"height": 352, "width": 352}
    means = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    ViTImageProcessor(size=size, **means).save_pretrained(folder)


def main(folder: Path) -> None:
    write_sam(folder / SAM_CHECKPOINTS["vit_b"])
    write_clipseg(folder / "clipseg")
    into_cache(folder / "hub", CLIPSEG, folder / "clipseg")
    parts = {"unet": UNET, "vae": VAE, "text_encoder": TEXT, "text_encoder_2": TEXT_2, "scheduler": SCHEDULER}
    write_pipeline(folder / "sdxl", "StableDiffusionXLInpaintPipeline", parts, variant="fp16")
    into_cache(folder / "hub", SDXL, folder / "sdxl")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
