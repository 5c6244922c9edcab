"""Compares the `run.json` of two runs: why results were recomputed, and how the environments differ.

Either `run.json` may be damaged or a stranger's: a value of the wrong type counts as not recorded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from darkroom.errors import printable
from darkroom.planning.cache_keys import LIBRARIES

_MISSING = object()

# Recomputation
_CONFIG_KEYS = ("stages", "wildcards", "on_empty", "until")
_MAX_LENGTH, _MAX_ITEMS = 60, 5  # characters of a value, items of a list that are shown
_PHOTOS = "dataset: photos were added, removed, changed or reordered"
_NO_DIFFERENCE = "no recorded difference"

# Environments. The most likely causes come first; an entry covers everything below it that is not listed before it.
_ORDER = (
    *("models.device", "models.memory.dtype", "models.memory.batch_size", "models.memory", "models"),
    *("environment.packages.torch", "environment.packages", "environment.python", "environment.platform"),
    "environment",
)
_NAMES = {
    "environment.git": "commit",
    "environment.git.commit": "commit",
    "environment.git.dirty": "uncommitted changes",
}
_PREFIX = re.compile(r"models\.(weights\.)?|environment\.(packages\.)?")  # not shown
_LONG_DIGEST = re.compile(r"[0-9a-f]{40,}")


def recomputation_causes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Why a run computed results that an earlier run already had, one line per cause.

    Args:
        then: `run.json` of the earlier run, which completed.
        now: `config`, `models`, `environment`, `dataset_fingerprint` and `depends_on` of the current run; a dry run
            has only the first two.
    """
    lines: list[str] = []
    configs = _at(then, "config"), _at(now, "config")
    for key in _CONFIG_KEYS:
        lines += _change_lines(key, *(config.get(key) for config in configs))
    old_order, new_order = (list(_at(config, "stages")) for config in configs)
    if old_order != new_order and set(old_order) == set(new_order):
        lines.append("stages: reordered")
    old_models, new_models = (_at(facts, "models", "weights") for facts in (then, now))
    for kind in sorted(set(old_models) & set(new_models)):
        lines += _change_lines(f"models.{kind}", *(_nameless(models, kind) for models in (old_models, new_models)))
    old_loras, new_loras = (_at(facts, "models", "loras") for facts in (then, now))
    for name in sorted(set(old_loras) & set(new_loras)):
        lines += _change_lines(f"models.loras.{name}", *(_nameless(loras, name) for loras in (old_loras, new_loras)))
    if "environment" in now and _at(then, "environment", "packages"):
        lines += _change_lines("libraries", _major_versions(then), _major_versions(now))
    lines += _fingerprint_lines(then, now)
    return [printable(line) for line in lines]


def unknown_cause(then: Mapping[str, Any], computed: Mapping[str, int]) -> str:
    """The line for a recomputation without a recorded cause; it claims no more than is known.

    Args:
        then: `run.json` of the earlier run.
        computed: how many steps of each op the current run computed.
    """
    failed = {op: number for op, number in _at(then, "work", "failed").items() if isinstance(number, int)}
    retried, lost = "steps that failed in that run were tried again", "results were missing from the store"
    if not _at(then, "depends_on"):
        return f"{_NO_DIFFERENCE}; that run did not record everything that its results depend on"
    if all(number <= failed.get(op, 0) for op, number in computed.items()):
        return f"{_NO_DIFFERENCE}: {retried}"
    return f"{_NO_DIFFERENCE}: {retried}, or {lost}" if any(failed.values()) else f"{_NO_DIFFERENCE}: {lost}"


def environment_changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How the environments of two runs differ, one line per difference, such as `torch: 2.10.0 -> 2.11.1`.

    The order: device, dtype, batch size and memory, models, packages, Python, platform, commit.

    Args:
        then: `run.json` of the earlier run; only `environment` and `models` are compared.
        now: the same of the later run.
    """
    found = [
        change
        for section in ("models", "environment")
        for change in _walk(section, then.get(section, _MISSING), now.get(section, _MISSING))
    ]
    found.sort(key=lambda change: _rank(change[0]))
    lines = [_environment_line(*change) for change in _without_repeats(found)]
    if all(_at(run, "environment", "git").get("dirty") is True for run in (then, now)):
        lines.append("uncommitted changes: in both runs, so the code may differ")
    return lines


def _walk(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """All values below `path` that differ: dotted path, old value, new value.

    `_MISSING` stands for a value that one side lacks; what lies below it is not walked.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from _walk(f"{path}.{key}", old.get(key, _MISSING), new.get(key, _MISSING))
    elif old != new:
        yield path, old, new


