"""The fuzz: a short one that is the same each time, and that it notices what it is there to notice."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz.desk import Desk, a_desk
from fuzz.trial import trial, watch
from support.in_process import command_line


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with a_desk() as made:
        yield made


@pytest.mark.fault(
    "Run folders",
    "files of runs, sweeps, stores, tables, recipes, masks and photos damaged at random (`make fuzz`)",
    "every command ends with a documented exit code and touches nothing else",
)
@pytest.mark.parametrize(
    "trials", [pytest.param(4, marks=pytest.mark.sample), pytest.param(15, marks=pytest.mark.slow)]
)
def test_whatever_is_damaged(trials: int, desk: Desk) -> None:
    findings = [finding for seed in range(trials) for finding in trial(desk, seed, seconds=30)]
    assert not findings, "\n".join(map(str, findings))


def test_an_undamaged_desk_gives_no_findings(desk: Desk) -> None:
    desk.restore()
    run = desk.runs["run"]
    for words in (f"verify={run}", f"resume={run}", f"reproduce={run}", "store=report"):
        assert watch(desk, (words, lambda words=words: command_line(desk.desk, words)), 60) == []


def test_it_notices_what_must_not_be(desk: Desk) -> None:
    """Commands that do what none may do, each caught by its own rule."""
    picture = next((desk.runs["user"] / "results").iterdir())

    def traceback() -> int:
        print('Traceback (most recent call last):\n  File "/x/run.py", line 1, in job\nOSError: x', file=sys.stderr)
        return 1

    def unforeseen() -> int:
        print("failed: a.png: unexpected KeyError: 'x' (traceback in run.log)")
        return 3

    def error() -> int:
        raise KeyError("x")

    def hang() -> int:
        time.sleep(600)
        return 0

    def pipe() -> int:
        return len((desk.root / "canary/pipe").read_bytes())

    def write(path: Path) -> int:
        path.unlink(missing_ok=True)
        path.write_text("other")
        return 0

    for act, expected in (
        (lambda: 1, "exit code 1"),
        (traceback, "OSError in run.py:job"),
        (unforeseen, "unforeseen: unexpected KeyError"),
        (error, "KeyError in nothing of ours"),
        (hang, "hangs in "),
        (pipe, "hangs in "),
        (lambda: write(desk.root / "canary/thesis.txt"), "touched outside: canary/thesis.txt"),
        (lambda: write(desk.root / "canary/new"), "touched outside: canary"),
        (lambda: write(desk.desk / "new.txt"), "touched outside: desk/new.txt"),
        (lambda: write(desk.root / "home/.bashrc"), "touched outside: home/.bashrc"),
        (lambda: os.utime(desk.root / "canary/thesis.txt") or 0, "touched outside: canary/thesis.txt"),
        (lambda: write(picture), "a finished picture has changed"),
        (lambda: picture.unlink() or 0, "a finished picture is gone"),
    ):
        desk.restore()
        assert any(each.startswith(expected) for each in watch(desk, ("it", act), 0.5)), expected
