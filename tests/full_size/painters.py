"""FLUX.2 Klein 4B in its published settings, with random weights in bf16.

    python painters.py write|use      (PYTHONPATH: pipeline and tests; HF_HUB_CACHE: where to write)

`write` puts it into the Hugging Face cache, `use` paints 512 px in one step and prints a line of JSON. The text encoder
is Qwen3 4B with 27 of its 36 layers, the last that Klein reads: all of it would take 1.8 GB more. The sizes were
inferred from the published numbers of parameters (3.9 billion, and 4.0 billion with all layers) and checked against
them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from huggingface_hub.constants import HF_HUB_CACHE
from measuring import measured, told

from darkroom.models import InpaintRequest, Memory, ModelNames, Models
from darkroom.models.names import KLEIN
from darkroom.models.prompts import Prompt
from support.checkpoint_files import into_cache
from support.tiny_painters import Part, write_parts

SIDE = 512
PARTS: dict[str, Part] = {
    "transformer": (
        "diffusers",
        "Flux2Transformer2DModel",
        {
            "num_layers": 5,
            "num_single_layers": 20,
            "num_attention_heads": 24,
            "joint_attention_dim": 3 * 2560,
            "guidance_embeds": False,
        },
    ),
    "vae": ("diffusers", "AutoencoderKLFlux2", {}),
    "text_encoder": (
        "transformers",
        "Qwen3ForCausalLM",
        {
            "vocab_size": 151936,
            "hidden_size": 2560,
            "intermediate_size": 9728,
            "num_hidden_layers": 27,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "max_position_embeddings": 40960,
            "tie_word_embeddings": True,
        },
    ),
    "tokenizer": ("transformers", "Qwen2TokenizerFast", {}),
    "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler", {"shift": 3.0, "use_dynamic_shifting": True}),
}


def write() -> None:
    """In bf16, as it is published."""
    write_parts(Path("klein"), "Flux2KleinPipeline", PARTS, {"is_distilled": True}, torch.bfloat16)
    into_cache(Path(HF_HUB_CACHE), KLEIN, Path("klein"))


def use() -> None:
    """Paints the middle of a picture."""
    models = Models(ModelNames(inpaint=KLEIN), Memory(dtype="bf16"), "cpu")
    with measured("load"):
        diffusion = models.diffusion
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[128:384, 128:384] = True
    with measured("picture"):
        (picture,) = diffusion.inpaint([InpaintRequest(image, mask, Prompt("a red car"), 7, 1, 1.0, 1.0, "default")])
    print(json.dumps({**told(), "shape": picture.shape, "deviation": float(picture.std())}))


if __name__ == "__main__":
    {"write": write, "use": use}[sys.argv[1]]()