def _at(facts: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """The mapping at a path; empty where there is none."""
    for key in keys:
        inner = facts.get(key)
        facts = inner if isinstance(inner, Mapping) else {}
    return facts


# ---- Recomputation ---------------------------------------------------------------------------------------------------


def _change_lines(key: str, old: Any, new: Any) -> Iterator[str]:
    for path, before, after in _walk(key, old, new):
        if after is _MISSING:
            yield f"{path}: removed"
        elif before is _MISSING:
            yield f"{path}: added"
        elif isinstance(before, list) and isinstance(after, list):
            items = [f"added {item}" for item in _only(after, before)]
            items += [f"removed {item}" for item in _only(before, after)]
            yield f"{path}: {', '.join(items) or 'reordered'}"
        else:
            yield f"{path}: {_short(before)} -> {_short(after)}"


def _fingerprint_lines(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Differences of key format, op versions, photos and files; what only one of the runs used is ignored."""
    old, new = _at(then, "depends_on"), _at(now, "depends_on")
    if old and new and old.get("keys") != new["keys"]:
        yield f"cache keys: version {old.get('keys')} -> {new['keys']}"
    for op in _changed_in_both(old, new, "ops"):
        yield f"op {op}: version {old['ops'][op]} -> {new['ops'][op]}"
    columns = [f"column `{name}`" for name in _changed_in_both(old, new, "columns")]
    files = [f"files that stages.{name} reads" for name in _changed_in_both(old, new, "files")]
    fingerprints = then.get("dataset_fingerprint"), now.get("dataset_fingerprint")
    if not all(fingerprints):
        return
    if fingerprints[0] != fingerprints[1]:  # other photos: the fingerprints of columns and files differ in any case
        perhaps = ", ".join([*columns, *files])
        yield _PHOTOS + (f"; perhaps also {perhaps}" if perhaps else "")
    else:
        yield from (f"dataset: {column} has changed" for column in columns)
        yield from (f"dataset: {text} have changed" for text in files)


def _changed_in_both(old: Mapping[str, Any], new: Mapping[str, Any], kind: str) -> list[str]:
    """The names of one kind that both runs depend on and whose fingerprints differ."""
    known = _at(old, kind)
    return [name for name, value in _at(new, kind).items() if name in known and known[name] != value]


def _nameless(models: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """A model's record without its name, which changes no result."""
    return {key: value for key, value in _at(models, kind).items() if key != "name"}


def _major_versions(facts: Mapping[str, Any]) -> dict[str, str]:
    packages = _at(facts, "environment", "packages")
    return {name: str(packages.get(name)).split(".")[0] for name in LIBRARIES}


def _only(values: Sequence[Any], others: Sequence[Any]) -> list[str]:
    """The items that only the first list has, shortened; of many, the first few and the number of the rest."""
    known = {_json(item) for item in others}
    found = [_short(item) for item in values if _json(item) not in known]
    return [*found[:_MAX_ITEMS], f"{len(found) - _MAX_ITEMS} more"] if len(found) > _MAX_ITEMS else found


def _short(value: Any) -> str:
    text = _json(value)
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 1]}…"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


# ---- Environments ----------------------------------------------------------------------------------------------------


def _without_repeats(found: Iterable[tuple[str, Any, Any]]) -> Iterator[tuple[str, Any, Any]]:
    """Leaves out a model's device, memory settings and packages where the run's own differ in the same way."""
    shown = []
    for path, old, new in found:
        change = (path.rpartition(".")[2], old, new)
        if change not in shown and ".libraries" not in path:
            yield path, old, new
        if not path.startswith("models.weights."):
            shown.append(change)


def _rank(path: str) -> int:
    return next(rank for rank, prefix in enumerate(_ORDER) if f"{path}.".startswith(f"{prefix}."))


def _environment_line(path: str, old: Any, new: Any) -> str:
    name = _NAMES.get(path) or _PREFIX.sub("", path, count=1)
    full = _text(old), _text(new)
    short = tuple(_LONG_DIGEST.sub(lambda match: match[0][:12], text) for text in full)
    before, after = short if short[0] != short[1] else full
    return printable(f"{name}: {before} -> {after}")


def _text(value: Any) -> str:
    if value is _MISSING:
        return "not recorded"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        names = (value.get("commit"), value.get("weights"))
        return next((name for name in names if isinstance(name, str)), "recorded")
    return str(value)
