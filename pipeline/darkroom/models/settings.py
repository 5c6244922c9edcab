"""Which models, and how they use memory: the groups `conf/models` and `conf/memory`, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from darkroom.errors import RecipeError, suggest

_CONFIG = ConfigDict(extra="forbid")
_Name = Annotated[str, Field(min_length=1)]
_Auto = Literal["auto"]


class SettingsGroup:
    """A configuration group that is made from a plain mapping."""

    group: str

    @classmethod
    def parse(cls, mapping: Mapping[str, Any]) -> Self:
        """Check the group's mapping, as it comes out of the YAML files.

        Raises:
            RecipeError: all unknown keys and wrong values, each named with what would be right.
        """
        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # every group is a dataclass
        strange = [str(key) for key in mapping if key not in names]
        unknown = [f"{cls.group}.{key}: unknown key, {suggest(key, names)}" for key in strange]
        known = {key: value for key, value in mapping.items() if key in names}
        try:
            parsed = cls(**known)
        except ValidationError as error:
            raise RecipeError([*unknown, *_wrong_values(cls.group, error)]) from None
        if unknown:
            raise RecipeError(unknown)
        return parsed


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class ModelNames(SettingsGroup):
    """Which weights each model is made from.

    Attributes:
        sam: `auto`, `miniature`, `vit_b`, `vit_l`, `vit_h`, a path to an official `.pth` or a folder with
            `config.json` and `model.safetensors`.
        clipseg: `auto`, `miniature`, a Hub repository such as `CIDAS/clipseg-rd64-refined`, or a folder.
        inpaint: `auto`, `miniature`, a Hub repository, a diffusers folder or a single `.safetensors` file.
    """

    group = "models"
    sam: _Name = "auto"
    clipseg: _Name = "auto"
    inpaint: _Name = "auto"


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Memory(SettingsGroup):
    """How the models use memory; every `auto` is chosen for the device (`darkroom.models.device.resolve_memory`).

    Attributes:
        dtype: number format of the inpainting model. SAM and CLIPSeg are small and always fp32.
        offload: where the inpainting model's parts wait: `none` (on the device), `model` (whole parts take
            turns), `sequential` or `group` (layers take turns).
        vae_slicing: decode the pictures of a batch one by one.
        vae_tiling: decode large pictures in overlapping tiles; alters them slightly.
        batch_size: pictures per UNet call, at least 1; smaller batches are padded to it.
    """

    group = "memory"
    dtype: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    offload: Literal["auto", "none", "model", "sequential", "group"] = "auto"
    vae_slicing: bool | _Auto = "auto"
    vae_tiling: bool | _Auto = "auto"
    batch_size: Annotated[int, Field(ge=1, le=64)] | _Auto = "auto"


def _wrong_values(group: str, error: ValidationError) -> list[str]:
    """One line for each key, though a union reports each of its members."""
    lines: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    for problem in error.errors():
        key = str(problem["loc"][0])
        lines.setdefault(key, []).append(problem["msg"].removeprefix("Input should be "))
        values[key] = problem["input"]
    return [f"{group}.{key}: {values[key]!r} should be {' or '.join(said)}" for key, said in lines.items()]
