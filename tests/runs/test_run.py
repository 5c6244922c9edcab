"""Whole runs on the miniature models: what lies in the run folder, and that it is true."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import signal
import subprocess
import termios
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageCms

from darkroom.models import Models
from miniature.evaluate import classify_place
from miniature.examples import EXAMPLES
from support.runs import CAR, Cli, iou, journal, masks_only, pixels, run

FAST = "stages.inpaint.steps=3"
BOX_MASK = {"op": "grabcut", "box": [0.1, 0.1, 0.9, 0.9], "units": "fraction", "iterations": 1}


@pytest.fixture(scope="module")
def mars(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """`car_on_mars` with two seeds, run from elsewhere by the real command line."""
    cli = Cli(tmp_path_factory.mktemp("mars"))
    done = cli("recipe=car_on_mars", "models=miniature", "stages.inpaint.seed=[0,1]")
    assert done.returncode == 0, done.stderr
    folder = cli.run_folder()
    return SimpleNamespace(cli=cli, folder=folder, lines=journal(folder), stdout=done.stdout)


def test_the_car_is_found_and_not_a_bit_of_it_changes(mars: SimpleNamespace) -> None:
    truth = EXAMPLES["car.png"].main().mask
    photo = pixels(CAR)
    for line in mars.lines:
        mask, result = pixels(mars.folder / line["mask"]), pixels(mars.folder / line["result"])
        assert iou(mask < 128, truth) > 0.9
        assert result.shape == photo.shape
        assert np.array_equal(result[mask == 0], photo[mask == 0])
        assert line["outside_max_diff"] == 0
        assert (result[mask == 255] != photo[mask == 255]).mean() > 0.5


def test_the_pictures_show_mars_and_each_seed_another(mars: SimpleNamespace) -> None:
    first, second = (pixels(mars.folder / line["result"]) for line in mars.lines)
    assert classify_place(pixels(CAR)) == "street"
    assert classify_place(first) == classify_place(second) == "mars"
    assert not np.array_equal(first, second)


def test_the_record_tells_everything(mars: SimpleNamespace) -> None:
    assert [(line["status"], line["seed"], line["error"]) for line in mars.lines] == [
        ("done", 0, None),
        ("done", 1, None),
    ]
    assert {line["prompt"] for line in mars.lines} == {"red desert of Mars, dusty sky"}
    assert all(line["photo"] == "car.png" and line["seconds"] > 0 for line in mars.lines)
    facts = json.loads((mars.folder / "run.json").read_text())
    totals = {"photos": 1, "done": 2, "failed": 0, "skipped": 0, "flagged": 0}
    assert facts["status"] == "done" and facts["totals"] == totals
    assert facts["environment"]["packages"]["torch"] and facts["models"]["device"] == "cpu"
    assert set(facts["models"]["weights"]) == {"sam", "inpaint"}  # CLIPSeg was not asked
    assert facts["work"]["computed"] == {"sam": 1, "refine": 1, "invert": 1, "inpaint": 2}
    assert facts["work"]["loaded"] == ["sam", "inpaint"] and not facts["work"]["reused"]
    assert facts["config"]["stages"]["inpaint"]["seed"] == [0, 1]
    assert len(facts["dataset_fingerprint"]) == 64
    names = {path.relative_to(mars.folder).as_posix() for path in mars.folder.rglob("*") if path.is_file()}
    assert names == {
        *("recipe.yaml", "run.json", "run.log", "journal.jsonl", "contact_sheet.jpg", "index.html"),
        *(".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml"),
        *("car/0_photo.png", "car/1_car_mask.png", "car/2_refine_mask.png", "car/3_invert_mask.png"),
        *("car/4_inpaint_mask.png", "car/4_inpaint_seed0.png", "car/4_inpaint_seed1.png"),
        *("results/car.seed0.png", "results/car.seed1.png"),
        "thumbnails/car/4_inpaint_mask.png",
        *(f"thumbnails/car/{name}.jpg" for name in ("0_photo", "4_inpaint_seed0", "4_inpaint_seed1")),
    }
    assert str(mars.folder) in mars.stdout and "contact_sheet.jpg" in mars.stdout


def test_a_result_explains_itself(mars: SimpleNamespace) -> None:
    with Image.open(mars.folder / mars.lines[1]["result"]) as image:
        texts = image.text
    assert (
        texts["parameters"].startswith("red desert of Mars, dusty sky\nSteps: ") and "Seed: 1," in texts["parameters"]
    )
    ours = json.loads(texts["darkroom"])
    assert [stage["op"] for stage in ours["stages"]] == ["sam", "refine", "invert", "inpaint"]
    assert ours["stages"][-1]["seed"] == 1 and ours["models"]["inpaint"]["weights"].startswith("sha256:")
    assert ours["photo"] == mars.lines[1]["digest"]


def test_the_recorded_recipe_makes_the_same_pictures_again(mars: SimpleNamespace, quick_cli: Cli) -> None:
    done = quick_cli(f"recipe={mars.folder}/recipe.yaml", "models=miniature", "stages.inpaint.seed=1")
    assert done.returncode == 0, done.stderr
    (line,) = journal(quick_cli.run_folder())
    again = pixels(quick_cli.run_folder() / line["result"])
    assert np.array_equal(again, pixels(mars.folder / mars.lines[1]["result"]))


def test_one_bad_photo_costs_one_photo(quick_cli: Cli) -> None:
    whole = CAR.read_bytes()
    (quick_cli.folder / "good one.png").write_bytes(whole)
    (quick_cli.folder / "broken.png").write_bytes(whole[: len(whole) // 2])
    (quick_cli.folder / "photos.csv").write_text(
        'image,points,prompt\nbroken.png,"[[330,350]]",mars\nmissing.png,"[[330,350]]",mars\n'
        'good one.png,"[[9999,350]]",mars\ngood one.png,"[[330,350]]","snow, ""white"" / winter"\n'
    )
    done = quick_cli("recipe=manifest", "models=miniature", f"dataset.manifest={quick_cli.folder}/photos.csv", FAST)
    assert done.returncode == 3
    assert "Traceback" not in done.stdout + done.stderr
    lines = journal(quick_cli.run_folder())
    assert [line["status"] for line in lines] == ["failed", "failed", "failed", "done"]
    for line, reason in zip(lines, ("truncated", "No such file", "[9999, 350] lies outside", None), strict=True):
        assert line["error"] is None if reason is None else reason in line["error"]
        assert reason is None or line["photo"] in done.stdout
    assert lines[3]["prompt"] == 'snow, "white" / winter' and lines[3]["item"]["points"] == [[330, 350]]
    assert (quick_cli.run_folder() / "contact_sheet.jpg").is_file()


def test_a_second_pass_sees_the_first_and_keeps_the_rest(models: Models, tmp_path: Path) -> None:
    first = {"op": "inpaint", "prompt": ["snow", "beach"], "steps": 3}
    stages = {
        "left": {"op": "grabcut", "box": [20, 20, 300, 240], "iterations": 1},
        "one": first,
        "right": {"op": "grabcut", "box": [400, 200, 700, 500], "iterations": 1},
        "two": {"op": "inpaint", "prompt": "a ball", "seed": [5, 6], "steps": 3},
    }
    lines = run({"dataset": {"images": str(CAR)}, "stages": stages}, models, tmp_path / "run")
    assert [(line["prompt"], line["seed"]) for line in lines] == [("a ball", 5), ("a ball", 6)] * 2
    folder, photo = tmp_path / "run", pixels(CAR)
    for line, number in zip(lines, (1, 1, 2, 2), strict=True):
        result, mask = pixels(folder / line["result"]), pixels(folder / line["mask"])
        between = pixels(folder / f"car/2_one_prompt{number}.png")
        own = pixels(folder / f"car/3_right_mask_prompt{number}.png")
        assert np.array_equal(result[mask == 0], photo[mask == 0])
        assert np.array_equal(result[own == 0], between[own == 0])  # built on the first pass, not on the photo
        assert (between[own == 0] != photo[own == 0]).any()


def test_orientation_colour_profile_and_transparency_survive(models: Models, tmp_path: Path) -> None:
    with Image.open(CAR) as image:
        upright = np.asarray(image.crop((150, 250, 540, 470)).resize((157, 211)))
    turned, exif = Image.fromarray(np.rot90(upright)), Image.Exif()  # 6: turn it right by 90 degrees to see it upright
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    alpha = np.random.default_rng(0).integers(1, 256, (211, 157), np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()  # holds the time of its making
    Image.fromarray(np.dstack([upright, alpha])).save(tmp_path / "clear.png", icc_profile=profile)
    stages = {"thing": BOX_MASK, "inpaint": {"prompt": "mars", "steps": 2}}
    images = [str(tmp_path / name) for name in ("turned.png", "clear.png")]
    lines = run({"dataset": {"images": images}, "stages": stages}, models, tmp_path / "run")
    for line in lines:
        assert line["status"] == "done", line["error"]
        result, mask = pixels(tmp_path / "run" / line["result"]), pixels(tmp_path / "run" / line["mask"])
        assert np.array_equal(result[mask == 0][:, :3], upright[mask == 0]) and (mask == 0).any()
    with Image.open(tmp_path / "run" / lines[1]["result"]) as image:
        assert image.info["icc_profile"] == profile
        assert np.array_equal(np.asarray(image)[..., 3], np.minimum(alpha + mask.astype(int), 255))


@pytest.mark.parametrize(
    "how, code",
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow),
    ],
)
def test_whatever_stops_a_run_what_is_finished_is_whole(cli: Cli, how: signal.Signals, code: int) -> None:
    for number in range(40):
        (cli.folder / f"{number:02}.png").write_bytes(CAR.read_bytes())
    images = f"dataset.images='{cli.folder}/*.png'"
    process = cli.start("recipe=car_on_mars", "models=miniature", images, FAST, "stages.inpaint.seed=0")
    folder = cli.wait_for_pictures(process, 2)
    process.send_signal(how)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in output, output
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    assert 2 <= len(lines) < 40
    for line in lines:
        assert pixels(folder / line["result"]).shape == pixels(CAR).shape
    status = json.loads((folder / "run.json").read_text())["status"]
    assert status == ("running" if how == signal.SIGKILL else "interrupted")


@pytest.mark.parametrize("largest, first", [(1_000, ".hydra/config.yaml"), (20_000, "journal.jsonl")])
def test_a_full_disk_stops_the_run_in_one_line(cli: Cli, largest: int, first: str) -> None:
    """The largest file that this process may write stands in for a disk without room."""
    command = cli.command(*masks_only(cli, 60))

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    done = subprocess.run(command, cwd=cli.folder, capture_output=True, text=True, preexec_fn=no_room, timeout=300)
    assert done.returncode == 4
    (line,) = done.stderr.strip().splitlines()
    assert first in line and "cannot be written: File too large" in line
    assert not list(cli.folder.rglob("*.tmp"))
    for path in (cli.folder / "outputs").rglob("*.png"):
        assert pixels(path).size  # what is there is whole


def test_a_run_outlives_its_reader_and_odd_names(cli: Cli) -> None:
    words = masks_only(cli, 3)
    odd = os.fsencode(cli.folder / "photos") + b"/\xff\x1b[31m\n.png"
    Path(os.fsdecode(odd)).write_bytes(b"no picture")
    process = cli.start(*words)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == 3
    facts = json.loads((cli.run_folder() / "run.json").read_text())
    totals = {"photos": 4, "done": 3, "failed": 1, "skipped": 0, "flagged": 0}
    assert facts["status"] == "failed" and facts["totals"] == totals
    again = cli(*words)
    assert "Traceback" not in again.stderr and "Logging error" not in again.stderr
    assert "\x1b" not in again.stdout and "not a picture" in again.stdout


def test_a_terminal_shows_a_bar_with_photos_pictures_and_time_left(cli: Cli) -> None:
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (40, 160))
    process = subprocess.Popen(cli.command(*masks_only(cli, 30)), cwd=cli.folder, stdout=its, stderr=its)
    os.close(its)
    shown = b""
    with suppress(OSError):  # how Linux tells that the other side has closed
        while chunk := os.read(ours, 65536):
            shown += chunk
    assert process.wait(60) == 0
    bars = [line for line in shown.decode().split("\r") if "picture" in line]
    assert any(re.search(r"\d+/30 \[\d\d:\d\d<\d\d:\d\d, .*photo \d+ of 30", bar) for bar in bars)


def test_a_sweep_makes_a_run_of_every_value_and_a_failure_stops_no_other(quick_cli: Cli) -> None:
    done = quick_cli(
        "-m",
        "recipe=car_on_mars",
        "models=miniature",
        FAST,
        "stages.inpaint.seed=3",
        "stages.car.points=[[9999,1]],[[330,350]]",
    )
    assert done.returncode == 3
    sweep = quick_cli.run_folder()
    statuses = [journal(sweep / number)[0]["status"] for number in ("0_car_on_mars", "1_car_on_mars")]
    assert statuses == ["failed", "done"] and (sweep / "sweep.json").is_file()
