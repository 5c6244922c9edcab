"""Which models a run uses, and how they use memory: the groups `conf/models` and `conf/memory`, validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, PlainValidator, ValidationError
from pydantic.dataclasses import dataclass

from darkroom.errors import RecipeError, suggest
from darkroom.system.frozen import FrozenDict

_CONFIG = ConfigDict(extra="forbid")
_Name = Annotated[str, Field(min_length=1)]
_Auto = Literal["auto"]


def _named_weights(value: Any) -> FrozenDict[str, str]:
    given = {} if value is None else value
    if not isinstance(given, Mapping) or not all(isinstance(each, str) and each for each in (*given, *given.values())):
        raise ValueError("a mapping of names to weights, such as {canny: /path/to/folder}")
    return FrozenDict(given)


# Names of the user's own, and the weights that they stand for.
_NamedWeights = Annotated[FrozenDict[str, str], PlainValidator(_named_weights)]


class SettingsGroup:
    """A configuration group: a dataclass that is made from a plain mapping.

    Attributes:
        group: its key in the configuration.
    """

    group: ClassVar[str]

    @classmethod
    def parse(cls, mapping: Mapping[str, Any]) -> Self:
        """Validate the group's mapping, as the YAML files give it.

        Raises:
            RecipeError: with all unknown keys and wrong values, and for each the valid alternative.
        """
        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # every group is a dataclass
        strange = [str(key) for key in mapping if key not in names]
        unknown = [f"{cls.group}.{key}: unknown key, {suggest(key, names)}" for key in strange]
        try:
            parsed = cls(**{key: value for key, value in mapping.items() if key in names})
        except ValidationError as error:
            raise RecipeError([*unknown, *_wrong_values(cls.group, error)]) from None
        if unknown:
            raise RecipeError(unknown)
        return parsed


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class ModelNames(SettingsGroup):
    """The weights of each model, by name.

    Attributes:
        sam: `auto`, `miniature`, `vit_b`, `vit_l`, `vit_h`, a path to an official `.pth`, or SAM 2.1 or EdgeTAM: a Hub
            repository such as `facebook/sam2.1-hiera-base-plus`, or a folder.
        clipseg: `auto`, `miniature`, a Hub repository such as `CIDAS/clipseg-rd64-refined`, or a folder.
        inpaint: `auto`, `miniature`, a Hub repository, a diffusers folder or a single `.safetensors` file.
        subject: `auto`, `grabcut`, a network by the name that `rembg` gives it, such as `u2netp`, or a path to an ONNX
            file.
        matting: `guided`, `closed_form`, or ViTMatte: a Hub repository such as `hustvl/vitmatte-small-composition-1k`,
            or a folder.
        upscale: `lanczos`, or a path to a network that `spandrel` knows.
        lama: `big-lama`, or a path.
        find: `clipseg`, or SAM 3, Grounding DINO, OWLv2 or a detector of faces or other classes: a Hub repository such
            as `facebook/sam3`, or a folder.
        depth: `auto`, a Hub repository of a depth network of transformers, such as
            `depth-anything/Depth-Anything-V2-Small-hf`, or a folder.
        reference: `auto`, or an IP-Adapter: the path of a `.safetensors` file with a folder `image_encoder` beside it,
            or a Hub repository and the path in it (`reference_info.find_reference`).
        controls: control models by names that recipes use, such as `canny`: a Hub repository or a folder each.
        loras: LoRAs for `inpaint`, by the names that recipes use: a path to a `.safetensors` file, a file in a Hub
            repository such as `ByteDance/SDXL-Lightning/sdxl_lightning_8step_lora.safetensors`, or `miniature`.
    """

    group = "models"
    sam: _Name = "auto"
    clipseg: _Name = "auto"
    inpaint: _Name = "auto"
    subject: _Name = "auto"
    matting: _Name = "guided"
    upscale: _Name = "lanczos"
    lama: _Name = "big-lama"
    find: _Name = "clipseg"
    depth: _Name = "auto"
    reference: _Name = "auto"
    controls: _NamedWeights = FrozenDict()
    loras: _NamedWeights = FrozenDict()


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Memory(SettingsGroup):
    """How the models use memory; `darkroom.models.device.resolve_memory` settles `auto` and `half` for the device.

    Attributes:
        dtype: dtype of the inpainting model. `half` is fp16 on a GPU; on a CPU it is bf16 if the CPU has instructions
            for it, else fp32. SAM and CLIPSeg are small and always fp32.
        weights: how the inpainting model keeps those of the network that denoises: `full` (in `dtype`), or in fewer
            bits, which changes pictures (`small_weights.keep_small`).
        offload: how the inpainting model shares the device: `none` (all of it stays there), `model` (whole components
            take turns), `sequential` or `group` (layers take turns).
        vae_slicing: decode the pictures of a batch one by one.
        vae_tiling: decode large pictures in overlapping tiles; alters them slightly.
        batch_size: pictures per UNet call, at least 1; smaller batches are padded to it.
        workers: batches in work at the same time, at least 1. It changes no result. `auto` stays `auto` here: see
            `Models.workers`.
        channels_last: keep the UNet's tensors in the memory layout that convolutions prefer. Changes last bits.
        compile: compile the repeated blocks of the UNet with torch.compile. Changes last bits.
        threads: CPU threads that one picture is computed with. Their number changes last bits.
    """

    group = "memory"
    dtype: Literal["auto", "fp32", "fp16", "bf16", "half"] = "auto"
    weights: Literal["full", "int8", "nf4"] = "full"
    offload: Literal["auto", "none", "model", "sequential", "group"] = "auto"
    vae_slicing: bool | _Auto = "auto"
    vae_tiling: bool | _Auto = "auto"
    batch_size: Annotated[int, Field(ge=1, le=64)] | _Auto = "auto"
    workers: Annotated[int, Field(ge=1, le=64)] | _Auto = "auto"
    channels_last: bool | _Auto = "auto"
    compile: bool | _Auto = "auto"
    threads: Annotated[int, Field(ge=1, le=256)] | _Auto = "auto"


def _wrong_values(group: str, error: ValidationError) -> list[str]:
    """One line for each key; for a union, pydantic reports each of its members."""
    expected: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    for problem in error.errors():
        key = str(problem["loc"][0])
        expected.setdefault(key, []).append(
            problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        )
        values[key] = problem["input"]
    return [f"{group}.{key}: {values[key]!r} should be {' or '.join(valid)}" for key, valid in expected.items()]
