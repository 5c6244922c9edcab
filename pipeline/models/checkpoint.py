"""Loading an inpainting pipeline from a diffusers folder or a single file: Stable Diffusion 1, 2 and XL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import SetupError
from pipeline.models.locate import Place, cached_folder, download_command, missing
from pipeline.models.reading import reading

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

_XL, _SD = "StableDiffusionXLInpaintPipeline", "StableDiffusionInpaintPipeline"
_CLASSES = {"StableDiffusionXLPipeline": _XL, _XL: _XL, "StableDiffusionPipeline": _SD, _SD: _SD}
_SETTINGS: dict[str, dict[str, Any]] = {
    # The invisible watermark comes on by itself where its package is installed, and changes pixels.
    _XL: {"add_watermarker": False},
    # The checker of SD 1.5 answers with a black picture.
    _SD: {"safety_checker": None, "requires_safety_checker": False},
}
_LIBRARIES = ("diffusers", "transformers", "stable_diffusion", None)
_WITH_WEIGHTS = ("text_encoder", "text_encoder_2", "unet", "vae")
_UNET = "model.diffusion_model.input_blocks.0.0.weight"  # in every single file
_KINDS = ("v1", "v2", "inpainting", "inpainting_v2", "xl_base", "xl_inpaint")  # as diffusers calls them


def load_pipeline(place: Place, dtype: torch.dtype) -> DiffusionPipeline:
    """The inpainting pipeline of the checkpoint's kind, on the CPU.

    Reads safetensors and JSON only, so no code of the checkpoint's author can run. Text-to-image checkpoints,
    with 4 channels, repaint too: diffusers puts the picture's own latents back outside the mask at each step.

    Args:
        place: a folder with `model_index.json`, or a single `.safetensors` file.
        dtype: number format to load the weights in.

    Raises:
        SetupError: files are missing or damaged, or the checkpoint is of another kind.
    """
    with reading(place.path, "a Stable Diffusion checkpoint"):
        return _from_file(place.path, dtype) if place.path.is_file() else _from_folder(place, dtype)


def _from_folder(place: Place, dtype: torch.dtype) -> DiffusionPipeline:
    import diffusers

    index = _index(place.path)
    class_name = _class_name(place.path, index["_class_name"])
    return getattr(diffusers, class_name).from_pretrained(
        place.path,
        dtype=dtype,
        variant=_variant(place, index, dtype),
        use_safetensors=True,
        local_files_only=True,
        **_SETTINGS[class_name],
    )


def _index(folder: Path) -> dict[str, Any]:
    """The folder's table of components. Those of any other library could bring code of their own."""
    file = folder / "model_index.json"
    if not file.is_file():
        raise SetupError(f"{folder}: holds no model_index.json, so it is no diffusers folder")
    index = json.loads(file.read_text())
    for name, value in index.items():
        if isinstance(value, list) and value[0] not in _LIBRARIES:
            raise SetupError(f"{file}: {name} is of {value[0]!r}; only diffusers and transformers may be")
    return index


def _class_name(path: Path, published_for: str) -> str:
    if published_for not in _CLASSES:
        raise SetupError(f"{path}: is for {published_for}; inpainting takes Stable Diffusion 1, 2 and XL")
    return _CLASSES[published_for]


def _variant(place: Place, index: dict[str, Any], dtype: torch.dtype) -> str | None:
    """`fp16` or None: of the copies that are wholly there, the one nearest to the wanted number format."""
    parts = [place.path / name for name in _WITH_WEIGHTS if index.get(name, [None])[0]]
    whole = [variant for variant in (None, "fp16") if all(_has_weights(part, variant) for part in parts)]
    if whole:
        return whole[-1] if dtype.itemsize == 2 else whole[0]
    lacking = [part.name for part in parts if not (_has_weights(part, None) or _has_weights(part, "fp16"))]
    what = f"the .safetensors of {', '.join(lacking or _WITH_WEIGHTS)}"
    raise missing(what, place.name) if place.commit else SetupError(f"{place.path}: lacks {what}")


def _has_weights(part: Path, variant: str | None) -> bool:
    files = [file for file in part.glob("*.safetensors") if file.exists()]  # cached names can be dead links
    return any((".fp16." in file.name) == (variant == "fp16") for file in files)


def _from_file(file: Path, dtype: torch.dtype) -> DiffusionPipeline:
    import diffusers

    repository = _published_as(file)
    # diffusers would fetch the configuration by itself, even with local_files_only, unless it is handed over.
    config = cached_folder(repository, "model_index.json")
    if config is None:
        command = download_command(repository, "*.json", "*.txt")
        raise SetupError(f"{file}: needs the configuration and tokenizer (5 MB) of {repository}: {command}")
    class_name = _class_name(file, _index(config)["_class_name"])
    return getattr(diffusers, class_name).from_single_file(
        str(file), config=str(config), dtype=dtype, local_files_only=True, **_SETTINGS[class_name]
    )


def _published_as(file: Path) -> str:
    """The repository whose architecture the file has, told from the shapes in its header."""
    import torch
    from diffusers.loaders import single_file_utils as known
    from safetensors import safe_open

    if file.suffix != ".safetensors":
        raise SetupError(f"{file}: only .safetensors is loaded; a pickled checkpoint can run code")
    with safe_open(file, "pt") as tensors:
        names = list(tensors.keys())
        shapes = {name: torch.empty(tensors.get_slice(name).get_shape(), device="meta") for name in names}
    kind = known.infer_diffusers_model_type(shapes) if _UNET in shapes else "something else"
    if kind not in _KINDS:
        raise SetupError(f"{file}: holds {kind}; inpainting takes Stable Diffusion 1, 2 and XL")
    return known.DIFFUSERS_DEFAULT_PIPELINE_PATHS[kind]["pretrained_model_name_or_path"]
