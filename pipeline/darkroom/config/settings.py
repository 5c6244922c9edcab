"""HOW recipes are run: the keys of `conf/config.yaml`, checked. WHAT is done to photos is `recipe.py`'s matter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as pydantic_dataclass

from darkroom.config import recipe_form
from darkroom.dataset import Dataset
from darkroom.errors import RecipeError, collect_errors, suggest
from darkroom.models import Memory, ModelNames, Models
from darkroom.models.settings import SettingsGroup

GROUPS = {"models": ModelNames, "memory": Memory}
KEYS = (*GROUPS, "device", "results", "outputs", "dry_run", "strict", "until")

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:[0-9]{1,2})?")

_G = TypeVar("_G", ModelNames, Memory)


@pydantic_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Results(SettingsGroup):
    """What kind of files the finished pictures are, in `results/` of a run folder.

    Attributes:
        format: `png` is what the run itself keeps, without loss; the others are made from it.
        quality: of `jpeg` and `webp`, 1 to 100.
    """

    group = "results"
    format: Literal["png", "jpeg", "webp"] = "png"
    quality: Annotated[int, Field(ge=1, le=100)] = 95


@dataclass(frozen=True)
class Settings:
    """Which models, how they use memory, where they run, and what is delivered.

    `dry_run` only tells what would be done; under `strict` nothing starts that the models would heed in part only.
    """

    weights: ModelNames
    memory: Memory
    device: str
    results: Results
    dry_run: bool
    strict: bool

    def models(self) -> Models:
        """The models that are asked for; the jobs of a sweep share what is loaded.

        Raises:
            SetupError: this machine has no such device, or it cannot do what is asked.
        """
        return _models(self.weights, self.memory, self.device)

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> Self:
        """Check the settings of a composed configuration, and that it has no other key.

        Raises:
            RecipeError: with every problem.
        """
        _, *settings = collect_errors(
            partial(_refuse_unknown, config),
            partial(_group, ModelNames, config),
            partial(_group, Memory, config),
            partial(_device, config),
            partial(_results, config),
            partial(_switch, config, "dry_run"),
            partial(_switch, config, "strict"),
        )
        return cls(*settings)


def known_keys() -> dict[str, Any]:
    """Every key that a configuration has before a recipe is chosen; sections as mappings."""
    tree: dict[str, Any] = dict.fromkeys((*KEYS, *recipe_form.KEYS))
    sections = {**GROUPS, "results": Results, "dataset": Dataset}
    return tree | {key: dict.fromkeys(field.name for field in fields(each)) for key, each in sections.items()}


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
        raise RecipeError("command line: results: has two keys, such as results.format=jpeg results.quality=90")
    return Results.parse(given)


def _switch(config: Mapping[str, Any], key: str) -> bool:
    value = config.get(key, False)
    if not isinstance(value, bool):
        raise RecipeError(f"command line: {key}={value}: true or false")
    return value


@lru_cache(maxsize=1)
def _models(weights: ModelNames, memory: Memory, device: str) -> Models:
    return Models(weights, memory, device)
