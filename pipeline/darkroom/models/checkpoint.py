"""Loading an inpainting pipeline from a diffusers folder or a single file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkroom.errors import SetupError
from darkroom.models.checkpoint_formats import PARTS, SETTINGS, pipeline_class, read_index
from darkroom.models.load_errors import reading
from darkroom.models.single_file import load_single_file
from darkroom.models.weights import ModelFiles, missing

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline


def load_pipeline(files: ModelFiles, dtype: torch.dtype) -> DiffusionPipeline:
    """The inpainting pipeline of the checkpoint's kind, on the CPU.

    Reads safetensors and JSON only, so no code of the checkpoint's author can run. Text-to-image checkpoints,
    with 4 channels, repaint too: diffusers puts the picture's own latents back outside the mask at each step.

    Args:
        files: a folder with `model_index.json`, or a single `.safetensors` file.
        dtype: number format to load the weights in.

    Raises:
        SetupError: files are missing or damaged, or the checkpoint is of another kind.
    """
    with reading(files.path, "a Stable Diffusion checkpoint"):
        pipe = load_single_file(files.path, dtype) if files.path.is_file() else _load_folder(files, dtype)
    for name in PARTS:
        part = getattr(pipe, name, None)
        if part is not None and any(tensor.is_meta for tensor in part.parameters()):
            raise SetupError(f"{files.path}: {name} lacks tensors")
    return pipe


def _load_folder(files: ModelFiles, dtype: torch.dtype) -> DiffusionPipeline:
    import diffusers

    index = read_index(files.path)
    present = [name for name in PARTS if index.get(name, [None])[0]]
    variant = _variant(files, present, dtype)
    parts = {name: _load_part(files.path / name, PARTS[name], variant, dtype) for name in present}
    pipeline = pipeline_class(index)
    settings = {**parts, **SETTINGS[pipeline]}
    return getattr(diffusers, pipeline).from_pretrained(files.path, local_files_only=True, **settings)


def _load_part(folder: Path, kind: list[str], variant: str | None, dtype: torch.dtype) -> Any:
    """One component. By itself, because in a pipeline both libraries fill tensors that are missing with noise."""
    import diffusers
    import transformers

    library, name = kind
    part, report = getattr({"diffusers": diffusers, "transformers": transformers}[library], name).from_pretrained(
        folder, dtype=dtype, variant=variant, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    if report["missing_keys"]:
        raise SetupError(f"{folder}: lacks tensors: {', '.join(sorted(report['missing_keys'])[:3])} ...")
    return part


def _variant(files: ModelFiles, parts: list[str], dtype: torch.dtype) -> str | None:
    """`fp16` or None: of the copies that are wholly there, the one nearest to the wanted number format."""
    found = {variant: [_has_weights(files.path / part, variant) for part in parts] for variant in (None, "fp16")}
    whole = [variant for variant, there in found.items() if all(there)]
    if whole:
        return whole[-1] if dtype.itemsize == 2 else whole[0]
    lacking = [part for part, *there in zip(parts, *found.values(), strict=True) if not any(there)]
    what = f"the .safetensors of {', '.join(lacking or parts)}"
    raise missing(what, files.name) if files.commit else SetupError(f"{files.path}: lacks {what}")


def _has_weights(part: Path, variant: str | None) -> bool:
    files = [file for file in part.glob("*.safetensors") if file.exists()]  # cached names can be dead links
    return any((".fp16." in file.name) == (variant == "fp16") for file in files)
