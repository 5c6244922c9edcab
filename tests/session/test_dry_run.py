"""What a dry run tells is what a run then does; it changes nothing and needs no model."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.config.jobs import Job
from darkroom.engine.run_job import run_jobs
from darkroom.session import counts, disk_estimate
from darkroom.session.disk_estimate import disk_line
from darkroom.session.dry_run import dry_run
from darkroom.session.session import run as run_session
from darkroom.store import Store
from support.fake_models import FakeModels, FlatDiffusion
from support.in_process import job
from support.runs import ROOT, Cli, environment, masks_only

HEAT = {"op": "text", "phrase": "a car", "threshold": "${item.threshold}"}
PAINT = {"op": "inpaint", "prompt": ["${item.prompt}", "ice"], "seed": [1, 2], "steps": 1, "strength": 1}
ROWS = [
    {"image": "a.png", "prompt": "mars", "threshold": 0.5},
    {"image": "b.png", "prompt": "mars", "threshold": 0.5},
    {"image": "twin of a.png", "prompt": "mars", "threshold": 0.5},
    {"image": "a.png", "prompt": "snow", "threshold": 0.5},  # shares a mask, and a prompt, with the first
    {"image": "missing.png", "prompt": "mars", "threshold": 0.5},
    {"image": "b.png", "prompt": "mars", "threshold": "high"},
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A manifest of photos some of which are there twice or not at all, and masks for some."""
    (tmp_path / "masks").mkdir()
    for name, grey in (("a", 1), ("b", 2)):
        Image.fromarray(np.full((40, 60, 3), grey, np.uint8)).save(tmp_path / f"{name}.png")
        Image.fromarray(np.full((40, 60), 255, np.uint8)).save(tmp_path / f"masks/{name}.png")
    shutil.copy(tmp_path / "a.png", tmp_path / "twin of a.png")
    manifest = tmp_path / "photos.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return manifest


def jobs(photos: Path, models: FakeModels, number: int) -> list[Job]:
    """Four jobs that share masks and pictures."""
    masks = {"op": "mask_file", "folder": str(photos.parent / "masks")}
    recipes = [
        {"heat": HEAT, "paint": PAINT},
        {"warmth": HEAT, "paint": {**PAINT, "seed": [2, 3]}},
        {"heat": HEAT, "wide": {"op": "refine", "grow": 2}, "paint": PAINT},
        {"heat": HEAT, "paint": {**PAINT, "prompt": "a"}, "m": masks, "again": {**PAINT, "prompt": "b", "seed": 9}},
    ]
    dataset = {"manifest": str(photos)}
    return [
        job(photos.parent / f"outputs/{number}_{index}", {"dataset": dataset, "stages": stages}, models)
        for index, stages in enumerate(recipes)
    ]


def plan(ready: Sequence[Job], store: Store) -> dict[str, tuple[int, int]]:
    """What a dry run tells by op: to compute, in the store."""
    lines = re.findall(
        r"^  (\w+) +([\d,]+) to compute +([\d,]+) in the store$", dry_run(ready, store).text, re.MULTILINE
    )
    return {op: (int(todo.replace(",", "")), int(there.replace(",", ""))) for op, todo, there in lines}


@pytest.mark.parametrize("batch_size", [1, 3])
def test_it_tells_what_a_run_then_computes(batch_size: int, photos: Path, tmp_path: Path) -> None:
    models, store = FakeModels(diffusion=FlatDiffusion(batch_size=batch_size)), Store(tmp_path / "outputs/.store")
    before = plan(first := jobs(photos, models, 0), store)
    assert before["text"] == (2, 0) and before["mask_file"] == (4, 0)  # two of them behind each seed's picture
    some = run_jobs(first[1:2], store)[0].work["computed"]
    between = plan(first, store)
    assert all(between[op] == (todo - some.get(op, 0), some.get(op, 0)) for op, (todo, _) in before.items())
    text = dry_run(others := jobs(photos, models, 1), store).text
    runs = run_jobs(others, store)
    assert runs[0].work["computed"] == {op: todo for op, (todo, _) in between.items() if todo}
    assert plan(first, store) == {op: (0, todo) for op, (todo, _) in before.items()}
    made = sum(run.totals["done"] for run in runs)
    assert text.startswith(f"4 jobs; {4 * len(ROWS)} photos, {made} pictures\n")


