"""Composes a recipe, the configuration in `conf/` and the overrides of a command line into one configuration."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override, RangeSweep
from omegaconf import DictConfig, OmegaConf

from darkroom.config import (
    hydra_loader,
    photo_lists,
    prompts_file,
    recipe_form,
    recipe_paths,
    recipe_source,
    recipe_yaml,
    seeds,
    speed,
    stage_defaults,
    stage_order,
    wildcards,
)
from darkroom.config.hydra_loader import HydraLoader
from darkroom.config.override_errors import GROUP, several_values, unknown_recipe
from darkroom.errors import RecipeError

MAX_JOBS = 10_000  # of a sweep

# Mappings with any keys. Hydra adds a key only after `++`; what is given is merged with what is there.
_OPEN = re.compile(r"(wildcards|models\.(loras|controls)|stages\.[^.=]+\.(lora|control\w*))(\.[^=]+)?=")


@dataclass(frozen=True)
class Composed:
    """One job's configuration.

    Attributes:
        config: all keys; paths absolute, `${item.COLUMN}` as it was written.
        source: the recipe file, as error lines name it.
        file: the recipe file; None for a recipe that a program gives.
        overridden: the dotted keys that the overrides give.
        overrides: the overrides, each with one value.
        speed: the preset whose own LoRA is used; None without one.
    """

    config: dict[str, Any]
    source: str
    file: Path | None
    overridden: frozenset[str]
    overrides: tuple[str, ...]
    speed: str | None
    _hydra: DictConfig

    @property
    def preset(self) -> str:
        """The name of the preset that applies, `none` without one; some `models=NAME` bring one."""
        return str(self._hydra.runtime.choices.get(speed.GROUP))

    def files(self, folder: Path) -> dict[str, str]:
        """The composed recipe and Hydra's snapshot, for a run in this folder: texts by path within it."""
        own = {key: self.config[key] for key in recipe_form.KEYS if key in self.config}
        self._hydra.runtime.output_dir = self._hydra.run.dir = str(folder)
        return {
            "recipe.yaml": recipe_yaml.dump(own),
            ".hydra/config.yaml": recipe_yaml.dump(self.config),
            ".hydra/hydra.yaml": recipe_yaml.dump({"hydra": OmegaConf.to_container(self._hydra, enum_to_str=True)}),
            ".hydra/overrides.yaml": recipe_yaml.dump(list(self.overrides)),
        }


def compose(overrides: Sequence[str], loader: HydraLoader | None = None) -> Composed:
    """The configuration of one job. Relative paths in overrides start at the current folder.

    Args:
        overrides: `KEY=VALUE` in Hydra's grammar, one value each, among them `recipe=NAME`.
        loader: one for all jobs of a sweep makes composing them faster.

    Raises:
        RecipeError: with every problem that composing finds, such as an unknown key or a recipe that is not there.
    """
    speed.check_words(overrides)
    composed = (loader or HydraLoader()).load(_words(overrides), overrides)
    hydra = composed.hydra
    config: Any = OmegaConf.to_container(
        OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    )
    choice = hydra.runtime.choices.get(GROUP)
    if choice in (None, "null"):
        raise RecipeError(unknown_recipe(None))
    overridden = frozenset(re.sub(r"^[+~]+", "", word).partition("=")[0] for word in overrides)
    overridden |= _renew_stages(config.get("stages"), recipe_source.read(choice).get("stages"), overridden)
    recipe = recipe_source.recipe_named(choice)
    file = recipe if isinstance(recipe, Path) else None
    source = recipe_paths.label(file) if file else "recipe"
    preset, painter = (str(hydra.runtime.choices.get(group)) for group in (speed.GROUP, "models"))
    used = speed.apply_speed(config, preset, source, overridden | _inner_keys(overrides), painter)
    config = stage_order.place_stages(config, "command line")
    recipe_paths.make_paths_absolute(config, Path.cwd())
    prompts_file.read_prompt_files(config)
    photo_lists.read_photo_lists(config)
    wildcards.read_wildcard_files(config)
    seeds.draw_seeds(config)
    return Composed(config, source, file, overridden, tuple(overrides), used, hydra)


def compose_given(recipe: recipe_source.Recipe, overrides: Sequence[str]) -> Composed:
    """`compose` for a recipe that a program gives.

    Args:
        recipe: a recipe file, or a mapping, whose relative paths start at the current folder.
        overrides: see `compose`; they do not name a recipe.
    """
    with recipe_source.giving(recipe):
        return compose([f'{GROUP}="{recipe_source.GIVEN}"', *overrides])


