"""SD 1.5 inpainting and a ControlNet for it, in the published settings, with random weights.

    python sd15.py write|use      (PYTHONPATH: pipeline and tests; HF_HUB_CACHE: where to write)

`write` puts both into the Hugging Face cache, 2.9 GB; `use` paints with them and prints a line of JSON.
Sources: the config.json files of stable-diffusion-v1-5/stable-diffusion-inpainting and lllyasviel/sd-controlnet-canny.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import diffusers
import numpy as np
import torch
from huggingface_hub.constants import HF_HUB_CACHE
from measuring import measured, told
from real import SCHEDULER, TEXT, VAE

from darkroom.models import InpaintRequest, Memory, ModelNames, Models
from darkroom.models.names import SD15
from darkroom.models.prompts import Prompt
from darkroom.models.request import Control
from support.checkpoint_files import into_cache, write_part, write_pipeline

SIDE = 512
CONTROLNET = "lllyasviel/sd-controlnet-canny"
SHARED = {
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
}
UNET = {
    **SHARED,
    "sample_size": 64,
    "in_channels": 9,
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
}
PNDM = {key: value for key, value in SCHEDULER.items() if key != "timestep_spacing"}


def write() -> None:
    parts = {
        "unet": UNET,
        "vae": {**VAE, "sample_size": 512, "scaling_factor": 0.18215, "force_upcast": False},
        "text_encoder": TEXT,
        "scheduler": {**PNDM, "class": "PNDMScheduler", "skip_prk_steps": True},
    }
    write_pipeline(Path("sd15"), "StableDiffusionInpaintPipeline", parts, variant="fp16")
    into_cache(Path(HF_HUB_CACHE), SD15, Path("sd15"))
    with torch.device("meta"):
        network = diffusers.ControlNetModel(conditioning_embedding_out_channels=(16, 32, 96, 256), **SHARED)
    write_part(Path("controlnet"), network, None, torch.float32)
    into_cache(Path(HF_HUB_CACHE), CONTROLNET, Path("controlnet"))


def use() -> None:
    """Paints two pictures, one with the ControlNet, in two steps with guidance."""
    models = Models(ModelNames(inpaint=SD15, controls={"canny": CONTROLNET}), Memory(dtype="bf16"), "cpu")
    with measured("load"):
        diffusion = models.diffusion
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[128:384, 128:384] = True
    control = Control("canny", 0.7, mask.astype(np.uint8) * 255)
    pictures = []
    for number, controls in enumerate([(), (control,)]):
        with measured(f"picture {number + 1}"):
            request = InpaintRequest(image, mask, Prompt("a red car"), 7, 2, 7.5, 1.0, "default", controls=controls)
            pictures += diffusion.inpaint([request])
    shapes, deviations = [picture.shape for picture in pictures], [float(picture.std()) for picture in pictures]
    differ = not np.array_equal(*pictures)
    print(json.dumps({**told(), "shapes": shapes, "deviations": deviations, "differ": differ}))


if __name__ == "__main__":
    {"write": write, "use": use}[sys.argv[1]]()
