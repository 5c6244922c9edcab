"""Stages as written in a recipe: which op they name, and the defaults of the parameters they leave out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from darkroom.stages import STAGES, Stage

MISSING = "???"  # how OmegaConf writes "required, not given"; shows in `--cfg job`


def op_of(name: str, stage: Any, inherited: Mapping[str, Any] | None = None) -> Any:
    """The op that a stage names, which may not exist; by default the op of the same stage in the base, or its name.

    Args:
        name: of the stage.
        stage: as written.
        inherited: the stages of the recipe's base.
    """
    base = (inherited or {}).get(name)
    default = base.get("op", name) if isinstance(base, Mapping) else name
    return stage.get("op", default) if isinstance(stage, Mapping) else default


def kinds_of(op: Any) -> Iterable[type[Stage]]:
    """The class of an op; all classes if the op is unknown, as it may still be changed on the command line."""
    return [STAGES[op]] if isinstance(op, str) and op in STAGES else STAGES.values()


def written_stage(name: str, given: Any) -> Any:
    """A stage as written; `name:` alone (null) means the op of this name, without parameters."""
    return {} if given is None and name in STAGES else given


def with_defaults(name: str, given: Any) -> Any:
    """A stage as written (`written_stage`), with the default of every parameter that it leaves out.

    The one place that writes defaults into recipes, for `--cfg job` and the run's snapshot. Anything that is not a
    mapping, or names no known op, is returned unchanged.
    """
    stage = written_stage(name, given)
    if not isinstance(stage, Mapping):
        return stage
    op = op_of(name, stage)
    fields = STAGES[op].__pydantic_fields__ if isinstance(op, str) and op in STAGES else {}
    defaults = {key: _plain_default(field) for key, field in fields.items()}
    return {"op": op, **defaults, **{key: value for key, value in stage.items() if key != "op"}}


def _plain_default(field: FieldInfo) -> Any:
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined:
        return MISSING
    return list(default) if isinstance(default, tuple) else default
