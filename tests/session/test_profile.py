"""`profile=true` shows the parts of a run and changes nothing else about it."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from darkroom.config import settings
from darkroom.engine.computation import Computation
from darkroom.session.session import run as run_session
from support.fake_models import FakeModels
from support.in_process import LEFT, command_line, job
from support.runs import CAR as PHOTO
from support.runs import Asking

PARTS = {"load", "decode", "encode", "text", "denoise", "VAE", "PNG", "hash", "write", "wait"}
WORDS = ("recipe=car_on_mars", "models=miniature", f"dataset.images={PHOTO}", "stages.inpaint.seed=[0,1]")


def trace(folder: Path, name: str = "profile.json") -> list[dict[str, Any]]:
    return [event for event in json.loads((folder / name).read_text()) if event["ph"] == "X"]


def outermost_by_thread(events: list[dict[str, Any]]) -> dict[int, list[tuple[float, float]]]:
    """Begin and end, in µs, of the spans that are not inside others."""
    spans: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for event in sorted(events, key=lambda event: (event["tid"], event["ts"], -event["dur"])):
        known = spans[event["tid"]]
        if not known or event["ts"] >= known[-1][1] - 0.2:  # the trace is rounded to 0.1 µs
            known.append((event["ts"], event["ts"] + event["dur"]))
        else:
            assert event["ts"] + event["dur"] <= known[-1][1] + 0.2, "a span ends after the one around it"
    return spans


def test_a_profiled_run_names_its_parts_and_makes_the_same_files(tmp_path: Path) -> None:
    settings._models.cache_clear()  # so that this run loads its models
    steps = "stages.inpaint.steps=1"
    assert command_line(tmp_path, *WORDS, steps, "outputs=a", "profile=true", "memory.workers=2") == 0
    assert command_line(tmp_path, *WORDS, steps, "outputs=a") == 0
    assert command_line(tmp_path, *WORDS, steps, "outputs=b") == 0
    (profiled, again), (plain,) = (sorted((tmp_path / name).glob("2*")) for name in "ab")
    assert json.loads((again / "run.json").read_text())["work"]["computed"] == {}
    for path in sorted(plain.glob("results/*")):
        assert path.read_bytes() == (profiled / "results" / path.name).read_bytes()
    assert not (plain / "profile.json").exists()

    events = trace(profiled)
    assert {event["name"] for event in events} >= PARTS
    table = (profiled / "profile.txt").read_text()
    wall = float(table.split()[1]) * 1e6
    for spans in outermost_by_thread(events).values():
        assert sum(end - begin for begin, end in spans) <= wall * 1.01
    assert all(f"\n{part} " in table for part in PARTS)


def test_an_interrupted_run_has_its_profile_too_and_a_resumed_one_gets_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"dataset": {"images": str(PHOTO)}, "stages": {"left": LEFT}}
    checked = job(tmp_path / "run", config, FakeModels())
    checked = replace(checked, settings=Asking(FakeModels(), profile=True))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Computation, "_steps", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        run_session([checked])
    assert {"decode", "PNG", "report"} <= {event["name"] for event in trace(tmp_path / "run")}
    run_session([replace(checked, begun=True)])
    assert "text" in {event["name"] for event in trace(tmp_path / "run", "profile-2.json")}
    assert len(list((tmp_path / "run").glob("profile*"))) == 4
