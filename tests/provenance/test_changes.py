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
from PIL import Image

from darkroom.engine.run_job import JobRun
from darkroom.provenance.differences import recomputation_causes, unknown_cause
from darkroom.provenance.earlier_runs import earlier_runs
from darkroom.session.dry_run import dry_run
from darkroom.session.session import store_of
from darkroom.stages.inpaint import Inpaint
from darkroom.stages.mask_file import MaskFile
from support.fake_models import FakeModels
from support.in_process import job, session
from support.runs import Cli, environment, journal, run_facts

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
        self.models = FakeModels()
        self._output = output

    def run(self, **changed: Any) -> tuple[int, int, list[str]]:
        """How often CLIPSeg was asked, how many pictures were painted, and the log's lines about both."""
        stages = {name: {**stage, **changed.get(name, {})} for name, stage in STAGES.items()}
        clipseg, pictures = self.models.clipseg, self.models.diffusion.calls
        before = clipseg.calls, sum(pictures)
        config = {"dataset": {"images": str(self.photos)}, "stages": stages}
        self.folder = session(self.outputs, config, self.models)
        log = self._output().splitlines()
        start = next(number for number, line in enumerate(log) if line.startswith("computed: "))
        end = next(number for number, line in enumerate(log) if line.startswith("photos: "))
        return clipseg.calls - before[0], sum(pictures) - before[1], log[start:end]


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
            '    stages.paint.prompt: added "ice", removed "snow"',
        ],
    )
    assert desk.run(paint={"seed": [1, 2, 3]}) == (
        *(0, 6),
        [
            "computed: 6 inpaint; reused: 2 text, 2 refine, 12 inpaint",
            "since run2:",
            '    stages.paint.prompt: added "snow", removed "ice"',
            "    stages.paint.seed: added 3",
        ],
    )
    assert desk.run(refine={"grow": 3}) == (
        *(0, 12),
        [
            "computed: 2 refine, 12 inpaint; reused: 2 text",
            "since run3:",
            "    stages.refine.grow: 2 -> 3",
            "    stages.paint.seed: removed 3",
        ],
    )
    desk.models = FakeModels("other")
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
            "    dataset: photos were added, removed, changed or reordered",
        ],
    )
    shutil.rmtree(desk.outputs / ".store")
    *_, log = desk.run(refine={"grow": 3})
    assert log[1:] == ["since run6:", "    no recorded difference: results were missing from the store"]


def test_a_mask_shrinks_or_grows_back_to_what_was_there(desk: Desk) -> None:
    """Results of any earlier run are found, whatever lies between."""
    for grow in (1, 2, 1):
        asked, painted, _ = desk.run(refine={"grow": grow})
    assert (asked, painted) == (0, 0)
    assert [line["files"] for line in journal(desk.outputs / "run0")] == [
        line["files"] for line in journal(desk.outputs / "run2")
    ]


PHOTOS = "dataset: photos were added, removed, changed or reordered"


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
        "depends_on": {"keys": 2, "ops": {"text": 3}, "columns": {"prompt": "1"}, "files": {"mask": "1"}},
        "work": {"computed": {"text": 2}, "failed": {"text": 0}},
    }