def expand(overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """The overrides of every job of a sweep (`-m`): all combinations of the overrides that have several values.

    Raises:
        RecipeError: an override cannot be read, its values cannot be listed, such as those of `interval(0, 1)`, or
            there are no combinations, or more than `MAX_JOBS`.
    """
    _check_count(hydra_loader.parse(overrides))
    return hydra_loader.split(overrides)


def check_single(overrides: Sequence[str]) -> None:
    """Make sure that no override has several values.

    Raises:
        RecipeError: an override has several values, so `-m` is missing; or an override cannot be read.
    """
    if several := [
        str(override.input_line) for override in hydra_loader.parse(overrides) if override.is_sweep_override()
    ]:
        raise RecipeError(several_values(several[0]))


def _words(overrides: Sequence[str]) -> list[str]:
    """The overrides as Hydra needs them: it cannot replace a mapping by a list, or a list by a mapping, in one step."""
    parsed = hydra_loader.parse(overrides)
    several = [each for each in parsed if isinstance(each.value(), Mapping | list)]
    choice = next((str(each.value()) for each in parsed if each.key_or_group == GROUP), "")
    written: Any = {}
    if several:
        with suppress(RecipeError):  # Hydra will report it
            written = recipe_source.read(choice)
    words = []
    for word, each in zip(overrides, parsed, strict=True):
        words += [f"{key}=null" for key in _replaced(each.value(), written, each.key_or_group)]
        words.append(f"++{word}" if _OPEN.match(word) else word)
    return words


def _replaced(value: Any, written: Any, key: str) -> Iterator[str]:
    """The keys within this one at which a list takes the place of a recipe's mapping, or a mapping that of a list."""
    for part in key.split("."):
        written = written.get(part) if isinstance(written, Mapping) else None
    if isinstance(value, Mapping) and isinstance(written, Mapping):
        for inner, part in value.items():
            if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", str(inner)):  # can be a part of a dotted key
                yield from (f"{key}.{found}" for found in _replaced(part, written, str(inner)))
    elif {type(value), type(written)} == {dict, list}:
        yield key


def _inner_keys(overrides: Sequence[str]) -> frozenset[str]:
    """The dotted keys of stages' parameters that overrides give within a mapping, as in `stages.car={steps: 4}`."""
    values = {str(each.key_or_group): each.value() for each in hydra_loader.parse(overrides)}
    mappings = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    return frozenset(f"{key}.{inner}" for key, value in mappings.items() for inner in value)


def _check_count(overrides: Sequence[Override]) -> None:
    """Raise `RecipeError` for a sweep of no jobs or too many; ranges are counted, not listed."""
    jobs = 1
    for override in overrides:
        value = override.value() if override.is_discrete_sweep() else None
        if isinstance(value, RangeSweep) and value.step == 0:
            raise RecipeError(f"command line: {override.input_line}: with a step of 0 a range has no end")
        if isinstance(value, RangeSweep):
            start, stop, step = value.start or 0, value.stop or 0, value.step or 1
            jobs *= math.ceil(min(max((stop - start) / step, 0), MAX_JOBS + 1))
        elif value is not None:
            jobs *= len(list(override.sweep_iterator()))
        if jobs == 0:
            raise RecipeError(f"command line: {override.input_line}: no values, so there is nothing to run")
        if jobs > MAX_JOBS:
            raise RecipeError(f"command line: {override.input_line}: a sweep has {MAX_JOBS:,} runs at most")


def _renew_stages(stages: Any, written: Any, overridden: frozenset[str]) -> frozenset[str]:
    """Replace the parameters of each stage whose op an override changes by the new op's defaults, as `base:` does.

    Returns:
        the dotted keys of these stages.
    """
    if not isinstance(stages, dict) or not isinstance(written, Mapping):
        return frozenset()
    renewed = set()
    for name, stage in stages.items():
        old, where = written.get(name), f"stages.{name}"
        if isinstance(stage, Mapping) and isinstance(old, Mapping) and stage.get("op") != old.get("op"):
            new = {key: value for key, value in stage.items() if _is_new(key, value, old, where, overridden)}
            stages[name] = stage_defaults.with_defaults(name, new)
            renewed.add(where)
    return frozenset(renewed)


def _is_new(key: str, value: Any, old: Mapping[str, Any], stage: str, overridden: frozenset[str]) -> bool:
    return key not in old or value != old[key] or f"{stage}.{key}" in overridden
