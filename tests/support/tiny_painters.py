"""Tiny checkpoints with random weights of the painters that are no Stable Diffusion, in their published layouts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from PIL import Image

from darkroom.models import InpaintRequest
from support.checkpoint_files import write_part, write_tokenizer

_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_VISION = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_BYTES = [*range(33, 127), *range(161, 173), *range(174, 256)]  # those that byte-level BPE writes as themselves
TOKENS = 256 + len(_SPECIAL) + len(_VISION)
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% endif %}{% endif %}"
)

_TEXT = {
    "vocab_size": TOKENS,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
_VAE = {
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [8, 8, 8, 8],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "latent_channels": 4,
}
_FLOW = {"shift": 3.0, "use_dynamic_shifting": True}

Part = tuple[str, str, dict[str, Any]]
"""Library, class and settings of a component."""

FLUX2_KLEIN: dict[str, Part] = {
    "transformer": (
        "diffusers",
        "Flux2Transformer2DModel",
        {
            "in_channels": 16,
            "num_layers": 1,
            "num_single_layers": 1,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": 3 * 16,
            "timestep_guidance_channels": 16,
            "axes_dims_rope": [4, 4, 4, 4],
            "guidance_embeds": False,
        },
    ),
    "vae": ("diffusers", "AutoencoderKLFlux2", _VAE),
    # Klein reads the hidden layers 9, 18 and 27.
    "text_encoder": ("transformers", "Qwen3ForCausalLM", {**_TEXT, "num_hidden_layers": 28}),
    "tokenizer": ("transformers", "Qwen2TokenizerFast", {}),
    "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler", _FLOW),
}

Z_IMAGE: dict[str, Part] = {
    "transformer": (
        "diffusers",
        "ZImageTransformer2DModel",
        {
            "in_channels": 4,
            "dim": 32,
            "n_layers": 1,
            "n_refiner_layers": 1,
            "n_heads": 2,
            "n_kv_heads": 2,
            "cap_feat_dim": 16,
            "axes_dims": [4, 6, 6],
            "axes_lens": [1024, 64, 64],
        },
    ),
    "vae": ("diffusers", "AutoencoderKL", {**_VAE, "scaling_factor": 0.3611, "shift_factor": 0.1159}),
    "text_encoder": ("transformers", "Qwen3Model", {**_TEXT, "num_hidden_layers": 2}),
    "tokenizer": ("transformers", "Qwen2Tokenizer", {}),
    "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
}

QWEN_IMAGE_EDIT: dict[str, Part] = {
    "transformer": (
        "diffusers",
        "QwenImageTransformer2DModel",
        {
            "in_channels": 16,
            "out_channels": 4,
            "num_layers": 1,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": 16,
            "axes_dims_rope": [4, 6, 6],
        },
    ),
    "vae": (
        "diffusers",
        "AutoencoderKLQwenImage",
        {
            "base_dim": 8,
            "z_dim": 4,
            "dim_mult": [1, 1, 1, 1],
            "num_res_blocks": 1,
            "latents_mean": [0.1, -0.1, 0.2, 0.0],
            "latents_std": [1.0, 2.0, 1.5, 0.5],
        },
    ),
    "text_encoder": (
        "transformers",
        "Qwen2_5_VLForConditionalGeneration",
        {
            "text_config": {
                **_TEXT,
                "num_hidden_layers": 2,
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]},
            },
            "vision_config": {
                "depth": 1,
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_heads": 2,
                "out_hidden_size": 16,
                "fullatt_block_indexes": [0],
            },
            "vision_start_token_id": 259,
            "vision_end_token_id": 260,
            "image_token_id": 261,
            "video_token_id": 262,
            "tie_word_embeddings": True,
        },
    ),
    "tokenizer": ("transformers", "Qwen2Tokenizer", {}),
    "processor": ("transformers", "Qwen2VLProcessor", {}),
    "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler", _FLOW),
}

CLIP_TOKENS, T5_PIECES = 600, [chr(code) for code in range(0x21, 0x250) if chr(code).isprintable()]
_CLIP = {
    "vocab_size": CLIP_TOKENS,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 77,
    "projection_dim": 16,
    "bos_token_id": CLIP_TOKENS - 2,
    "eos_token_id": CLIP_TOKENS - 1,
}
_T5 = {
    "vocab_size": 1000,
    "d_model": 40,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 2,
    "num_heads": 2,
    "feed_forward_proj": "gated-gelu",
    "is_encoder_decoder": False,
}
_LATER_VAE = {**_VAE, "use_quant_conv": False, "use_post_quant_conv": False}


def _flux(in_channels: int, guidance_embeds: bool) -> dict[str, Part]:
    transformer = {
        "in_channels": in_channels,
        "out_channels": 16,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": _T5["d_model"],
        "pooled_projection_dim": _CLIP["hidden_size"],
        "guidance_embeds": guidance_embeds,
        "axes_dims_rope": [4, 6, 6],
    }
    return {
        "transformer": ("diffusers", "FluxTransformer2DModel", transformer),
        "vae": ("diffusers", "AutoencoderKL", {**_LATER_VAE, "scaling_factor": 0.3611, "shift_factor": 0.1159}),
        "text_encoder": ("transformers", "CLIPTextModel", _CLIP),
        "text_encoder_2": ("transformers", "T5EncoderModel", _T5),
        "tokenizer": ("transformers", "CLIPTokenizer", {}),
        "tokenizer_2": ("transformers", "T5TokenizerFast", {}),
        "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler", _FLOW),
    }


SD3: dict[str, Part] = {
    "transformer": (
        "diffusers",
        "SD3Transformer2DModel",
        {
            "sample_size": 32,
            "in_channels": 16,
            "num_layers": 2,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": _T5["d_model"],
            "caption_projection_dim": 32,
            "pooled_projection_dim": 32,
            "pos_embed_max_size": 16,
        },
    ),
    "vae": (
        "diffusers",
        "AutoencoderKL",
        {**_LATER_VAE, "latent_channels": 16, "scaling_factor": 1.5305, "shift_factor": 0.0609},
    ),
    "text_encoder": ("transformers", "CLIPTextModelWithProjection", _CLIP),
    "text_encoder_2": ("transformers", "CLIPTextModelWithProjection", _CLIP),
    "text_encoder_3": ("transformers", "T5EncoderModel", _T5),
    "tokenizer": ("transformers", "CLIPTokenizer", {}),
    "tokenizer_2": ("transformers", "CLIPTokenizer", {}),
    "tokenizer_3": ("transformers", "T5TokenizerFast", {}),
    "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
}
_WITHOUT_T5 = {name: part for name, part in SD3.items() if not name.endswith("_3")}
_NO_T5 = {name: [None, None] for name in ("text_encoder_3", "tokenizer_3")}
_BESIDE = 4 + 8 * 8  # channels of the photo's latents, and a latent's pixels of the mask

PAINTERS: dict[str, tuple[str, dict[str, Part], dict[str, Any]]] = {
    "flux2_klein": ("Flux2KleinPipeline", FLUX2_KLEIN, {"is_distilled": True}),
    "flux2_klein_base": ("Flux2KleinPipeline", FLUX2_KLEIN, {"is_distilled": False}),
    "z_image": ("ZImagePipeline", Z_IMAGE, {}),
    "qwen_image_edit": ("QwenImageEditPipeline", QWEN_IMAGE_EDIT, {}),
    "flux1_fill": ("FluxFillPipeline", _flux(4 * (4 + _BESIDE), True), {}),
    "flux1_dev": ("FluxPipeline", _flux(4 * 4, True), {}),
    "flux1_schnell": ("FluxPipeline", _flux(4 * 4, False), {}),
    "sd3": ("StableDiffusion3Pipeline", SD3, {}),
    "sd3_without_t5": ("StableDiffusion3Pipeline", _WITHOUT_T5, _NO_T5),
}
"""By kind: the class of the pipeline that it is published for, its components, and other entries of its index."""


def write_painter(folder: Path, kind: str) -> Path:
    """Write a tiny checkpoint of one of `PAINTERS`."""
    class_name, parts, others = PAINTERS[kind]
    return write_parts(folder, class_name, parts, others)


def write_parts(
    folder: Path,
    class_name: str,
    parts: Mapping[str, Part],
    others: Mapping[str, Any],
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write a diffusers folder of these components, one after the other."""
    index: dict[str, Any] = {"_class_name": class_name, "_diffusers_version": "0.37.0", **others}
    for name, (library, kind, settings) in parts.items():
        index[name] = [library, kind]
        _write(folder / name, library, kind, settings, dtype)
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    return folder


