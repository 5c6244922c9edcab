"""What has changed since the last run of the same recipe: why results were not there already."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.errors import RecordError
from pipeline.keys import LIBRARIES
from pipeline.record import RUN, read_facts
from pipeline.record.schema import Facts

_LOOKED_AT = 200  # run folders; the one that is looked for is mostly the last
_KEYS = ("stages", "on_empty", "until")
_LONGEST = 60


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
            if facts["name"] == name:
                yield folder, facts


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What the results of a run depend on and another's did not share, one line each.

    Args:
        then: the earlier run: `config`, `models`, `environment` and `dataset_fingerprint` of its `run.json`.
        now: the same of the run at hand; a dry run has not looked at the last two.
    """
    lines = []
    for key in _KEYS:
        lines += _differences(key, then["config"].get(key), now["config"].get(key))
    orders = [list(facts["config"].get("stages") or ()) for facts in (then, now)]
    if orders[0] != orders[1] and set(orders[0]) == set(orders[1]):
        lines.append("stages: are in another order")
    weights = then["models"].get("weights", {}), now["models"].get("weights", {})
    for kind in sorted(set(weights[0]) & set(weights[1])):
        keep = "weights", "device", "dtype", "batch_size", "vae_slicing", "vae_tiling", "libraries"
        old, new = ({key: each[kind].get(key) for key in keep} for each in weights)
        lines += _differences(f"models.{kind}", old, new)
    if "environment" in now:
        lines += _differences("libraries", _libraries(then), _libraries(now))
    prints = then.get("dataset_fingerprint"), now.get("dataset_fingerprint")
    if all(prints) and prints[0] != prints[1]:
        lines.append("dataset: photos were added, left out or changed")
    return lines


def _libraries(facts: Mapping[str, Any]) -> dict[str, str]:
    packages = facts["environment"].get("packages", {})
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
        gone = [f"without {_short(each)}" for each in old if each not in new]
        come = [f"with {_short(each)}" for each in new if each not in old]
        yield f"{key}: {', '.join([*come, *gone]) or 'in another order'}"
    else:
        yield f"{key}: {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
