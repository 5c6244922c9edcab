"""What differs between the environments of two runs: why the same recipe may have given other pixels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from darkroom.errors import printable

_MISSING = object()
_DIRTY = "environment.git.dirty"

# The most telling first; an entry stands for all that lies below it and is not named before.
_ORDER = (
    *("models.device", "models.memory.dtype", "models.memory.batch_size", "models.memory", "models"),
    *("environment.packages.torch", "environment.packages", "environment.python", "environment.platform"),
    "environment",
)
_NAMES = {"environment.git": "commit", "environment.git.commit": "commit", _DIRTY: "uncommitted changes"}
_PREFIX = re.compile(r"models\.(weights\.)?|environment\.(packages\.)?")  # goes without saying
_LONG_DIGEST = re.compile(r"[0-9a-f]{40,}")


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """One line for each thing in which the environments of two runs differ, such as `torch: 2.10.0 -> 2.11.1`.

    The most telling come first: device, number format, batch size and memory, models, packages, Python, platform,
    commit. What one run has not recorded is told as that.

    Args:
        then: the earlier run, as `run.json` has it; only `environment` and `models` are looked at.
        now: the later one.
    """
    found = [
        each
        for section in ("models", "environment")
        for each in _differing(then.get(section, _MISSING), now.get(section, _MISSING), section)
    ]
    lines = [_line(*each) for each in _without_repeats(sorted(found, key=lambda each: _rank(each[0])))]
    if _dirty(then) and _dirty(now):
        lines.append("uncommitted changes: then and now, so that the code may differ")
    return lines


def _differing(then: Any, now: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    """(dotted place, earlier value, later value) of what differs; what one side lacks is told as a whole."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in then | now:
            yield from _differing(then.get(key, _MISSING), now.get(key, _MISSING), f"{where}.{key}")
    elif then != now:
        yield where, then, now


def _without_repeats(found: Iterable[tuple[str, Any, Any]]) -> Iterator[tuple[str, Any, Any]]:
    """Models repeat the run's device, memory settings and packages, which are told once."""
    told = []
    for where, then, now in found:
        same = (where.rpartition(".")[2], then, now)
        if same not in told and ".libraries" not in where:
            yield where, then, now
        if not where.startswith("models.weights."):
            told.append(same)


def _rank(where: str) -> int:
    return next(rank for rank, each in enumerate(_ORDER) if f"{where}.".startswith(f"{each}."))


def _line(where: str, then: Any, now: Any) -> str:
    name = _NAMES.get(where) or _PREFIX.sub("", where, count=1)
    old, new = _text(then), _text(now)
    shorter = [_LONG_DIGEST.sub(lambda match: match[0][:12], text) for text in (old, new)]
    if shorter[0] != shorter[1]:
        old, new = shorter
    return printable(f"{name}: {old} -> {new}")  # whatever a stranger's run.json holds


def _text(value: Any) -> str:
    if value is _MISSING:
        return "not recorded"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        names = (value.get("commit"), value.get("weights"))
        return next((each for each in names if isinstance(each, str)), "recorded")
    return str(value)


def _dirty(run: Mapping[str, Any]) -> bool:
    value: Any = {"environment": run.get("environment")}
    for key in _DIRTY.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value is True