def _write(folder: Path, library: str, kind: str, settings: Mapping[str, Any], dtype: torch.dtype) -> None:
    if kind.startswith("Qwen2Tokenizer"):
        write_qwen_tokenizer(folder)
    elif kind == "CLIPTokenizer":
        write_tokenizer(folder, CLIP_TOKENS, 77)
    elif kind == "T5TokenizerFast":
        _write_t5_tokenizer(folder)
    elif kind == "Qwen2VLProcessor":
        _write_processor(folder)
    elif kind.endswith("Scheduler"):
        getattr(diffusers, kind)(**settings).save_config(folder)
    else:
        with torch.device("meta"):
            model = _build(library, kind, settings)
        write_part(folder, model, None, dtype)


def _build(library: str, kind: str, settings: Mapping[str, Any]) -> torch.nn.Module:
    if library == "diffusers":
        return getattr(diffusers, kind)(**settings)
    network = getattr(transformers, kind)
    return network(network.config_class(**settings))


def write_qwen_tokenizer(folder: Path) -> None:
    """A byte-level Qwen tokenizer without merges, in the published files, with a chat template of a file of its own."""
    letters = [chr(code) for code in [*_BYTES, *range(256, 256 + 256 - len(_BYTES))]]
    vocabulary = {token: index for index, token in enumerate([*letters, *_SPECIAL, *_VISION])}
    tokenizer = transformers.Qwen2Tokenizer(vocab=vocabulary, merges=[], pad_token=_SPECIAL[0], eos_token=_SPECIAL[2])
    tokenizer.add_tokens([*_SPECIAL, *_VISION], special_tokens=True)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)