def test_it_names_what_cannot_be_done(photos: Path, tmp_path: Path) -> None:
    lines = dry_run(jobs(photos, FakeModels(), 0), Store(tmp_path / "outputs/.store")).text.splitlines()
    told = [line for line in lines if line.startswith("  cannot be made: ")]
    reasons = (
        "twin of a.png: photos.jsonl:3: one mask ",
        "missing.png: photos.jsonl:5: image: cannot be read: No such file",
        "b.png: photos.jsonl:6: heat.threshold (column threshold): ",
    )
    assert len(told) == 3
    for line, reason in zip(told, reasons, strict=True):
        assert line.startswith(f"  cannot be made: {reason}")


def test_it_names_no_more_than_a_few_and_lets_no_name_steer_the_terminal(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(8):
        (folder / f"\udcff\x1b[31m{number}\n.png").symlink_to("nowhere")
    config = {"dataset": {"images": str(folder)}, "stages": {"m": {"op": "grabcut", "box": [1, 1, 2, 2]}}}
    text = dry_run([job(tmp_path / "outputs/0", config, FakeModels())], Store(tmp_path / "outputs/.store")).text
    assert text.encode().count(b"\n") == 8 and "\x1b" not in text
    assert text.startswith("8 photos, 0 pictures\n")
    assert "... and 3 more photos with pictures that cannot be made" in text
    shutil.rmtree(folder)
    folder.mkdir()
    text = dry_run([job(tmp_path / "outputs/1", config, FakeModels())], Store(tmp_path / "outputs/.store")).text
    assert text.startswith("0 photos, 0 pictures\nmodels: none to load")


def test_a_photo_that_turns_out_to_be_broken_was_counted(tmp_path: Path) -> None:
    """Nothing is decoded before a run."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/broken.png").write_bytes(b"no picture")
    Image.new("RGB", (9, 9)).save(tmp_path / "photos/whole.png")
    config = {"dataset": {"images": str(tmp_path / "photos")}, "stages": {"heat": {"op": "text", "phrase": "a car"}}}
    ready, store = [job(tmp_path / "outputs/0", config, FakeModels())], Store(tmp_path / "outputs/.store")
    assert plan(ready, store) == {"text": (2, 0)}
    (run,) = run_jobs(ready, store)
    assert run.work["computed"] == {"text": 1} and run.totals["failed"] == 1
    assert plan(ready, store) == {"text": (1, 1)}


def test_it_tells_for_each_kind_of_models_what_has_to_be_loaded(photos: Path, tmp_path: Path) -> None:
    one, other = FakeModels("one"), FakeModels("other")
    store = Store(tmp_path / "outputs/.store")
    run_jobs(jobs(photos, one, 0)[:1], store)
    mixed = [jobs(photos, one, 1)[0], jobs(photos, other, 2)[0]]
    models = [line for line in dry_run(mixed, store).text.splitlines() if line.startswith("models: ")]
    assert [line.partition(";")[0] for line in models] == [
        "models: none to load",
        "models: clipseg, inpaint to load, 10 MB",
    ]


def test_its_memory_does_not_grow_with_the_number_of_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "_REMEMBERED", 100)
    monkeypatch.setattr(counts, "_PHOTOS_REMEMBERED", 50)
    monkeypatch.setattr(disk_estimate, "SIZES_READ", 50)
    stages = {"m": {"op": "text", "phrase": "x"}, "paint": {**PAINT, "prompt": "mars", "seed": list(range(9))}}

    class Empty(Store):
        """Never looks: each look has the interpreter remember a path."""

        def has(self, key: str) -> bool:
            return False

    def peak(number: int) -> int:
        for each in range(number):
            path = tmp_path / f"{number}/{each // 50}/{each}.png"  # the names in a folder are held, and sorted
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"%d" % each)
        config = {"dataset": {"images": str(tmp_path / str(number))}, "stages": stages}
        ready = job(tmp_path / f"outputs/{number}", config, FakeModels())
        sizes = []
        for _ in range(2):  # the interpreter enlarges its tables now and then
            tracemalloc.start()
            assert plan([ready], Empty(tmp_path / "outputs/.store"))["inpaint"] == (9 * number, 0)
            sizes.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        return min(sizes)

    assert peak(800) < 1.3 * peak(200)


def test_it_estimates_the_disk_space_of_a_first_run(tmp_path: Path) -> None:
    """Within a factor of two, for photographs."""
    config = {"dataset": {"images": [str(ROOT / f"examples/{name}.jpg") for name in ("astronaut", "cat", "coffee")]}}
    config["stages"] = {"m": {"op": "text", "phrase": "the left half"}, "paint": {**PAINT, "prompt": "x", "seed": 1}}
    ready = job(tmp_path / "outputs/run", config, FakeModels())
    store = Store(tmp_path / "outputs/.store")
    line = next(line for line in dry_run([ready], store).text.splitlines() if line.startswith("disk: "))
    found = re.fullmatch(r"disk: about (\d) MB, judging by the photos' sizes; [\d.,]+ [GM]B free", line)
    assert found, line
    run_session([ready])
    files = {path.stat().st_ino: path.stat().st_size for path in (tmp_path / "outputs").rglob("*") if path.is_file()}
    assert 0.5 < float(found[1]) * 1e6 / sum(files.values()) < 2
    assert "disk" not in dry_run([ready], store).text, "everything is there"


def test_it_counts_whole_blocks_and_thumbnails_of_small_photos(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    whole = Image.open(ROOT / "examples/astronaut.jpg").convert("RGB")
    for number in range(60):
        x, y = number % 8 * 40, number // 8 * 40
        whole.crop((x, y, x + 64, y + 64)).save(tmp_path / f"photos/{number}.png")
    config = {
        "dataset": {"images": str(tmp_path / "photos")},
        "stages": {"m": {"op": "text", "phrase": "the left half"}},
    }
    ready = job(tmp_path / "outputs/run", config, FakeModels())
    text = dry_run([ready], Store(tmp_path / "outputs/.store")).text
    found = re.search(r"^disk: about (\d) MB", text, re.MULTILINE)
    assert found, text
    run_session([ready])
    files = {path.stat().st_ino: path for path in (tmp_path / "outputs").rglob("*") if path.is_file()}.values()
    blocks = sum(-(-path.stat().st_size // 4096) * 4096 for path in files if "contact_sheet" not in path.name)
    assert 0.5 < float(found[1]) * 1e6 / blocks < 2


def test_its_time_holds_what_each_picture_took_beside_the_ops(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(12):
        Image.new("RGB", (20, 10), (number, 0, 0)).save(tmp_path / f"photos/{number}.png")
    config = {"dataset": {"images": str(tmp_path / "photos")}, "stages": {"m": {"op": "text", "phrase": "a car"}}}
    store = Store(tmp_path / "outputs/.store")
    (run,) = run_jobs([job(tmp_path / "outputs/0", config, FakeModels())], store)
    facts = json.loads((path := run.job.folder / "run.json").read_text())
    assert facts["pace"]["pictures"] == 11 and 0 < facts["pace"]["seconds"] < facts["wall_seconds"]
    path.write_text(json.dumps({**facts, "pace": {"pictures": 11, "seconds": 110.0}, "name": "test"}))
    config["stages"]["m"]["phrase"] = "a bus"
    text = dry_run([job(tmp_path / "outputs/1", config, FakeModels())], store).text
    assert "time: about 0:02:00" in text


def test_it_warns_if_the_disk_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 1_000_000))
    line = disk_line(2.5e9, tmp_path / "not/yet/there")
    assert line == "disk: about 2.5 GB, judging by the photos' sizes; 1 MB free: not enough"


def contents(folder: Path) -> dict[str, tuple[int, bytes] | None]:
    """Everything below a folder: of files when they were changed, and what is in them."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes()) if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_it_writes_nothing_and_needs_no_model(cli: Cli) -> None:
    program = "import sys\nfrom darkroom.cli.main import main\ncode = main(sys.argv[1:])\n"
    program += "print('torch' in sys.modules)\nsys.exit(code)"

    def dry(*words: str) -> str:
        command = [sys.executable, "-c", program, *words, "models=miniature", "dry_run=true"]
        done = subprocess.run(
            command,
            cwd=cli.folder,
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0 and not done.stderr and done.stdout.splitlines()[-1] == "False"
        return done.stdout

    before = contents(cli.folder)
    assert "inpaint          4 to compute" in dry("recipe=car_on_mars")
    assert "inpaint          2 to compute" in dry("-m", "recipe=car_on_mars", "stages.inpaint.seed=0,1", "outputs=new")
    assert contents(cli.folder) == before
    words = masks_only(cli, 2)
    assert cli(*words).returncode == 0
    before = contents(cli.folder)
    assert "grabcut          0 to compute         2 in the store" in dry(*words)
    sweep = dry("-m", *words, "stages.thing.iterations=1,2", "+stages.more={op: refine}")
    assert "grabcut          2 to compute         2 in the store" in sweep and sweep.startswith("2 jobs; 4 photos")
    assert contents(cli.folder) == before
