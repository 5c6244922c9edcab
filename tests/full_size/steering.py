"""What steers SDXL, in the published settings, with random weights.

    python steering.py write|use KIND      (PYTHONPATH: pipeline and tests; HF_HUB_CACHE: where to write)

`write` puts `sdxl` or one of `REPOSITORIES` into the Hugging Face cache, `use` paints 512 px in one step with it and
prints a line of JSON. Sources: diffusers' classes and training scripts (ControlNet, T2I-Adapter); the UNet, whose
blocks a ControlNet shares; Ye et al. (arXiv 2308.06721) and its code for the resampler; the configurations of OpenCLIP
ViT-H and ViT-bigG.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers as tf
from huggingface_hub.constants import HF_HUB_CACHE
from measuring import measured, told
from real import SCHEDULER, TEXT, TEXT_2, UNET, VAE
from safetensors.torch import save_file

from darkroom.models import InpaintRequest, Memory, ModelNames, Models
from darkroom.models.names import IP_ADAPTERS, SDXL
from darkroom.models.prompts import Prompt
from darkroom.models.request import Control
from darkroom.models.weights import find_weights
from darkroom.system.frozen import FrozenDict
from support.checkpoint_files import into_cache, random_state, write_part, write_pipeline
from support.lora_files import write_lora
from support.tiny_references import resampler_shapes

SIDE = 512
HALF = torch.float16
REFERENCES = {"reference": IP_ADAPTERS[2], "plus": "h94/IP-Adapter/sdxl_models/ip-adapter-plus_sdxl_vit-h.safetensors"}
REPOSITORIES = {
    "controlnet": "diffusers/controlnet-canny-sdxl-1.0",
    "union": "xinsir/controlnet-union-sdxl-1.0",
    "adapter": "TencentARC/t2i-adapter-canny-sdxl-1.0",
}
_IMAGES = {"image_size": 224, "patch_size": 14, "hidden_act": "gelu"}
VIT_H = {
    **_IMAGES,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "projection_dim": 1024,
}
VIT_BIGG = {
    **_IMAGES,
    "hidden_size": 1664,
    "intermediate_size": 8192,
    "num_hidden_layers": 48,
    "num_attention_heads": 16,
    "projection_dim": 1280,
}
_SHARED = {key: value for key, value in UNET.items() if key not in ("sample_size", "in_channels", "up_block_types")}


def write_sdxl(_: str) -> None:
    parts = {"unet": UNET, "vae": VAE, "text_encoder": TEXT, "text_encoder_2": TEXT_2, "scheduler": SCHEDULER}
    write_pipeline(Path("sdxl"), "StableDiffusionXLInpaintPipeline", parts, variant="fp16")
    into_cache(Path(HF_HUB_CACHE), SDXL, Path("sdxl"))


def write_control(kind: str) -> None:
    """The union model is published in fp16 without a variant in the file's name."""
    with torch.device("meta"):
        if kind == "controlnet":
            network = diffusers.ControlNetModel(conditioning_embedding_out_channels=(16, 32, 96, 256), **_SHARED)
        elif kind == "union":
            network = diffusers.ControlNetUnionModel(num_control_type=6, **_SHARED)
        else:
            channels = {"channels": [320, 640, 1280, 1280], "num_res_blocks": 2, "downscale_factor": 16}
            network = diffusers.T2IAdapter(in_channels=3, adapter_type="full_adapter_xl", **channels)
    write_part(Path(kind), network, None if kind == "union" else "fp16", HALF)
    into_cache(Path(HF_HUB_CACHE), REPOSITORIES[kind], Path(kind))


def write_reference(kind: str) -> None:
    """The adapter, and its image encoder where h94/IP-Adapter has it."""
    file = Path(kind, *REFERENCES[kind].split("/")[2:])
    file.parent.mkdir(parents=True)
    folder = Path(kind, "models" if kind == "plus" else "sdxl_models", "image_encoder")
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(**UNET)
        encoder = tf.CLIPVisionModelWithProjection(tf.CLIPVisionConfig(**(VIT_H if kind == "plus" else VIT_BIGG)))
    write_part(folder, encoder, None, torch.float32 if kind == "plus" else HALF)
    shapes = _resampler() if kind == "plus" else _projection()
    crossing = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    for index, name in enumerate(crossing):
        size = unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
        shapes |= {f"ip_adapter.{2 * index + 1}.{part}.weight": (size, 2048) for part in ("to_k_ip", "to_v_ip")}
    save_file(_random(shapes), file)
    into_cache(Path(HF_HUB_CACHE), "h94/IP-Adapter", Path(kind))


