"""How recipes run: the checked keys of `conf/config.yaml`. What is done to photos is in `recipe.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Strict
from pydantic.dataclasses import dataclass as pydantic_dataclass

from darkroom.config import recipe_form
from darkroom.config.result_name import checked_template
from darkroom.dataset import Dataset
from darkroom.errors import RecipeError, collect_errors, suggest
from darkroom.models.settings import Memory, ModelNames, SettingsGroup

if TYPE_CHECKING:
    from darkroom.models import Models

KEYS = ("models", "memory", "engine", "device", "results", "outputs", "dry_run", "strict", "profile", "until", "limit")

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:[0-9]{1,2})?")

OutputKind = Literal["picture", "cutout", "mask", "background", "layers"]


def _output_kinds(value: Any) -> Any:
    """One kind, or a list of them without repetitions; pydantic checks the names."""
    kinds = (value,) if isinstance(value, str) else value
    if not isinstance(kinds, list | tuple) or not kinds:
        raise ValueError("a list such as [picture, cutout]")
    return tuple(dict.fromkeys(kinds)) if all(isinstance(kind, str) for kind in kinds) else kinds


@pydantic_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Results(SettingsGroup):
    """The files in `results/` of a run folder, the finished pictures.

    Attributes:
        what: of each picture: the `picture` itself, the subject as a `cutout`, its `mask`, the `background` without it,
            or a file with both as `layers`.
        format: of picture and background: `png` is lossless and what the run folder keeps anyway; the others are
            converted from it, `tiff` without loss.
        quality: of `jpeg` and `webp`, 1 to 100.
        name: a template for the names of the files (`result_name`); None for the photo's name and the variant.
        gps: pictures say where their photo was taken, if the photo does.
        disclose: pictures and backgrounds say in XMP, with IPTC's DigitalSourceType, that they were edited, and whether
            a generative model made a part.
        c2pa_certificate: path of a PEM file with which pictures and backgrounds are signed (C2PA); None for no
            signature.
        c2pa_key: path of its private key.
        only: keep nothing else of the pictures: no photos, masks, steps, thumbnails and reports.
    """

    group = "results"
    what: Annotated[tuple[OutputKind, ...], BeforeValidator(_output_kinds)] = ("picture",)
    format: Literal["png", "jpeg", "webp", "tiff"] = "png"
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    name: Annotated[str | None, AfterValidator(checked_template)] = None
    gps: Annotated[bool, Strict()] = False
    disclose: Annotated[bool, Strict()] = False
    c2pa_certificate: str | None = None
    c2pa_key: str | None = None
    only: Annotated[bool, Strict()] = False


@pydantic_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Engine(SettingsGroup):
    """What computes. It changes no result, and so is in no key.

    Attributes:
        kind: `local` for this process, `ray` for the processes of a Ray cluster.
        cpus: cores of each process of `ray`, at least 1; with `auto`, a GPU's share of the cores of its machine, or
            without a GPU as many as one picture is computed with.
    """

    group = "engine"
    kind: Literal["local", "ray"] = "local"
    cpus: Annotated[int, Field(ge=1, le=1024), Strict()] | Literal["auto"] = "auto"


GROUPS: dict[str, type[ModelNames] | type[Memory] | type[Engine]] = {
    "models": ModelNames,
    "memory": Memory,
    "engine": Engine,
}
_G = TypeVar("_G", ModelNames, Memory, Engine)


@dataclass(frozen=True)
class Settings:
    """Which models run where, how they use memory, and which files are delivered.

    Attributes:
        weights: the checkpoints.
        memory: how they use memory.
        engine: what computes.
        device: `auto`, `cpu`, `mps`, `cuda` or `cuda:N`.
        results: the delivered files.
        dry_run: only report what a run would do.
        strict: warnings are errors.
        profile: say where the time goes; changes no result and enters no key.
    """

    weights: ModelNames
    memory: Memory
    engine: Engine
    device: str
    results: Results
    dry_run: bool
    strict: bool
    profile: bool

    def models(self) -> Models:
        """The models of these settings; the jobs of a sweep share them.

        Raises:
            SetupError: this machine has no such device, or the device lacks what the settings need.
        """
        return _models(self.weights, self.memory, self.device)

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> Self:
        """Check the settings of a composed configuration; other keys are errors.

        Raises:
            RecipeError: with every problem.
        """
        _, *settings = collect_errors(
            partial(_refuse_unknown, config),
            partial(_group, ModelNames, config),
            partial(_group, Memory, config),
            partial(_group, Engine, config),
            partial(_device, config),
            partial(_results, config),
            partial(_switch, config, "dry_run"),
            partial(_switch, config, "strict"),
            partial(_switch, config, "profile"),
        )
        return cls(*settings)


def known_keys() -> dict[str, Any]:
    """The keys of a configuration without a recipe; sections are mappings."""
    tree: dict[str, Any] = dict.fromkeys((*KEYS, *recipe_form.KEYS))
    sections = {**GROUPS, "results": Results, "dataset": Dataset}
    for key, each in sections.items():
        tree[key] = dict.fromkeys(field.name for field in fields(each) if field.init)
    return tree


def _refuse_unknown(config: Mapping[str, Any]) -> None:
    known = list(known_keys())
    unknown = [key for key in config if key not in known]
    if unknown:
        raise RecipeError([f"command line: {key}: unknown key, {suggest(str(key), known)}" for key in unknown])


def _group(group: type[_G], config: Mapping[str, Any]) -> _G:
    given, key = config.get(group.group), group.group
    if not isinstance(given, Mapping):
        raise RecipeError(f"command line: {key}: is required; {key}=auto chooses for this machine")
    return group.parse(given)


def _device(config: Mapping[str, Any]) -> str:
    device = config.get("device")
    if not isinstance(device, str) or not _DEVICE.fullmatch(device):
        raise RecipeError(f"command line: device: one of auto, cpu, cuda, cuda:1, mps; got {device!r:.60}")
    return device


def _results(config: Mapping[str, Any]) -> Results:
    given = config.get("results", {})
    if not isinstance(given, Mapping):
        raise RecipeError("command line: results: set its keys, as in results.format=jpeg results.quality=90")
    return Results.parse(given)


def _switch(config: Mapping[str, Any], key: str) -> bool:
    value = config.get(key, False)
    if not isinstance(value, bool):
        raise RecipeError(f"command line: {key}={value}: true or false")
    return value


@lru_cache(maxsize=1)
def _models(weights: ModelNames, memory: Memory, device: str) -> Models:
    from darkroom.models import Models  # which a refused recipe does not need

    return Models(weights, memory, device)
