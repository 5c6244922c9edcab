"""Loading an inpainting pipeline from one `.safetensors` file, as model sites publish them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from darkroom.errors import SetupError
from darkroom.models.checkpoint_formats import SETTINGS, pipeline_class, read_index
from darkroom.models.weights import SMALL_FILES, cached_folder, download_command

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

_UNET = "model.diffusion_model.input_blocks.0.0.weight"  # in every Stable Diffusion file
_KINDS = ("v1", "v2", "inpainting", "inpainting_v2", "xl_base", "xl_inpaint")  # as diffusers calls them


def load_single_file(file: Path, dtype: torch.dtype) -> DiffusionPipeline:
    """The pipeline; its configuration and tokenizer come from the repository of the same architecture.

    Raises:
        SetupError: see `configuration`.
    """
    import diffusers

    config = configuration(file)
    pipeline = pipeline_class(read_index(config))
    # diffusers would fetch the configuration by itself, even with local_files_only, unless it is handed over.
    return getattr(diffusers, pipeline).from_single_file(
        str(file), config=str(config), dtype=dtype, local_files_only=True, **SETTINGS[pipeline]
    )


def configuration(file: Path) -> Path:
    """The folder with configuration and tokenizers of the repository that has the file's architecture.

    Raises:
        SetupError: the file is of another kind, or that repository's small files are not in the cache.
    """
    if file.suffix != ".safetensors":
        raise SetupError(f"{file}: only .safetensors is loaded; a pickled checkpoint can run code")
    repository = _published_as(file)
    config = cached_folder(repository, "model_index.json")
    if config is None:
        command = download_command(repository, *SMALL_FILES)
        raise SetupError(f"{file}: needs the configuration and tokenizer (5 MB) of {repository}: {command}")
    return config


def _published_as(file: Path) -> str:
    """The repository whose architecture the file has, told from the shapes in its header."""
    import torch
    from diffusers.loaders import single_file_utils as known
    from safetensors import safe_open

    with safe_open(file, "pt") as tensors:
        names = list(tensors.keys())
        shapes = {name: torch.empty(tensors.get_slice(name).get_shape(), device="meta") for name in names}
    kind = known.infer_diffusers_model_type(shapes) if _UNET in shapes else "something else"
    if kind not in _KINDS:
        raise SetupError(f"{file}: holds {kind}; inpainting takes Stable Diffusion 1, 2 and XL")
    return known.DIFFUSERS_DEFAULT_PIPELINE_PATHS[kind]["pretrained_model_name_or_path"]