def _projection() -> dict[str, tuple[int, ...]]:
    return {
        "image_proj.proj.weight": (4 * 2048, 1280),
        "image_proj.proj.bias": (4 * 2048,),
        "image_proj.norm.weight": (2048,),
        "image_proj.norm.bias": (2048,),
    }


def _resampler() -> dict[str, tuple[int, ...]]:
    """Four layers of 20 heads with 64 features; 16 tokens."""
    return {f"image_proj.{name}": shape for name, shape in resampler_shapes(2048, 1280, 1280, 16).items()}


def _random(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    holder = _Shapes({name: torch.empty(shape, device="meta") for name, shape in shapes.items()})
    return random_state(holder, HALF)


class _Shapes(torch.nn.Module):
    """A module with given names and shapes, whose names may have dots."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self._tensors = tensors

    def state_dict(self, *_: Any, **__: Any) -> dict[str, torch.Tensor]:
        return self._tensors


def write_loras(_: str) -> None:
    """The same weights twice: as kohya's scripts name SDXL's layers, with alpha = rank / 2, and as PEFT does."""
    checkpoint = find_weights("inpaint", SDXL).path
    for layout in ("sgm", "peft"):
        write_lora(Path(f"{layout}.safetensors"), checkpoint, layout, rank=16, size=0.02)


def use(kind: str) -> None:
    """Paints the middle of a picture in one step, without guidance: one call of the UNet."""
    loras = {name: str(Path(f"{name}.safetensors").absolute()) for name in ("sgm", "peft")} if kind == "loras" else {}
    controls = {"canny": REPOSITORIES[kind]} if kind in REPOSITORIES else {}
    names = ModelNames(inpaint=SDXL, controls=controls, loras=loras, reference=REFERENCES.get(kind, "auto"))
    models = Models(names, Memory(dtype="bf16"), "cpu")
    with measured("check"):
        problems = _problems(models, kind)
    assert not any(problems), problems
    with measured("load SDXL"):
        diffusion = models.diffusion
    pictures = []
    for number, request in enumerate(_requests(kind)):
        with measured(f"picture {number + 1}"):
            pictures += diffusion.inpaint([request])
    deviations = [float(picture.std()) for picture in pictures]
    alike = all(np.array_equal(picture, pictures[0]) for picture in pictures)
    print(json.dumps({**told(), "shape": pictures[0].shape, "deviations": deviations, "alike": alike}))


def _problems(models: Models, kind: str) -> list[str | None]:
    if kind == "loras":
        return [models.loras.problem("sgm"), models.loras.problem("peft")]
    return [models.reference_problem() if kind in REFERENCES else models.control_problem("canny")]


def _requests(kind: str) -> list[InpaintRequest]:
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[128:384, 128:384] = True

    def request(**steering: Any) -> InpaintRequest:
        return InpaintRequest(image, mask, Prompt("a red car"), 7, 1, 1.0, 1.0, "default", **steering)

    if kind == "loras":
        return [request(loras=FrozenDict(weights)) for weights in ({"sgm": 1.0}, {"peft": 0.5})]
    if kind in REFERENCES:
        return [request(references=(image[:300],), reference_weight=0.6)]
    return [request(controls=(Control("canny", 0.7, mask.astype(np.uint8) * 255),))]


WRITERS: dict[str, Callable[[str], None]] = {
    "sdxl": write_sdxl,
    "loras": write_loras,
    **dict.fromkeys(REPOSITORIES, write_control),
    **dict.fromkeys(REFERENCES, write_reference),
}


if __name__ == "__main__":
    if sys.argv[1] == "write":
        WRITERS[sys.argv[2]](sys.argv[2])
    else:
        use(sys.argv[2])
