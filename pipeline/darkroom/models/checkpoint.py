"""Loads an inpainting pipeline from a diffusers folder or a single file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkroom.errors import SetupError
from darkroom.models.checkpoint_formats import WITH_WEIGHTS, known_family, pipeline_class, pipeline_settings, read_index
from darkroom.models.load_errors import as_setup_error
from darkroom.models.single_file import load_single_file
from darkroom.models.transformers_part import load_network
from darkroom.models.weights import ModelFiles, not_cached
from darkroom.system.interrupts import raise_if_interrupted

if TYPE_CHECKING:
    import torch

    from darkroom.models.diffusers_interfaces import Pipeline

_CLIP_FILES = ("vocab.json", "merges.txt")  # of a tokenizer


def load_pipeline(files: ModelFiles, dtype: torch.dtype) -> Pipeline:
    """The inpainting pipeline for a checkpoint, on the CPU.

    Reads safetensors and JSON only, so no code of the checkpoint's author can run. Text-to-image checkpoints, with 4
    channels, repaint too: at each step diffusers restores the photo's own latents outside the mask.

    Args:
        files: a folder with `model_index.json`, or a single `.safetensors` file.
        dtype: the dtype to load the weights in.

    Raises:
        SetupError: files are missing or damaged, or the checkpoint is of another kind.
    """
    if files.path.is_file():
        with as_setup_error(files.path, "a Stable Diffusion checkpoint"):
            pipe = load_single_file(files.path, dtype)
    else:
        with as_setup_error(files.path, "a diffusers checkpoint"):
            index = read_index(files.path)
        with as_setup_error(files.path, f"a {known_family(index).title} checkpoint"):
            pipe = _load_folder(files, index, dtype)
    for name in WITH_WEIGHTS:
        component = getattr(pipe, name, None)
        if component is not None and any(tensor.is_meta for tensor in component.parameters()):
            raise SetupError(f"{files.path}: {name} lacks tensors")
    return pipe


def _load_folder(files: ModelFiles, index: Mapping[str, Any], dtype: torch.dtype) -> Pipeline:
    import diffusers

    present = [name for name in WITH_WEIGHTS if index.get(name, [None])[0]]
    variant = _variant(files, present, dtype)
    components = {name: _load_component(files.path / name, index[name], variant, dtype) for name in present}
    absent = {name: None for name in known_family(index).components if index.get(name, [""])[0] is None}
    try:
        pipe: Pipeline = getattr(diffusers, pipeline_class(index)).from_pretrained(
            files.path, local_files_only=True, **components, **absent, **pipeline_settings(index)
        )
    except Exception:
        raise_if_interrupted()
        _check_small_parts(files.path, index)
        raise
    return pipe


def _check_small_parts(folder: Path, index: Mapping[str, Any]) -> None:
    """Raise `SetupError` with the folder of the tokenizer or the scheduler that cannot be loaded."""
    import diffusers
    import transformers

    for name, value in index.items():
        library, kind = value if isinstance(value, list) else ("", "")
        if library in ("diffusers", "transformers") and name not in WITH_WEIGHTS:
            lost = [file for file in _CLIP_FILES if not (folder / name / file).is_file()]
            if kind == "CLIPTokenizer" and lost and not (folder / name / "tokenizer.json").is_file():
                raise SetupError(f"{folder / name}: lacks {' and '.join(lost)}")
            with as_setup_error(folder / name, kind):
                parts = {"diffusers": diffusers, "transformers": transformers}[library]
                getattr(parts, kind).from_pretrained(folder / name, local_files_only=True)


def _load_component(folder: Path, class_path: Sequence[str], variant: str | None, dtype: torch.dtype) -> Any:
    """One component, loaded by itself: as part of a pipeline, both libraries fill missing tensors with noise."""
    import diffusers
    import transformers

    library, name = class_path
    settings = {"dtype": dtype, "variant": variant, "use_safetensors": True}
    with as_setup_error(folder, name):
        if library == "transformers":
            return load_network(folder, getattr(transformers, name), **settings)
        component, report = getattr(diffusers, name).from_pretrained(
            folder, local_files_only=True, output_loading_info=True, **settings
        )
    if report["missing_keys"]:
        raise SetupError(f"{folder}: lacks tensors: {', '.join(sorted(report['missing_keys'])[:3])} ...")
    return component


def _variant(files: ModelFiles, components: Sequence[str], dtype: torch.dtype) -> str | None:
    """`fp16` or None: of the copies that are complete, the one nearest to the wanted dtype."""
    found = {
        variant: [_has_weights(files.path / component, variant) for component in components]
        for variant in (None, "fp16")
    }
    complete = [variant for variant, there in found.items() if all(there)]
    if complete:
        return complete[-1] if dtype.itemsize == 2 else complete[0]
    lacking = [name for name, *there in zip(components, *found.values(), strict=True) if not any(there)]
    missing = f"the .safetensors of {', '.join(lacking or components)}"
    raise not_cached(missing, files.name) if files.commit else SetupError(f"{files.path}: lacks {missing}")


def _has_weights(component: Path, variant: str | None) -> bool:
    files = [file for file in component.glob("*.safetensors") if file.exists()]  # cached names can be dead links
    return any((".fp16." in file.name) == (variant == "fp16") for file in files)
