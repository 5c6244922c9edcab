"""The checkpoints that inpainting accepts: Stable Diffusion 1, 2 and XL, identified by their `model_index.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darkroom.errors import SetupError

_XL, _SD = "StableDiffusionXLInpaintPipeline", "StableDiffusionInpaintPipeline"
_CLASSES = {"StableDiffusionXLPipeline": _XL, _XL: _XL, "StableDiffusionPipeline": _SD, _SD: _SD}
_LIBRARIES = ("diffusers", "transformers", "stable_diffusion", None)

PIPELINE_SETTINGS: dict[str, dict[str, Any]] = {
    # The invisible watermark turns itself on where its package is installed, and changes pixels.
    _XL: {"add_watermarker": False},
    # The safety checker of SD 1.5 replaces pictures by black ones.
    _SD: {"safety_checker": None, "requires_safety_checker": False},
}
"""The arguments of each pipeline class."""

COMPONENTS: dict[str, tuple[str, str]] = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
}
"""The components with weights; in every accepted checkpoint they have this library and class."""


def read_index(folder: Path) -> dict[str, Any]:
    """The folder's table of components, `model_index.json`: name to [library, class].

    Raises:
        SetupError: there is none, or it is of another kind. A component of another library than diffusers and
            transformers could bring code of its author.
    """
    file = folder / "model_index.json"
    if not file.is_file():
        raise SetupError(f"{folder}: holds no model_index.json, so it is no diffusers folder")
    index: dict[str, Any] = json.loads(file.read_text())
    if index.get("_class_name") not in _CLASSES:
        raise SetupError(f"{folder}: is for {index.get('_class_name')}; inpainting takes Stable Diffusion 1, 2 and XL")
    for name, value in index.items():
        if isinstance(value, list) and not _is_accepted(name, value):
            raise SetupError(f"{file}: {name} is {'.'.join(map(str, value))}, which Darkroom does not load")
    return index


def pipeline_class(index: Mapping[str, Any]) -> str:
    """The name of the inpainting pipeline for an index; the index of a text-to-image checkpoint names another."""
    return _CLASSES[index["_class_name"]]


def _is_accepted(name: str, class_path: list[Any]) -> bool:
    return class_path[0] in _LIBRARIES and (name not in COMPONENTS or tuple(class_path) == COMPONENTS[name])