def _write_t5_tokenizer(folder: Path) -> None:
    """T5's, whose pieces are single letters."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((piece, -3.0) for piece in T5_PIECES)]
    transformers.T5Tokenizer(vocab=pieces).save_pretrained(folder)


def _write_processor(folder: Path) -> None:
    """What shows a picture to Qwen's language model: at most 112 x 112 px of it."""
    write_qwen_tokenizer(folder)
    tokenizer = transformers.Qwen2Tokenizer.from_pretrained(folder)
    sizes = {"shortest_edge": 56 * 56, "longest_edge": 112 * 112}
    images = transformers.Qwen2VLImageProcessor(size=sizes)
    transformers.Qwen2VLProcessor(images, tokenizer, transformers.Qwen2VLVideoProcessor()).save_pretrained(folder)


def plain_picture(folder: Path, request: InpaintRequest) -> np.ndarray:
    """The picture that somebody gets who only knows the documentation of diffusers, at the size of the request."""
    published, _, others = PAINTERS[folder.name]
    class_name = published if "Fill" in published else published.removesuffix("Pipeline") + "InpaintPipeline"
    absent = {name: None for name, value in others.items() if value == [None, None]}
    pipe = getattr(diffusers, class_name).from_pretrained(folder, **absent)
    photo = Image.fromarray(request.image)
    picture = pipe(
        prompt=request.prompt.text,
        **_GUIDANCE[class_name](pipe, request),
        image=photo,
        mask_image=Image.fromarray(request.mask.astype(np.uint8) * 255),
        num_inference_steps=request.steps,
        strength=request.strength,
        generator=torch.Generator("cpu").manual_seed(request.seed),
    ).images[0]
    return np.asarray(picture.resize(photo.size, Image.Resampling.LANCZOS))  # a copy where the size is the same


def _of_klein(pipe: Any, request: InpaintRequest) -> dict[str, Any]:
    """It takes a negative prompt as embeddings only."""
    negative = request.prompt.negative
    with torch.no_grad():
        embeds = None if negative is None else pipe.encode_prompt(negative)[0]
    return {"guidance_scale": request.guidance_scale, "negative_prompt_embeds": embeds}


def _of_z_image(_pipe: Any, request: InpaintRequest) -> dict[str, Any]:
    """Its scale counts from 0: the prediction, and so many times its difference from the unwanted one."""
    return {"guidance_scale": request.guidance_scale - 1, "negative_prompt": request.prompt.negative}


def _of_qwen(_pipe: Any, request: InpaintRequest) -> dict[str, Any]:
    negative = request.prompt.negative
    return {"true_cfg_scale": request.guidance_scale, "negative_prompt": " " if negative is None else negative}


def _of_flux(_pipe: Any, request: InpaintRequest) -> dict[str, Any]:
    height, width = request.image.shape[:2]
    return {"guidance_scale": request.guidance_scale, "height": height, "width": width}


def _of_sd3(pipe: Any, request: InpaintRequest) -> dict[str, Any]:
    return {**_of_flux(pipe, request), "negative_prompt": request.prompt.negative}


_GUIDANCE = {
    "Flux2KleinInpaintPipeline": _of_klein,
    "ZImageInpaintPipeline": _of_z_image,
    "QwenImageEditInpaintPipeline": _of_qwen,
    "FluxInpaintPipeline": _of_flux,
    "FluxFillPipeline": _of_flux,
    "StableDiffusion3InpaintPipeline": _of_sd3,
}
