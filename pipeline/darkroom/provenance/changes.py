"""What has changed since the last run of the same recipe: why results were not there already."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from darkroom.errors import RecordError, printable
from darkroom.planning.cache_keys import LIBRARIES
from darkroom.record import RUN, read_facts
from darkroom.record.schema import Facts

_LOOKED_AT = 200  # run folders; the one that is looked for is mostly the last
_KEYS = ("stages", "on_empty", "until")
_LONGEST, _MOST = 60, 5  # letters of a value, values of a list that are shown
_PHOTOS = "dataset: photos were added, left out, changed or put in another order"
_NOTHING = "nothing that is recorded differs"


def last_runs(outputs: Path, name: str) -> Iterator[tuple[Path, Facts]]:
    """The run folders of a recipe that came to an end, in sweeps too, newest first, each with its `run.json`.

    Args:
        outputs: where run folders lie.
        name: the recipe's.
    """
    patterns = f"*/{RUN}", f"*_sweep/*_{name}/{RUN}"
    folders = sorted((path.parent for pattern in patterns for path in outputs.glob(pattern)), reverse=True)
    for folder in folders[:_LOOKED_AT]:
        with suppress(RecordError):  # damaged, or another program's
            facts = read_facts(folder)
            if facts["name"] == name and facts["status"] in ("done", "failed"):
                yield folder, facts


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What the results of a run depend on and another's did not share, one line each.

    Args:
        then: the earlier run, which came to its end: `config`, `models`, `environment`, `dataset_fingerprint` and
            `depends_on` of its `run.json`.
        now: the same of the run at hand; a dry run has not looked at the last three.
    """
    lines: list[str] = []
    configs = _at(then, "config"), _at(now, "config")
    for key in _KEYS:
        lines += _differences(key, *(config.get(key) for config in configs))
    orders = [list(_at(config, "stages")) for config in configs]
    if orders[0] != orders[1] and set(orders[0]) == set(orders[1]):
        lines.append("stages: are in another order")
    weights = [_at(facts, "models", "weights") for facts in (then, now)]
    for kind in sorted(set(weights[0]) & set(weights[1])):
        old, new = ({key: value for key, value in _at(each, kind).items() if key != "name"} for each in weights)
        lines += _differences(f"models.{kind}", old, new)
    if "environment" in now and _at(then, "environment", "packages"):
        lines += _differences("libraries", _libraries(then), _libraries(now))
    lines += _basis(then, now)
    return [printable(line) for line in lines]


def unexplained(then: Mapping[str, Any], computed: Mapping[str, int]) -> str:
    """Why something was computed although `changes` finds none: a line that claims no more than is known.

    Args:
        then: the earlier run.
        computed: how often each op was asked in the run at hand.
    """
    failed = {op: number for op, number in _at(then, "work", "failed").items() if isinstance(number, int)}
    again, lost = "steps that failed in that run were tried again", "results were missing from the store"
    if not _at(then, "depends_on"):
        return f"{_NOTHING}; that run has not recorded all that its results depend on"
    if all(number <= failed.get(op, 0) for op, number in computed.items()):
        return f"{_NOTHING}: {again}"
    return f"{_NOTHING}: {again}, or {lost}" if any(failed.values()) else f"{_NOTHING}: {lost}"


def _basis(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What differs besides configuration and models (`Basis`); what only one of the runs used is ignored."""
    old, new = _at(then, "depends_on"), _at(now, "depends_on")
    if old and new and old.get("keys") != new["keys"]:
        yield f"keys: results are identified in another way: {old.get('keys')} -> {new['keys']}"
    for op in _differing(old, new, "ops"):
        yield f"op {op}: version {old['ops'][op]} -> {new['ops'][op]}"
    columns = [f"column `{name}`" for name in _differing(old, new, "columns")]
    files = [f"the files that stages.{name} reads" for name in _differing(old, new, "files")]
    prints = then.get("dataset_fingerprint"), now.get("dataset_fingerprint")
    if not all(prints):
        return
    if prints[0] != prints[1]:  # then those of columns and files differ in any case
        perhaps = ", ".join([*columns, *files])
        yield _PHOTOS + (f"; of those that stayed perhaps also {perhaps}" if perhaps else "")
    else:
        yield from (f"dataset.manifest: {each} has other values" for each in columns)
        yield from (f"dataset: {each} have changed" for each in files)


def _differing(old: Mapping[str, Any], new: Mapping[str, Any], kind: str) -> list[str]:
    """What two runs both depend on, and what is not the same."""
    known = _at(old, kind)
    return [name for name, value in _at(new, kind).items() if name in known and known[name] != value]


def _at(facts: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """A mapping within what a run has recorded; empty where there is none."""
    for key in keys:
        inner = facts.get(key)
        facts = inner if isinstance(inner, Mapping) else {}
    return facts


def _libraries(facts: Mapping[str, Any]) -> dict[str, str]:
    packages = _at(facts, "environment", "packages")
    return {name: str(packages.get(name)).split(".")[0] for name in LIBRARIES}


def _differences(key: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for inner in dict.fromkeys((*old, *new)):
            if inner not in new:
                yield f"{key}.{inner}: is no longer there"
            elif inner not in old:
                yield f"{key}.{inner}: is new"
            else:
                yield from _differences(f"{key}.{inner}", old[inner], new[inner])
    elif isinstance(old, list) and isinstance(new, list):
        told = [f"with {each}" for each in _only(new, old)] + [f"without {each}" for each in _only(old, new)]
        yield f"{key}: {', '.join(told) or 'in another order'}"
    else:
        yield f"{key}: {_short(old)} -> {_short(new)}"


def _only(values: Sequence[Any], others: Sequence[Any]) -> list[str]:
    """What is in one list and not in another, shortened; of many the first, and how many more."""
    known = {_json(each) for each in others}
    found = [_short(each) for each in values if _json(each) not in known]
    return [*found[:_MOST], f"{len(found) - _MOST} more"] if len(found) > _MOST else found


def _short(value: Any) -> str:
    text = _json(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