@pytest.mark.parametrize(
    "change, lines",
    [
        (lambda now: None, []),
        (lambda now: now["config"].update(name="x", outputs="y"), []),
        (lambda now: now["models"]["weights"]["inpaint"].update(name="another name"), []),
        (lambda now: now["environment"]["packages"].update(pillow="12.9", torch="2.9"), []),
        (lambda now: now["environment"]["packages"].update(pillow="13.0"), ['libraries.pillow: "12" -> "13"']),
        (lambda now: now["config"]["stages"].pop("b"), ["stages.b: removed"]),
        (lambda now: now["config"]["stages"].update(c={"op": "invert"}), ["stages.c: added"]),
        (
            lambda now: now["config"]["stages"].update(a=now["config"]["stages"].pop("a")),
            ["stages: reordered"],
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
        (lambda now: now["models"]["weights"]["inpaint"].update(version=2), ["models.inpaint.version: added"]),
        (lambda now: now["depends_on"].update(keys=3), ["cache keys: version 2 -> 3"]),
        (lambda now: now["depends_on"].update(ops={"text": 4, "sam": 2}), ["op text: version 3 -> 4"]),
        (lambda now: now["depends_on"].update(columns={"point": "2"}), []),  # only one of the runs uses it
        (
            lambda now: now["depends_on"].update(columns={"prompt": "2"}, files={"mask": "2"}),
            [
                "dataset: column `prompt` has changed",
                "dataset: files that stages.mask reads have changed",
            ],
        ),
        (
            lambda now: [now.update(dataset_fingerprint="2"), now["depends_on"].update(columns={"prompt": "2"})],
            [f"{PHOTOS}; perhaps also column `prompt`"],
        ),
        (lambda now: now.update(dataset_fingerprint="2"), [PHOTOS]),
        (
            lambda now: now["config"]["stages"]["b"].update(prompt=[str(number) for number in range(9)]),
            ['stages.b.prompt: "mars" -> ["0", "1", "2", "3", "4", "5", "6", "7", "8"]'],
        ),
        (lambda now: now["config"]["stages"].update({"\x1b[2J": 1}), [r"stages.\x1b[2J: added"]),
    ],
)
def test_each_change_is_a_line(change: Callable[[dict[str, Any]], Any], lines: list[str]) -> None:
    now = deepcopy(then())
    change(now)
    assert recomputation_causes(then(), now) == lines


def test_of_long_lists_the_first_are_told() -> None:
    old, new = then(), then()
    old["config"]["stages"]["b"]["prompt"], new["config"]["stages"]["b"]["prompt"] = list(range(30_000)), []
    (line,) = recomputation_causes(old, new)
    assert line == "stages.b.prompt: removed 0, removed 1, removed 2, removed 3, removed 4, removed 29995 more"


@pytest.mark.parametrize(
    "failed, computed, expected",
    [
        ({"text": 0}, {"text": 1}, ": results were missing from the store"),
        ({"text": 1}, {"text": 1}, ": steps that failed in that run were tried again"),
        (
            {"text": 1},
            {"text": 1, "refine": 1},
            ": steps that failed in that run were tried again, or results were missing",
        ),
        (None, {"text": 1}, ": results were missing from the store"),
    ],
)
def test_what_no_change_explains_is_told_as_far_as_it_is_known(failed: Any, computed: Any, expected: str) -> None:
    facts = then() | {"work": {"failed": failed}}
    assert unknown_cause(facts, computed).startswith(f"no recorded difference{expected}")
    facts["depends_on"] = None
    assert unknown_cause(facts, computed).endswith("; that run did not record everything that its results depend on")


JUNK = (None, 5, "x\x1b[2J", [], [[]], {}, {"a": []}, {"text": "1"}, {"weights": {"inpaint": 3}}, True)


@pytest.mark.fault(
    "Run folders",
    "a run.json from a stranger or another version among one's own runs of that name",
    "the line since ... says what can be known, on one line without control characters",
)
@pytest.mark.parametrize("junk", JUNK, ids=str)
def test_another_s_run_json_costs_nothing(junk: Any) -> None:
    for path in _paths(then()):
        facts: Any = then()
        *parents, last = path
        inner = facts
        for key in parents:
            inner = inner[key]
        for damage in (lambda each, key: each.update({key: junk}), lambda each, key: each.pop(key)):
            damage(inner, last)
            lines = [*recomputation_causes(facts, then()), *recomputation_causes(facts, {"config": {}, "models": {}})]
            lines.append(unknown_cause(facts, {"text": 1}))
            assert all(line.isprintable() for line in lines)


def _paths(facts: Mapping[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, value in facts.items():
        found += [(*above, key), *(_paths(value, (*above, key)) if isinstance(value, Mapping) else ())]
    return found


class Table:
    """A table of two photos with masks; `run` returns the log's lines since the last run."""

    def __init__(self, folder: Path, output: Callable[[], str]) -> None:
        self.folder = folder
        self._output = output
        self.models = FakeModels()
        self.stages = {
            "drawn": {"op": "mask_file", "folder": str(folder / "masks")},
            "paint": {"op": "inpaint", "prompt": "a ${item.what}", "steps": 1, "strength": 1},
        }
        (folder / "masks").mkdir()
        for number, name in enumerate("ab"):
            Image.fromarray(np.full((40, 60, 3), 90 + number, np.uint8)).save(folder / f"{name}.png")
            self.mask(name, 255)
        self.write("car", "truck")

    def mask(self, name: str, level: int) -> None:
        Image.new("L", (60, 40), level).save(self.folder / f"masks/{name}.png")

    def write(self, *what: str) -> None:
        rows = [f"{name}.png,{each},{number}" for number, (name, each) in enumerate(zip("ab", what, strict=False))]
        (self.folder / "t.csv").write_text("\n".join(["image,what,price", *rows]))

    def run(self) -> list[str]:
        config = {"dataset": {"manifest": str(self.folder / "t.csv")}, "stages": self.stages}
        session(self.folder / "outputs", config, self.models)
        log = self._output().splitlines()
        start = next((number for number, line in enumerate(log) if line.startswith("since ")), len(log))
        return [line.strip() for line in log[start + 1 :] if line.startswith("    ")]


@pytest.mark.fault(
    "Reports and messages",
    "run again after: another value in a table, another mask, a missing mask, a deleted store, an interrupted run",
    "the line since ... names the cause, and claims nothing that is not recorded",
)
def test_the_line_since_is_true(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(tmp_path, lambda: capsys.readouterr().out)
    assert table.run() == []
    table.write("car", "horse")
    assert table.run() == ["dataset: column `what` has changed"]
    text = (tmp_path / "t.csv").read_text()
    (tmp_path / "t.csv").write_text(text.replace(",0", ",7"))  # a column that the recipe does not use
    shutil.rmtree(tmp_path / "outputs/.store")
    lost = "no recorded difference: results were missing from the store"
    assert table.run() == [lost]
    table.mask("a", 200)
    files = "dataset: files that stages.drawn reads have changed"
    assert table.run() == [files]
    (tmp_path / "masks/a.png").rename(tmp_path / "a_mask.png")
    shutil.rmtree(tmp_path / "outputs/.store")
    assert table.run() == [files]
    (tmp_path / "a_mask.png").rename(tmp_path / "masks/a.png")
    assert table.run() == [files]
    table.mask("b", 0)  # nothing to paint: tried again and again
    assert table.run() == [files]
    assert table.run() == ["no recorded difference: steps that failed in that run were tried again"]
    table.write("car")
    shutil.rmtree(tmp_path / "outputs/.store")
    assert table.run() == [f"{PHOTOS}; perhaps also column `what`, files that stages.drawn reads"]
    facts = json.loads((tmp_path / "outputs/run8/run.json").read_text())["depends_on"]
    assert facts["ops"] == {"mask_file": MaskFile.version, "inpaint": Inpaint.version}
    assert list(facts["columns"]) == ["what"] and list(facts["files"]) == ["drawn"]


def test_an_interrupted_run_is_not_what_a_run_is_compared_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table(tmp_path, lambda: capsys.readouterr().out)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(JobRun, "append", interrupt)
        table.run()
    assert table.run() == []


def test_earlier_runs_are_found_in_sweeps_too_and_damaged_ones_passed_over(tmp_path: Path) -> None:
    def put(folder: str, facts: Any) -> None:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "run.json").write_text(facts if isinstance(facts, str) else json.dumps(facts))

    for folder in ("1_test", "2_sweep/0_test", "2_sweep/1_test", "4_test"):
        put(folder, then())
    put("3_other", {**then(), "name": "other"})
    for number, status in enumerate(("running", "interrupted", "stopped", None)):  # did not come to their end
        put(f"5_{number}_test", {**then(), "status": status})
    for number, damaged in enumerate(("", "[]", "null", '{"name": "test"}', "{")):
        put(f"6_{number}_test", damaged)
    found = [folder.relative_to(tmp_path).as_posix() for folder, _ in earlier_runs(tmp_path, "test")]
    assert found == ["4_test", "2_sweep/1_test", "2_sweep/0_test", "1_test"]


def test_a_dry_run_says_why_too(desk: Desk) -> None:
    desk.run()
    stages = {**STAGES, "refine": {"grow": 5}}
    config = {"dataset": {"images": str(desk.photos)}, "stages": stages}
    ready = job(desk.outputs / "dry", config, desk.models)
    before = sorted(desk.outputs.rglob("*"))
    report = dry_run([ready], store_of([ready])).text
    assert "since run0: stages.refine.grow: 2 -> 5" in report.splitlines()
    assert "inpaint         12 to compute         0 in the store" in report
    assert "time: about 0:00:00, memory: " in report and sorted(desk.outputs.rglob("*")) == before


def test_the_same_again_loads_no_model_and_leaves_the_same_files(quick_cli: Cli) -> None:
    program = "import sys\nfrom darkroom.cli.main import main\ncode = main(sys.argv[1:])\n"
    program += "print('torch' in sys.modules)\nsys.exit(code)"
    words = ["recipe=car_on_mars", "models=miniature", "stages.inpaint.steps=2", "stages.inpaint.seed=0"]
    assert quick_cli(*words).returncode == 0
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, cwd=quick_cli.folder, env=environment(), capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert "computed: nothing; reused: 1 sam, 1 refine, 1 invert, 1 inpaint\n" in done.stdout
    one, other = quick_cli.run_folders()
    assert json.loads((other / "run.json").read_text())["work"]["loaded"] == []
    (line,), (again,) = journal(one), journal(other)
    assert line == again  # down to the seconds, which are those of the computing
    for path in (*line["files"], "recipe.yaml"):
        assert (one / path).read_bytes() == (other / path).read_bytes()
