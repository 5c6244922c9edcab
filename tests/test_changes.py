"""Change one thing, and only what depends on it is computed; the log says what, and why."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inside import Fakes, job, session
from PIL import Image
from runs import ROOT, Cli, journal, run_facts

from pipeline.again.changes import changes, last_runs
from pipeline.session import run as run_session

STAGES: Mapping[str, Any] = {
    "heat": {"op": "text", "phrase": "a car", "threshold": 0.5},
    "refine": {"grow": 2},
    "paint": {"op": "inpaint", "prompt": ["mars", "snow", "a beach"], "seed": [1, 2], "steps": 1, "strength": 1},
}


class Desk:
    """Runs variations of a recipe over two photos and counts what the models are asked."""

    def __init__(self, folder: Path, output: Callable[[], str]) -> None:
        self.outputs = folder / "outputs"
        self.photos = folder / "photos"
        self.photos.mkdir()
        for number in range(2):
            Image.fromarray(np.full((40, 60, 3), 90 + number, np.uint8)).save(self.photos / f"{number}.png")
        self.models = Fakes()
        self._output = output

    def run(self, **changed: Any) -> tuple[int, int, list[str]]:
        """How often CLIPSeg was asked, how many pictures were painted, and the log's lines about both."""
        stages = {name: {**stage, **changed.get(name, {})} for name, stage in STAGES.items()}
        clipseg, pictures = self.models.clipseg, self.models.diffusion.calls
        before = clipseg.asked, sum(pictures)
        config = {"dataset": {"images": str(self.photos)}, "stages": stages}
        self.folder = session(self.outputs, config, self.models)
        log = self._output().splitlines()
        start = next(number for number, line in enumerate(log) if line.startswith("computed: "))
        end = next(number for number, line in enumerate(log) if line.startswith("photos: "))
        return clipseg.asked - before[0], sum(pictures) - before[1], log[start:end]


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, lambda: capsys.readouterr().out)


def test_only_what_depends_on_a_change_is_computed_and_the_log_says_why(desk: Desk) -> None:
    assert desk.run() == (2, 12, ["computed: 2 text, 2 refine, 12 inpaint; reused: nothing"])
    assert desk.run() == (0, 0, ["computed: nothing; reused: 2 text, 2 refine, 12 inpaint"])
    assert desk.run(paint={"prompt": ["mars", "ice", "a beach"]}) == (
        *(0, 4),
        [
            "computed: 4 inpaint; reused: 2 text, 2 refine, 8 inpaint",
            "since run1:",
            '    stages.paint.prompt: with "ice", without "snow"',
        ],
    )
    assert desk.run(paint={"seed": [1, 2, 3]}) == (
        *(0, 6),
        [
            "computed: 6 inpaint; reused: 2 text, 2 refine, 12 inpaint",
            "since run2:",
            '    stages.paint.prompt: with "snow", without "ice"',
            "    stages.paint.seed: with 3",
        ],
    )
    assert desk.run(refine={"grow": 3}) == (
        *(0, 12),
        [
            "computed: 2 refine, 12 inpaint; reused: 2 text",
            "since run3:",
            "    stages.refine.grow: 2 -> 3",
            "    stages.paint.seed: without 3",
        ],
    )
    desk.models = Fakes("other")
    asked, painted, log = desk.run(refine={"grow": 3})
    assert (asked, painted) == (2, 12) and log[1:] == [
        "since run4:",
        '    models.clipseg.weights: "one" -> "other"',
        '    models.inpaint.weights: "one" -> "other"',
    ]
    Image.new("RGB", (60, 40)).save(desk.photos / "0.png")
    assert desk.run(refine={"grow": 3}) == (
        *(1, 6),
        [
            "computed: 1 text, 1 refine, 6 inpaint; reused: 1 text, 1 refine, 6 inpaint",
            "since run5:",
            "    dataset: photos were added, left out or changed",
        ],
    )
    shutil.rmtree(desk.outputs / ".store")
    *_, log = desk.run(refine={"grow": 3})
    assert log[1:2] == ["since run6:"] and "or the store has lost it" in log[2] and len(log) == 3


def test_a_mask_shrinks_or_grows_back_to_what_was_there(desk: Desk) -> None:
    """Results of any earlier run are found, whatever lies between."""
    for grow in (1, 2, 1):
        asked, painted, _ = desk.run(refine={"grow": grow})
    assert (asked, painted) == (0, 0)
    assert [line["files"] for line in journal(desk.outputs / "run0")] == [
        line["files"] for line in journal(desk.outputs / "run2")
    ]


