"""HOW recipes are run: the keys of `conf/config.yaml`, checked. WHAT is done to photos is `recipe.py`'s matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from typing import Any, Self, TypeVar

from pipeline import recipe_file
from pipeline.dataset import Dataset
from pipeline.errors import RecipeError, nearest, together
from pipeline.models import Memory, Models, Weights

GROUPS = {"models": Weights, "memory": Memory}
KEYS = (*GROUPS, "device", "outputs", "dry_run", "until")

_G = TypeVar("_G", Weights, Memory)


@dataclass(frozen=True)
class Settings:
    """Which models, how they use memory, and where they run; `dry_run` only tells what would be done."""

    weights: Weights
    memory: Memory
    device: str
    dry_run: bool = False

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
        _, *settings = together(
            partial(_refuse_unknown, config),
            partial(_group, Weights, config),
            partial(_group, Memory, config),
            partial(_device, config),
            partial(_dry_run, config),
        )
        return cls(*settings)


def known_keys() -> dict[str, Any]:
    """Every key that a configuration has before a recipe is chosen; sections as mappings."""
    tree: dict[str, Any] = dict.fromkeys((*KEYS, *recipe_file.KEYS))
    sections = {**GROUPS, "dataset": Dataset}
    return tree | {key: dict.fromkeys(field.name for field in fields(each)) for key, each in sections.items()}


def _refuse_unknown(config: Mapping[str, Any]) -> None:
    known = list(known_keys())
    unknown = [key for key in config if key not in known]
    if unknown:
        raise RecipeError([f"command line: {key}: unknown key, {nearest(str(key), known)}" for key in unknown])


def _group(group: type[_G], config: Mapping[str, Any]) -> _G:
    given, key = config.get(group.group), group.group
    if not isinstance(given, Mapping):
        raise RecipeError(f"command line: {key}: is required; {key}=auto chooses for this machine")
    return group.parse(given)


def _device(config: Mapping[str, Any]) -> str:
    device = config.get("device")
    if not isinstance(device, str):
        raise RecipeError("command line: device: one of auto, cpu, cuda, cuda:1, mps")
    return device


def _dry_run(config: Mapping[str, Any]) -> bool:
    value = config.get("dry_run", False)
    if not isinstance(value, bool):
        raise RecipeError("command line: dry_run: true or false")
    return value


@lru_cache(maxsize=1)
def _models(weights: Weights, memory: Memory, device: str) -> Models:
    return Models(weights, memory, device)
