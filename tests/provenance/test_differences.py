"""Two runs' environments: what differs is told, the most telling first; nothing that a run lacks is a crash."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.provenance.differences import environment_changes

RUN: dict[str, Any] = {
    "name": "mars",
    "environment": {
        "python": "3.11.7",
        "platform": "Linux-6.1-x86_64",
        "packages": {"numpy": "2.4.6", "torch": "2.10.0", "torchvision": "0.25.0"},
        "git": {"commit": "220d8ce8113307b12e78065e56239d876e38fd3f", "dirty": False},
    },
    "models": {
        "device": "cpu",
        "memory": {"offload": "none", "batch_size": 1, "dtype": "fp32"},
        "weights": {
            "inpaint": {
                "name": "miniature",
                "weights": f"sha256:{'d5' * 32}",
                "device": "cpu",
                "dtype": "fp32",
                "watermark": False,
                "libraries": {"torch": "2"},
            }
        },
    },
}


def changed(*changes: tuple[str, Any]) -> dict[str, Any]:
    """RUN with other values at dotted places; `...` leaves out what is there."""
    run = deepcopy(RUN)
    for place, value in changes:
        *above, last = place.split(".")
        holder = run
        for key in above:
            holder = holder[key]
        if value is ...:
            del holder[last]
        else:
            holder[last] = value
    return run


def test_the_same_environment_differs_in_nothing() -> None:
    assert environment_changes(RUN, deepcopy(RUN)) == []
    assert environment_changes(RUN, changed(("name", "venus"))) == []


def test_the_most_telling_comes_first() -> None:
    now = changed(
        ("environment.git", {"commit": "48fd60a" + "0" * 33, "dirty": True}),
        ("environment.platform", "macOS-15"),
        ("environment.python", "3.12.1"),
        ("environment.packages", {"numpy": "2.4.6", "torchvision": "0.26.0", "torch": "2.11.1"}),
        ("models.weights.inpaint.weights", f"sha256:{'9b' * 32}"),
        ("models.memory", {"offload": "model", "batch_size": 4, "dtype": "fp16"}),
        ("models.device", "cuda"),
        ("models.weights.inpaint.device", "cuda"),
        ("models.weights.inpaint.dtype", "bf16"),
        ("models.weights.inpaint.libraries", {"torch": "3"}),
    )
    assert environment_changes(RUN, now) == [
        "device: cpu -> cuda",
        "memory.dtype: fp32 -> fp16",
        "memory.batch_size: 1 -> 4",
        "memory.offload: none -> model",
        "inpaint.weights: sha256:d5d5d5d5d5d5 -> sha256:9b9b9b9b9b9b",
        "inpaint.dtype: fp32 -> bf16",
        "torch: 2.10.0 -> 2.11.1",
        "torchvision: 0.25.0 -> 0.26.0",
        "python: 3.11.7 -> 3.12.1",
        "platform: Linux-6.1-x86_64 -> macOS-15",
        "commit: 220d8ce81133 -> 48fd60a00000",
        "uncommitted changes: no -> yes",
    ]


@pytest.mark.parametrize(
    "change, expected",
    [
        (("environment.packages.torch", ...), "torch: 2.10.0 -> not recorded"),
        (("environment.packages.torch", None), "torch: 2.10.0 -> none"),
        (("environment.git", None), "commit: 220d8ce81133 -> none"),
        (("environment", ...), "environment: recorded -> not recorded"),
        (("models.weights.inpaint", ...), "inpaint: sha256:d5d5d5d5d5d5 -> not recorded"),
        (("models.memory", "fast"), "memory: recorded -> fast"),
        (("models", None), "models: recorded -> none"),
        (("models.weights.inpaint.watermark", True), "inpaint.watermark: no -> yes"),
        (("models.weights.inpaint.weights", f"sha256:{'d5' * 31}00"), f"sha256:{'d5' * 32} -> sha256:{'d5' * 31}00"),
        (("environment.platform", "two\nlines\x1b"), r"platform: Linux-6.1-x86_64 -> two\nlines\x1b"),
    ],
)
def test_what_one_run_lacks_or_has_otherwise_is_one_line(change: tuple[str, Any], expected: str) -> None:
    (line,) = environment_changes(RUN, changed(change))
    assert line.endswith(expected)


def test_the_same_commit_with_changes_is_not_the_same_code() -> None:
    run = changed(("environment.git.dirty", True))
    assert environment_changes(run, run) == ["uncommitted changes: in both runs, so the code may differ"]


SCALARS = st.sampled_from([None, True, 0, "text", "two\nlines", [1, 2]])
PLAIN = st.recursive(
    SCALARS, lambda inner: st.dictionaries(st.sampled_from(["git", "dirty", "a\n"]), inner), max_leaves=9
)
RUNS = st.dictionaries(st.sampled_from(["environment", "models"]), PLAIN)


@given(RUNS, RUNS)
def test_nothing_makes_it_fail(then: dict[str, Any], now: dict[str, Any]) -> None:
    lines = environment_changes(then, now)
    assert all("\n" not in line for line in lines)
    assert len(environment_changes(now, then)) == len(lines)
    if then != now:
        assert lines
