"""A profile says where the time went, and does not change a run."""

from __future__ import annotations

import json
import threading
import time
from io import RawIOBase
from pathlib import Path
from typing import Any

import pytest

from darkroom.system.files import Folder
from darkroom.system.profiling import profiling, span, spanned


def events(path: Path) -> list[dict[str, Any]]:
    return [event for event in json.loads(path.read_text()) if event["ph"] == "X"]


def test_time_counts_once_under_the_innermost_name(tmp_path: Path) -> None:
    with profiling(Folder(tmp_path).append("trace.json")) as profile, span("outer"):
        time.sleep(0.02)
        with span("inner"):
            time.sleep(0.05)
    seconds = profile.seconds()
    assert seconds["inner"]["main"] >= 0.05
    assert seconds["outer"]["main"] + seconds["inner"]["main"] <= profile.wall
    inner, outer = events(tmp_path / "trace.json")
    assert (inner["name"], outer["name"]) == ("inner", "outer")
    assert outer["ts"] <= inner["ts"] and inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"] + 1


def test_every_thread_has_its_own_spans(tmp_path: Path) -> None:
    @spanned("work")
    def work() -> None:
        with span("part"):
            time.sleep(0.01)

    with profiling(Folder(tmp_path).append("trace.json")) as profile:
        threads = [threading.Thread(target=work, name=f"worker {number}") for number in range(3)]
        for thread in threads:
            thread.start()
        work()
        for thread in threads:
            thread.join()
    assert set(profile.seconds()["part"]) == {"main", "worker 0", "worker 1", "worker 2"}
    named = [event for event in json.loads((tmp_path / "trace.json").read_text()) if event["ph"] == "M"]
    assert sorted(event["args"]["name"] for event in named) == ["main", "worker 0", "worker 1", "worker 2"]
    assert len(profile.table()) == 4  # a heading, two names, what is outside


def test_the_trace_is_complete_up_to_the_moment_of_a_kill(tmp_path: Path) -> None:
    with profiling(Folder(tmp_path).append("trace.json")), span("a"):
        with span("b"):
            pass
        written = (tmp_path / "trace.json").read_text()
    assert [event["name"] for event in json.loads(written + "]") if event["ph"] == "X"] == ["b"]


def test_an_exception_ends_the_span(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), profiling(Folder(tmp_path).append("trace.json")), span("interrupted"):
        raise KeyboardInterrupt
    assert [event["name"] for event in events(tmp_path / "trace.json")] == ["interrupted"]


def test_a_full_disk_costs_the_trace_and_not_the_run() -> None:
    class Full(RawIOBase):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    with profiling(Full()) as profile, span("work"):
        pass
    assert "work" in profile.seconds()


def test_without_a_profile_nothing_is_kept() -> None:
    assert span("a") is span("b")
