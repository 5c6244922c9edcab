"""`background` and `shadow` in whole runs: without a model, with everything that a repaint has."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from miniature.examples import EXAMPLES
from support.in_process import CliInProcess
from support.runs import ROOT, journal, pixels


def prepare(folder: Path) -> None:
    """Two photos, the masks of their cars, two backdrops, and a recipe that puts the cars before one of them."""
    for name in ("photos", "masks", "backdrops"):
        (folder / name).mkdir()
    car = (EXAMPLES["car.png"].main().mask > 0.5) * np.uint8(255)
    for name in ("a", "b"):
        shutil.copy(ROOT / "examples/car.png", folder / f"photos/{name}.png")
        Image.fromarray(car).save(folder / f"masks/{name}.png")
    for name, colour in (("sand", (220, 200, 160)), ("slate", (90, 100, 110))):
        Image.new("RGB", (300, 100), colour).save(folder / f"backdrops/{name}.png")
    stages = {
        "car": {"op": "mask_file", "folder": "masks"},
        "refine": {"feather": 2},
        "invert": None,
        "background": {"picture": ["backdrops", "backdrops/sand.png"]},
        "shadow": {"direction": 60},
    }
    (folder / "mine.yaml").write_text(
        yaml.safe_dump({"dataset": {"images": "photos"}, "stages": stages}, sort_keys=False)
    )


def test_a_run_is_verified_resumed_and_reproduced(tmp_path: Path) -> None:
    prepare(tmp_path)
    cli = CliInProcess(tmp_path)
    done = cli("recipe=mine.yaml", "device=cpu")
    assert done.returncode == 0, done.stderr
    folder = cli.run_folder()
    lines = journal(folder)
    assert [line["variant"] for line in lines] == ["background picture1", "background picture2"] * 2
    car = EXAMPLES["car.png"].main().mask > 0.5
    for line in lines:
        photo, result = pixels(tmp_path / "photos/a.png")[..., :3], pixels(folder / line["result"])
        assert line["outside_max_diff"] == 0 and line["prompt"] is None
        np.testing.assert_array_equal(result[car], photo[car])
        if line["variant"].endswith("2"):
            np.testing.assert_array_equal(result[0, 0], [220, 200, 160])
            assert (result[~car] <= [220, 200, 160]).mean() > 0.99
    for command in ("verify", "reproduce", "resume"):
        again = cli(f"{command}={folder}")
        assert again.returncode == 0, again.stdout + again.stderr
    assert "4 of 4 pictures identical" in cli(f"reproduce={folder}").stdout
    assert "computed: nothing" in cli("recipe=mine.yaml", "device=cpu").stdout


def test_another_picture_under_the_same_name_is_another_background(tmp_path: Path) -> None:
    prepare(tmp_path)
    cli = CliInProcess(tmp_path)
    words = "recipe=mine.yaml", "device=cpu", "stages.background.picture=backdrops/sand.png"
    assert cli(*words).returncode == 0
    Image.new("RGB", (300, 100), (10, 200, 30)).save(tmp_path / "backdrops/sand.png")
    done = cli(*words)
    assert "computed: 1 background, 1 shadow; " in done.stdout
    line, _ = journal(cli.run_folders()[-1])
    np.testing.assert_array_equal(pixels(cli.run_folders()[-1] / line["result"])[0, 0], [10, 200, 30])


def test_a_missing_or_broken_backdrop_costs_its_photos_only(tmp_path: Path) -> None:
    prepare(tmp_path)
    cli = CliInProcess(tmp_path)
    done = cli("recipe=mine.yaml", "device=cpu", "stages.background.picture=backdrops/gone.png")
    assert (
        done.returncode == 2
        and "stages.background.picture: " in done.stderr
        and "gone.png: cannot be read" in done.stderr
    )
    rows = "image,backdrop\nphotos/a.png,backdrops/sand.png\nphotos/b.png,masks.txt\n"
    (tmp_path / "table.csv").write_text(rows)
    (tmp_path / "masks.txt").write_text("no picture")
    (tmp_path / "masks/photos").mkdir()
    for name in ("a", "b"):
        shutil.copy(tmp_path / f"masks/{name}.png", tmp_path / f"masks/photos/{name}.png")
    recipe = yaml.safe_load((tmp_path / "mine.yaml").read_text())
    recipe["dataset"] = {"manifest": "table.csv"}
    recipe["stages"]["background"]["picture"] = ["${item.backdrop}"]
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    done = cli("recipe=table.yaml", "device=cpu")
    assert done.returncode == 3
    good, bad = journal(cli.run_folders()[-1])
    assert good["status"] == "done" and bad["status"] == "failed"
    assert f"the background {tmp_path}/masks.txt: not a picture of a known format" in bad["error"]