def then() -> dict[str, Any]:
    """What a run has recorded."""
    weights = {
        "weights": "sha256:1",
        "device": "cpu",
        "dtype": "fp32",
        "libraries": {"torch": "2"},
        "name": "miniature",
    }
    return run_facts() | {
        "config": {"stages": {"a": {"op": "refine", "grow": 2}, "b": {"prompt": "mars"}}, "on_empty": "fail"},
        "models": {"device": "cpu", "weights": {"inpaint": weights}},
        "environment": {"packages": {"numpy": "2.1", "opencv-python-headless": "4.10", "pillow": "12.0", "torch": "2"}},
        "dataset_fingerprint": "1",
    }


@pytest.mark.parametrize(
    "change, lines",
    [
        (lambda now: None, []),
        (lambda now: now["config"].update(name="x", outputs="y"), []),
        (lambda now: now["models"]["weights"]["inpaint"].update(name="another name"), []),
        (lambda now: now["environment"]["packages"].update(pillow="12.9", torch="2.9"), []),
        (lambda now: now["environment"]["packages"].update(pillow="13.0"), ['libraries.pillow: "12" -> "13"']),
        (lambda now: now["config"]["stages"].pop("b"), ["stages.b: is no longer there"]),
        (lambda now: now["config"]["stages"].update(c={"op": "invert"}), ["stages.c: is new"]),
        (
            lambda now: now["config"]["stages"].update(a=now["config"]["stages"].pop("a")),
            ["stages: are in another order"],
        ),
        (lambda now: now["config"]["stages"]["b"].update(prompt=["mars"]), ['stages.b.prompt: "mars" -> ["mars"]']),
        (lambda now: now["config"].update(on_empty="keep"), ['on_empty: "fail" -> "keep"']),
        (
            lambda now: now["models"]["weights"]["inpaint"].update(dtype="fp16", libraries={"torch": "3"}),
            ['models.inpaint.dtype: "fp32" -> "fp16"', 'models.inpaint.libraries.torch: "2" -> "3"'],
        ),
        (
            lambda now: now["config"]["stages"]["b"].update(prompt="x" * 99),
            [f'stages.b.prompt: "mars" -> "{"x" * 58}…'],
        ),
        (lambda now: [now.pop("environment"), now.pop("dataset_fingerprint")], []),  # a dry run has not looked at them
    ],
)
def test_each_change_is_a_line(change: Callable[[dict[str, Any]], Any], lines: list[str]) -> None:
    now = deepcopy(then())
    change(now)
    assert changes(then(), now) == lines


def test_earlier_runs_are_found_in_sweeps_too_and_damaged_ones_passed_over(tmp_path: Path) -> None:
    def put(folder: str, facts: Any) -> None:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "run.json").write_text(facts if isinstance(facts, str) else json.dumps(facts))

    for folder in ("1_test", "2_sweep/0_test", "2_sweep/1_test", "4_test"):
        put(folder, then())
    put("3_other", {**then(), "name": "other"})
    for number, damaged in enumerate(("", "[]", "null", '{"name": "test"}', "{")):
        put(f"6_{number}_test", damaged)
    found = [folder.relative_to(tmp_path).as_posix() for folder, _ in last_runs(tmp_path, "test")]
    assert found == ["4_test", "2_sweep/1_test", "2_sweep/0_test", "1_test"]


def test_a_dry_run_says_why_too(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.run()
    stages = {**STAGES, "refine": {"grow": 5}}
    config = {"dataset": {"images": str(desk.photos)}, "stages": stages}
    ready = job(desk.outputs / "dry", config, desk.models)
    object.__setattr__(ready.settings, "dry_run", True)
    assert run_session([ready])
    told = capsys.readouterr().out
    assert (
        "since run0: stages.refine.grow: 2 -> 5\n" in told
        and "inpaint         12 to do         0 there already" in told
    )
    assert "time: about 0:00:00, memory: " in told and not ready.folder.exists()


def test_the_same_again_loads_no_model_and_leaves_the_same_files(cli: Cli) -> None:
    program = "import sys, run; code = run.main(); print('torch' in sys.modules); sys.exit(code)"
    words = ["recipe=car_on_mars", "models=miniature", "stages.inpaint.steps=2", "stages.inpaint.seed=0"]
    command = [sys.executable, "-c", program, *words]
    outputs = [
        subprocess.run(command, cwd=cli.folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True).stdout
        for _ in range(2)
    ]
    assert [output.splitlines()[-1] for output in outputs] == ["True", "False"]
    assert "computed: nothing; reused: 1 sam, 1 refine, 1 invert, 1 inpaint\n" in outputs[1]
    one, other = cli.run_folders()
    assert json.loads((other / "run.json").read_text())["work"]["loaded"] == []
    (line,), (again,) = journal(one), journal(other)
    assert line == again  # down to the seconds, which are those of the computing
    for path in (*line["files"], "recipe.yaml"):
        assert (one / path).read_bytes() == (other / path).read_bytes()
