"""Writes checkpoints with random weights in the layouts in which the real ones are published.

The settings describe the whole architecture, so the same code writes checkpoints of one megabyte and of seven
gigabytes. It writes one component at a time: memory never holds more than one component and its serialized bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import torch
from safetensors.torch import save_file

_TILE = torch.randn(2**20, generator=torch.Generator().manual_seed(0))


def write_tokenizer(folder: Path, size: int, length: int, pad: str = "<|endoftext|>") -> None:
    """A byte-level CLIP tokenizer of `size` tokens, in the published files `vocab.json` and `merges.txt`."""
    letters = [chr(code) for code in [*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324)]]
    tokens = letters + [f"{letter}</w>" for letter in letters]
    merges = list(islice(_merges(), size - len(tokens) - 2))
    tokens += [head + end for head, end in merges] + ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{head} {end}\n" for head, end in merges))
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    special["pad_token"] = pad
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    settings = {**special, "model_max_length": length, "tokenizer_class": "CLIPTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _merges() -> Iterator[tuple[str, str]]:
    """Merges of two, three and four letters, inside a word and at its end."""
    for length in (2, 3, 4):
        for *head, tail in product(ascii_lowercase, repeat=length):
            yield "".join(head), tail
            yield "".join(head), f"{tail}</w>"


def random_state(model: torch.nn.Module, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Weights for a model on the meta device, scaled so that signals neither vanish nor explode."""
    return {
        name: _random(name, tensor.shape, dtype if tensor.is_floating_point() else tensor.dtype)
        for name, tensor in model.state_dict().items()
    }


def _random(name: str, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
    if len(shape) < 2:
        return torch.full(shape, 1 if name.endswith(("weight", "running_var")) else 0, dtype=dtype)
    count = math.prod(shape)
    tile = (_TILE[:count] * math.prod(shape[1:]) ** -0.5).to(dtype)
    return tile.repeat(math.ceil(count / len(tile)))[:count].clone().reshape(shape)  # frees the larger storage


def write_part(folder: Path, model: torch.nn.Module, variant: str | None, dtype: torch.dtype) -> None:
    """Write one component: `config.json` and safetensors, with the published file and tensor names."""
    folder.mkdir(parents=True, exist_ok=True)
    state = random_state(model, dtype)
    if hasattr(model, "save_config"):  # diffusers
        model.save_config(folder)
        name = "diffusion_pytorch_model"
    else:
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(folder)
        name = "model"
        if getattr(model.config, "tie_word_embeddings", False):
            state.pop("lm_head.weight", None)  # published files have it once
        if type(model).__name__ == "CLIPTextModel":  # transformers 5 dropped the prefix; published files have it
            state = {f"text_model.{key}": tensor for key, tensor in state.items()}
    save_file(state, folder / f"{name}{f'.{variant}' if variant else ''}.safetensors", metadata={"format": "pt"})


def write_pipeline(
    folder: Path, class_name: str, settings: Mapping[str, Mapping[str, Any]], variant: str | None = None
) -> Path:
    """Write a diffusers folder of a Stable Diffusion 1, 2 or XL checkpoint.

    Args:
        folder: where to write it.
        class_name: the pipeline class that it is published for.
        settings: of each component: `unet`, `vae`, `text_encoder`, `scheduler`, for XL also `text_encoder_2`.
        variant: `fp16`, or None for fp32.
    """
    dtype = torch.float16 if variant == "fp16" else torch.float32
    index: dict[str, Any] = {"_class_name": class_name, "_diffusers_version": "0.21.0"}
    for name, options in settings.items():
        library, kind = _class_of(name, options)
        index[name] = [library.__name__, kind]
        if name == "scheduler":
            getattr(library, kind)(**{k: v for k, v in options.items() if k != "class"}).save_config(folder / name)
            continue
        with torch.device("meta"):
            model = _build(library, kind, options)
        write_part(folder / name, model, variant, dtype)
        if name.startswith("text_encoder"):
            tokenizer = name.replace("text_encoder", "tokenizer")
            index[tokenizer] = ["transformers", "CLIPTokenizer"]
            pad = "!" if name.endswith("2") else "<|endoftext|>"
            write_tokenizer(folder / tokenizer, options["vocab_size"], options["max_position_embeddings"], pad)
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    return folder


def _class_of(name: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    import diffusers
    import transformers

    kinds = {
        "unet": (diffusers, "UNet2DConditionModel"),
        "vae": (diffusers, "AutoencoderKL"),
        "text_encoder": (transformers, "CLIPTextModel"),
        "text_encoder_2": (transformers, "CLIPTextModelWithProjection"),
    }
    return kinds[name] if name in kinds else (diffusers, options["class"])


def _build(library: Any, kind: str, options: Mapping[str, Any]) -> torch.nn.Module:
    if library.__name__ == "diffusers":
        return getattr(library, kind)(**options)
    return getattr(library, kind)(library.CLIPTextConfig(**options))


def into_cache(cache: Path, repository: str, folder: Path) -> str:
    """Move a folder to where the Hugging Face cache keeps that repository; returns the commit."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    home = cache / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(commit)
    (home / "snapshots").mkdir()
    folder.rename(home / "snapshots" / commit)
    return commit
