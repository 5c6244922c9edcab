"""The checkpoints that inpainting accepts, identified by their `model_index.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darkroom.errors import SetupError
from darkroom.models.painter_families import FAMILIES, PainterFamily, family_of

_LIBRARIES = ("diffusers", "transformers", "stable_diffusion", None)

WITH_WEIGHTS = ("unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")
"""The parts of a checkpoint that have weights."""


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
    if not isinstance(index, dict):
        raise SetupError(f"{file}: should name the parts of a checkpoint, as {{'vae': ['diffusers', 'AutoencoderKL']}}")
    family = family_of(index)
    if family is None and "_class_name" not in index:
        raise SetupError(f"{file}: lacks _class_name, the pipeline that the checkpoint is for")
    if family is None:
        known = ", ".join(each.title for each in FAMILIES)
        raise SetupError(f"{folder}: is for {index.get('_class_name')}; inpainting takes {known}")
    for name, value in index.items():
        if (isinstance(value, list) or name in family.components) and not _is_accepted(name, value, family):
            shown = ".".join(map(str, value)) if isinstance(value, list) and value else value
            raise SetupError(f"{file}: {name} is {shown}, which Darkroom does not load")
    if lacking := [name for name in family.required if name not in index]:
        raise SetupError(f"{file}: lacks {', '.join(lacking)}; each is given as [library, class]")
    return index


def known_family(index: Mapping[str, Any]) -> PainterFamily:
    """The family of an index that `read_index` has accepted."""
    family = family_of(index)
    assert family is not None
    return family


def pipeline_class(index: Mapping[str, Any]) -> str:
    """The name of the inpainting pipeline for an index; the index of a text-to-image checkpoint names another."""
    return known_family(index).pipelines[index["_class_name"]]


def pipeline_settings(index: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of the inpainting pipeline for an index."""
    return known_family(index).settings.get(pipeline_class(index), {})


def _is_accepted(name: str, class_path: Any, family: PainterFamily) -> bool:
    if not isinstance(class_path, list) or len(class_path) != 2 or class_path[0] not in _LIBRARIES:
        return False
    accepted = family.components.get(name)
    return not accepted or ".".join(map(str, class_path)) in accepted
