"""Loads an inpainting pipeline from one `.safetensors` file, as model sites publish them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from darkroom.errors import SetupError
from darkroom.models.checkpoint_formats import pipeline_class, pipeline_settings, read_index
from darkroom.models.weights import SMALL_FILES, cached_folder, download_command

if TYPE_CHECKING:
    import torch

    from darkroom.models.diffusers_interfaces import Pipeline

_UNET = "model.diffusion_model.input_blocks.0.0.weight"  # in every Stable Diffusion file
_KINDS = ("v1", "v2", "inpainting", "inpainting_v2", "xl_base", "xl_inpaint")  # diffusers' names


def load_single_file(file: Path, dtype: torch.dtype) -> Pipeline:
    """The pipeline of a file; its configuration and tokenizer come from the repository of the same architecture.

    Raises:
        SetupError: see `configuration`.
    """
    import diffusers

    config = configuration(file)
    index = read_index(config)
    # Without `config`, diffusers downloads the configuration, even with local_files_only.
    pipe: Pipeline = getattr(diffusers, pipeline_class(index)).from_single_file(
        str(file), config=str(config), dtype=dtype, local_files_only=True, **pipeline_settings(index)
    )
    return pipe


def configuration(file: Path) -> Path:
    """The folder with configuration and tokenizers of the repository with the file's architecture.

    Raises:
        SetupError: the file is of another kind, or that repository's small files are not in the cache.
    """
    if file.suffix != ".safetensors":
        raise SetupError(f"{file}: only .safetensors is loaded; a pickled checkpoint can run code")
    repository = _repository_of(file)
    config = cached_folder(repository, "model_index.json")
    if config is None:
        command = download_command(repository, *SMALL_FILES)
        raise SetupError(f"{file}: needs the configuration and tokenizer (5 MB) of {repository}: {command}")
    return config


def _repository_of(file: Path) -> str:
    """The repository with the file's architecture, which the shapes in its header reveal."""
    import torch
    from diffusers.loaders import single_file_utils
    from safetensors import safe_open

    with safe_open(file, "pt") as tensors:
        names = list(tensors.keys())
        shapes = {name: torch.empty(tensors.get_slice(name).get_shape(), device="meta") for name in names}
    infer: Callable[[Mapping[str, torch.Tensor]], str] = single_file_utils.infer_diffusers_model_type
    kind = infer(shapes) if _UNET in shapes else "something else"
    if kind not in _KINDS:
        raise SetupError(f"{file}: holds {kind}; inpainting takes Stable Diffusion 1, 2 and XL")
    return single_file_utils.DIFFUSERS_DEFAULT_PIPELINE_PATHS[kind]["pretrained_model_name_or_path"]
