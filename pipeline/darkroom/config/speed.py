"""`speed=NAME`: a preset of `conf/speed/` that sets steps, guidance, scheduler and LoRA of all `inpaint` stages.

Some `models=NAME` bring one with them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from darkroom.config.recipe import origin
from darkroom.config.stage_defaults import op_of
from darkroom.errors import RecipeError
from darkroom.resources import CONF
from darkroom.stages import STAGES
from darkroom.stages.named_values import names_in
from darkroom.system.files import read_file

if TYPE_CHECKING:
    from darkroom.models import Models

GROUP = "speed"

_OP = "inpaint"
_SDXL_FEATURES = 2048  # of its prompts' embeddings; Stable Diffusion 1 has 768, the miniature 128
_WITHIN = re.compile(rf"[+~]*{GROUP}\.|[+]+{GROUP}=")


def check_words(words: Sequence[str]) -> None:
    """Raise `RecipeError` for an override of a part of a preset, which is a name and nothing else."""
    if word := next((word for word in words if _WITHIN.match(word)), None):
        known = f"{GROUP}= takes a name, such as lightning8; stages.{_OP}.steps=6 changes a part of it"
        raise RecipeError(f"command line: {word}: {known}")


def brings_preset(names: Iterable[str]) -> bool:
    """Whether one of some NAMEs of `models=NAME` brings a preset."""
    files = ((CONF / "models" / f"{name}.yaml") for name in names if name.isidentifier())
    return any(b"override /speed" in read_file(file) for file in files if file.is_file())


def apply_speed(
    config: dict[str, Any], name: str, source: str, overridden: Collection[str], painter: str
) -> str | None:
    """Put the preset's values into a composed configuration, so that its snapshot needs no preset.

    The preset comes before the recipe, and the command line before the preset. LoRAs are added to those that are there.
    `strength` becomes 1, with which all steps run, where it is still the default.

    A preset that comes with `models=NAME` changes nothing in a recipe that does not repaint.

    Args:
        config: changed in place: its key `speed`, the values of the preset, is taken out.
        name: of the preset.
        source: the recipe, as error lines name it.
        overridden: the dotted keys that the command line gives.
        painter: the NAME of `models=NAME`, which brings the preset unless the command line gives one.

    Returns:
        the name, if stages use the preset's own LoRA; None for a LoRA that the settings put in its place.

    Raises:
        RecipeError: no stage takes the preset, or a part of one sets its own values of these keys.
    """
    preset = config.pop(GROUP, None)
    if not preset:
        return None
    stages = config.get("stages")
    found = dict(_stages(stages)) if isinstance(stages, Mapping) else {}
    if not found and GROUP in overridden:
        raise RecipeError(f"command line: {GROUP}={name}: the recipe has no `{_OP}` stage")
    cause = f"{GROUP}={name}" if GROUP in overridden else f"{GROUP}={name}, which models={painter} brings,"
    advice = "take it out" if GROUP in overridden else f"take it out; {GROUP}=none keeps the recipe's values"
    problems = [each for key, stage in found.items() for each in _problems(key, stage, preset, cause, advice)]
    if problems:
        raise RecipeError([f"{origin(key, source, overridden)}: {key}: {text}" for key, text in problems])
    for key, stage in found.items():
        given = {word.removeprefix(f"stages.{key}.").split(".")[0] for word in overridden}
        stage.update(_values(preset, stage, given))
    models = config.get("models")
    if not isinstance(models, dict):
        return None  # reported when the settings are checked
    loras = preset.get("loras", {})
    models["loras"] = {**loras, **(models.get("loras") or {})}
    used = {lora for stage in found.values() for lora in names_in(stage.get("lora"))}
    is_own = (models["loras"][lora] == place for lora, place in loras.items() if lora in used)
    return name if any(is_own) else None


def check_painter(name: str, models: Models) -> None:
    """Make sure that the painter of a preset with a LoRA is an SDXL, which these LoRAs are for, before any download.

    Args:
        name: of the preset.
        models: the chosen ones.

    Raises:
        RecipeError: it is another model.
        SetupError: it is not there.
    """
    models.require(["inpaint"])
    info = models.checkpoint_info
    if info.family.is_flow or info.config("unet").get("cross_attention_dim") != _SDXL_FEATURES:
        painter = models.resolved_settings()["models"]["inpaint"]
        advice = f"leave {GROUP}= out, choose models=sdxl, or set models.loras.{name} to a LoRA for this model"
        line = f"its LoRA is for Stable Diffusion XL, and models.inpaint is {painter}: {advice}"
        raise RecipeError(f"command line: {GROUP}={name}: {line}")


def _stages(stages: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, stage in stages.items():
        if isinstance(stage, dict) and op_of(name, stage) == _OP:
            yield name, stage


def _problems(
    name: str, stage: Mapping[str, Any], values: Collection[str], cause: str, advice: str
) -> Iterator[tuple[str, str]]:
    prompts = stage.get("prompt")
    for index, entry in enumerate(prompts if isinstance(prompts, list) else ()):
        for key in values:
            if isinstance(entry, Mapping) and key in entry:
                yield f"stages.{name}.prompt[{index}].{key}", f"{cause} sets it for all prompts; {advice}"
    if "lora" in values and isinstance(stage.get("lora"), str):
        yield f"stages.{name}.lora", f"{stage['lora']} cannot be joined with the LoRA of {cause}".rstrip(",")


def _values(preset: Mapping[str, Any], stage: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """What the preset changes of a stage, some of whose parameters the command line gives."""
    values = {key: preset[key] for key in ("steps", "guidance_scale", "scheduler") if key not in given}
    if "lora" in preset and (stage.get("lora") is not None or "lora" not in given):
        values["lora"] = _joined(stage.get("lora"), preset["lora"], "lora" in given)
    default = STAGES[_OP].__pydantic_fields__["strength"].default
    if "strength" not in given and stage.get("strength", default) == default:
        values["strength"] = 1.0
    return values


def _joined(there: Any, added: Mapping[str, float], there_first: bool) -> Any:
    """LoRAs with those of a preset; of the same name, the command line's weight comes first, then the preset's."""
    if isinstance(there, list):
        return [_joined(one, added, there_first) for one in there]
    if there is not None and not isinstance(there, Mapping):
        return there  # reported when the recipe is checked
    return {**added, **(there or {})} if there_first else {**(there or {}), **added}
