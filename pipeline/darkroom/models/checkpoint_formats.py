"""Which checkpoints the inpainting takes: Stable Diffusion 1, 2 and XL, as their `model_index.json` tells them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from darkroom.errors import SetupError

_XL, _SD = "StableDiffusionXLInpaintPipeline", "StableDiffusionInpaintPipeline"
_CLASSES = {"StableDiffusionXLPipeline": _XL, _XL: _XL, "StableDiffusionPipeline": _SD, _SD: _SD}
_LIBRARIES = ("diffusers", "transformers", "stable_diffusion", None)

SETTINGS: dict[str, dict[str, Any]] = {
    # The invisible watermark comes on by itself where its package is installed, and changes pixels.
    _XL: {"add_watermarker": False},
    # The checker of SD 1.5 answers with a black picture.
    _SD: {"safety_checker": None, "requires_safety_checker": False},
}
"""What each pipeline class is made with."""

PARTS = {
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
}
"""The components with weights, and what they are in all kinds."""


def read_index(folder: Path) -> dict[str, Any]:
    """The folder's table of components, `model_index.json`: name to [library, class].

    Raises:
        SetupError: there is none, or it is of another kind. A component of another library than diffusers and
            transformers could bring code of its author.
    """
    file = folder / "model_index.json"
    if not file.is_file():
        raise SetupError(f"{folder}: holds no model_index.json, so it is no diffusers folder")
    index = json.loads(file.read_text())
    if index.get("_class_name") not in _CLASSES:
        kind = index.get("_class_name")
        raise SetupError(f"{folder}: is for {kind}; inpainting takes Stable Diffusion 1, 2 and XL")
    for name, value in index.items():
        if isinstance(value, list) and (value[0] not in _LIBRARIES or value != PARTS.get(name, value)):
            raise SetupError(f"{file}: {name} is {'.'.join(map(str, value))}, which is not loaded here")
    return index


def pipeline_class(index: dict[str, Any]) -> str:
    """The name of the inpainting pipeline for an index; text-to-image checkpoints are published for another."""
    return _CLASSES[index["_class_name"]]
