"""Sweeps, by the command line and on the miniature models: run as one, they leave what each job alone would leave."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from darkroom.engine.runner import Runner
from darkroom.imaging import codec
from darkroom.models.miniature.two_pass_sam import TwoPassSam
from darkroom.provenance.verify import verify
from support.in_process import command_line
from support.runs import CAR, ROOT, Cli, journal

PROMPTS = ["mars, dust storm", 'a "wet" street: (night)', "it's late"]
QUOTED = 'stages.inpaint.prompt="mars, dust storm","a \\"wet\\" street: (night)","it\'s late"'
RECIPE = """
dataset: {images: photos}
stages:
  thing: {op: sam, points: [[40, 30]]}
  refine: {grow: 2}
  inpaint: {prompt: mars, seed: 0, steps: 2}
"""

Run = Callable[..., int]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line within this process, in a folder with two photos and a recipe; models are loaded once."""
    (tmp_path / "photos").mkdir()
    with Image.open(CAR) as image:
        for name, box in (("a", (300, 300, 396, 372)), ("b", (200, 280, 296, 352))):
            image.crop(box).save(tmp_path / f"photos/{name}.png")
    (tmp_path / "mine.yaml").write_text(RECIPE)
    (tmp_path / "other.yaml").write_text(RECIPE.replace("grow: 2", "grow: 4"))
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> int:
        chosen = [] if words[0].startswith("resume=") else ["models=miniature"]
        return command_line(tmp_path, *words, *chosen)

    return call


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often SAM was asked and a photo decoded."""
    counts = {"sam": 0, "decoded": 0}

    def counted(what: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any, **more: Any) -> Any:
            counts[what] += 1
            return work(*args, **more)

        return count

    monkeypatch.setattr(TwoPassSam, "masks", counted("sam", TwoPassSam.masks))
    monkeypatch.setattr(codec, "decode_photo", counted("decoded", codec.decode_photo))
    return counts


def only(outputs: Path) -> Path:
    (folder,) = [path for path in outputs.iterdir() if path.name != ".store"]
    return folder


def contents(run_dir: Path) -> dict[str, Any]:
    """A run folder without what tells time and place."""
    told = ("run.json", "run.log", "journal.jsonl", "index.html", "contact_sheet.jpg")
    files = [path for path in run_dir.rglob("*") if path.is_file() and ".hydra" not in path.parts]
    plain = {path.relative_to(run_dir).as_posix(): path.read_bytes() for path in files if path.name not in told}
    lines = journal(run_dir)
    for line in lines:
        for each in (line, *line["steps"]):
            del each["seconds"]
    return plain | {"journal": lines}


@pytest.mark.parametrize(
    "axes, jobs, sam",
    [
        ([QUOTED, "stages.inpaint.seed=3,5"], [(p, s) for p in PROMPTS for s in ("3", "5")], 2),
        (["stages.refine.grow=0,1,2.5"], [("0",), ("1",), ("2.5",)], 2),
        (["stages.inpaint.prompt=[mars,snow],[snow,beach]"], [("[mars,snow]",), ("[snow,beach]",)], 2),
        (["stages.inpaint.seed=1,[2,1]"], [("1",), ("[2,1]",)], 2),
        (["recipe=mine.yaml,other.yaml"], [("mine.yaml",), ("other.yaml",)], 2),
        (["dataset.images=photos/a.png,photos"], [("photos/a.png",), ("photos",)], 2),
    ],
)
def test_a_sweep_is_one_piece_of_work_and_each_job_what_it_is_alone(
    axes: Sequence[str], jobs: Sequence[tuple[str, ...]], sam: int, here: Run, asked: dict[str, int]
) -> None:
    recipe = [] if axes[0].startswith("recipe=") else ["recipe=mine.yaml"]
    assert here("-m", *recipe, *axes, "outputs=swept") == 0
    assert asked == {"sam": sam, "decoded": 2}
    sweep = only(Path("swept"))
    told = json.loads((sweep / "sweep.json").read_text())
    keys = [axis.partition("=")[0] for axis in axes]
    assert [tuple(job["values"][key] for key in keys) for job in told["jobs"]] == jobs
    assert list(told["axes"]) == keys and {job["status"] for job in told["jobs"]} == {"done"}
    page = (sweep / "index.html").read_text()
    assert all(key in page for key in keys)
    with Image.open(sweep / "contact_sheet.jpg") as sheet:
        assert sheet.format == "JPEG" and sheet.size > (500, 300)
    for number in (0, len(jobs) - 1):
        folder = sweep / told["jobs"][number]["folder"]
        lines = (folder / "journal.jsonl").read_text().splitlines()
        own = {name for name in ("contact_sheet.jpg", "index.html") if (folder / name).exists()}
        assert len(own) == (0 if len(lines) == 1 else 2)
        words = json.loads((folder / "run.json").read_text())["overrides"]
        assert here(*(word for word in words if not word.startswith(("models=", "outputs="))), f"outputs={number}") == 0
        assert contents(folder) == contents(only(Path(str(number))))


def test_a_job_that_cannot_run_and_one_whose_photos_fail_stop_no_other(
    here: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    points = "stages.thing.points=[[40,30]],[[9999,1]]"
    assert here("-m", "recipe=mine.yaml", points, "stages.inpaint.steps=2,0") == 3
    sweep = only(Path("outputs"))
    told = json.loads((sweep / "sweep.json").read_text())["jobs"]
    assert [job["status"] for job in told] == ["done", "failed", "failed", "failed"]
    assert [job["error"] is None for job in told] == [True, False, True, False]
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == ["0_mine", "2_mine"]
    output = capsys.readouterr()
    assert output.err.count("stages.inpaint.steps: ") == 1 and "Traceback" not in output.err
    assert "0_mine: pictures: 2 done, 0 failed, 0 skipped\n" in output.out
    assert "1_mine: not run: " in output.out and "2_mine: pictures: 0 done, 2 failed, 0 skipped\n" in output.out
    assert "[9999, 1] lies outside" in (sweep / "index.html").read_text()


def test_a_sweep_over_models_loads_each_and_shares_what_depends_on_none(
    here: Run, asked: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[dict[str, int]] = []
    whole = Runner.run

    def watch(self: Runner, *args: Any) -> None:
        whole(self, *args)
        computed.append(dict(self.computed))

    monkeypatch.setattr(Runner, "run", watch)
    weights = str(ROOT / "pipeline/darkroom/models/miniature/weights/sdxl_inpaint")
    words = ["recipe=mine.yaml", "dataset.images=photos/a.png", "memory.threads=1"]
    assert here("-m", *words, f"models.inpaint=miniature,{weights}") == 0
    assert computed == [{"sam": 1, "refine": 1, "inpaint": 1}, {}]  # other words, the same weights
    (one,), (other,) = (journal(only(Path("outputs")) / f"{number}_mine") for number in (0, 1))
    assert one["files"] == other["files"]


ELSEWHERE = {"folder": "../run", "values": {}, "status": "done", "error": None}
LINK, SAME = {**ELSEWHERE, "folder": "link"}, {**ELSEWHERE, "folder": "0_x"}


@pytest.mark.fault(
    "Sweeps", "a `sweep.json` that is damaged or names folders elsewhere", "one line; nothing is resumed"
)
@pytest.mark.parametrize("jobs", [[], [{"folder": "0_x"}], [ELSEWHERE], [LINK], [SAME] * 2])
def test_a_sweeps_record_leads_nowhere_else(jobs: list, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "outputs/x_sweep").mkdir(parents=True)
    (tmp_path / "outputs/x_sweep/link").symlink_to(tmp_path)
    record = {"started": "2026-11-20T14:03:22+01:00", "axes": {}, "jobs": jobs} if jobs else {}
    (tmp_path / "outputs/x_sweep/sweep.json").write_text(json.dumps(record))
    assert command_line(tmp_path, "resume=outputs/x_sweep") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "x_sweep/sweep.json: " in line and ("is damaged" in line or "link: is a link, not a run folder" in line)


@pytest.mark.slow  # test_resume.py kills sweeps, test_process.py interrupts runs
def test_an_interrupted_sweep_leaves_whole_folders_and_can_be_finished(cli: Cli, here: Run) -> None:
    words = ["-m", "recipe=mine.yaml", "stages.refine.grow=0,1", "stages.inpaint.seed=range(0,4)"]
    assert here(*words, "outputs=whole") == 0
    process = cli.start(*words, "models=miniature")
    while not any(path.stat().st_size for path in cli.folder.glob("outputs/*/*/journal.jsonl")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in output, output
    sweep = only(Path("outputs"))
    jobs = json.loads((sweep / "sweep.json").read_text())["jobs"]
    assert len(jobs) == 8 and {job["status"] for job in jobs} <= {"interrupted", "done"}
    finished = [line for job in jobs for line in journal(sweep / job["folder"])]
    assert 0 < len(finished) < 16
    assert all(verify(sweep / job["folder"]).problems == [] for job in jobs)
    assert here("resume=latest") == 0
    for job in json.loads((sweep / "sweep.json").read_text())["jobs"]:
        assert job["status"] == "done"
        assert contents(sweep / job["folder"]) == contents(only(Path("whole")) / job["folder"])


def test_a_refused_first_job_moves_no_other(cli: Cli) -> None:
    """The sweep's folder comes from the jobs that can run."""
    (cli.folder / "mine.yaml").write_text("dataset: {images: a.png}\nstages: {mask: {op: mask_file, alpha: true}}\n")
    Image.new("RGBA", (16, 16), (9, 9, 9, 99)).save(cli.folder / "a.png")
    done = cli("-m", "recipe=nowhere,mine.yaml", "outputs=results", "device=cpu")
    assert done.returncode == 2 and "recipe 'nowhere' not found" in done.stderr
    (sweep,) = (path for path in (cli.folder / "results").iterdir() if path.name != ".store")
    assert (sweep / "1_mine/run.json").is_file() and "0: not run: recipe 'nowhere' not found" in done.stdout
    assert {path.name for path in cli.folder.iterdir()} == {"a.png", "mine.yaml", "results"}
    assert cli("-m", "recipe=mine.yaml", "outputs=one,two").returncode == 2 and not (cli.folder / "one").exists()
