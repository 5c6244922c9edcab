"""What users of other tools report again and again, each as one whole run; `docs/peers.md` lists the reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from darkroom.imaging.crops import CropPlanner
from darkroom.models import Memory, ModelNames, Models
from support.runs import CAR, Cli, journal, pixels, run

PROMPTS = {"a": "red desert of Mars", "b": "a snowy field", "c": "a sandy beach"}


@pytest.fixture(scope="module")
def in_twos() -> Models:
    """The miniature models, painting two pictures at a time as a GPU does; a CPU is not asked to, being no faster."""
    models = Models(ModelNames(sam="miniature", clipseg="miniature", inpaint="miniature"), Memory(), "cpu")
    models.memory = replace(models.memory, batch_size=2)
    return models


@pytest.fixture(scope="module")
def shoot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos of different sizes, three masks at different places, and a table with a prompt and a seed each."""
    folder = tmp_path_factory.mktemp("shoot")
    (folder / "masks").mkdir()
    rows = ["image,prompt,seed"]
    with Image.open(CAR) as image:
        for number, (name, size) in enumerate({"a": (96, 72), "b": (80, 100), "c": (64, 64)}.items()):
            image.resize(size).save(folder / f"{name}.png")
            mask = np.zeros(size[::-1], np.uint8)
            mask[10 + 8 * number : 40 + 8 * number, 6 * number : 6 * number + 30] = 255
            Image.fromarray(mask).save(folder / f"masks/{name}.png")
            rows.append(f'{name}.png,"{PROMPTS[name]}",{number}')
    (folder / "all.csv").write_text("\n".join(rows) + "\n")
    return folder


def shapes(shoot: Path) -> dict[str, np.ndarray]:
    """Where each photo's mask is white."""
    return {name: pixels(shoot / f"masks/{name}.png") > 0 for name in PROMPTS}


def repaint(**options: Any) -> dict[str, Any]:
    return {"op": "inpaint", "prompt": "${item.prompt}", "seed": "${item.seed}", "steps": 2, "strength": 1, **options}


def test_1_what_is_outside_the_masks_is_untouched_after_many_passes(models: Models, tmp_path: Path) -> None:
    """Noise is what an autoencoder keeps least."""
    noise = np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    stages: dict[str, Any] = {}
    for number, x in enumerate((10, 30, 50, 30, 10)):
        mask = np.zeros((90, 120), np.uint8)
        mask[20:60, x : x + 40] = 255
        (tmp_path / f"masks{number}").mkdir()
        Image.fromarray(mask).save(tmp_path / f"masks{number}/noise.png")
        stages[f"mask{number}"] = {"op": "mask_file", "folder": str(tmp_path / f"masks{number}")}
        stages[f"soft{number}"] = {"op": "refine", "feather": 3}
        whole = {"crop": "photo"} if number % 2 else {}
        stages[f"paint{number}"] = {"op": "inpaint", "prompt": "snow", "seed": number, "steps": 2, **whole}
    (line,) = run({"dataset": {"images": str(tmp_path / "noise.png")}, "stages": stages}, models, tmp_path / "run")
    before, together = noise, np.zeros((90, 120), bool)
    for number in range(5):
        after = pixels(tmp_path / f"run/noise/{3 * number + 3}_paint{number}.png")
        own = pixels(tmp_path / f"run/noise/{3 * number + 2}_soft{number}_mask.png") > 0
        together |= own
        assert np.array_equal(after[~own], before[~own]) and np.array_equal(after[~together], noise[~together])
        assert (after[own] != before[own]).mean() > 0.5
        before = after
    assert line["outside_max_diff"] == 0 and (~together).sum() > 4000


def test_3_a_small_mask_is_painted_at_the_models_own_size_and_not_at_the_photos(models: Models, tmp_path: Path) -> None:
    """What is painted into a large photo is what is painted into its cut-out: the rest is neither seen nor scaled."""
    with Image.open(CAR) as image:
        photo = np.asarray(image.resize((1600, 1200)))
    mask = np.zeros((1200, 1600), np.uint8)
    mask[700:760, 820:880] = 255
    (crop,) = CropPlanner(mask.shape, models.diffusion.native, models.diffusion.multiple, 1.5).plan("mask", mask)
    assert crop.x1 - crop.x0 == crop.y1 - crop.y0 == 90 and crop.width == models.diffusion.native
    painted = {}
    for name, where in (("large", np.s_[:, :]), ("small", crop.slices)):
        (tmp_path / name / "masks").mkdir(parents=True)
        Image.fromarray(photo[where]).save(tmp_path / name / "x.png")
        Image.fromarray(mask[where]).save(tmp_path / name / "masks/x.png")
        for crops in ("mask", "photo"):
            find = {"op": "mask_file", "folder": str(tmp_path / name / "masks")}
            stages = {"find": find, "inpaint": {"prompt": "snow", "steps": 3, "crop": crops}}
            config = {"dataset": {"images": str(tmp_path / name / "x.png")}, "stages": stages}
            (line,) = run(config, models, tmp_path / f"{name}{crops}/run")
            painted[name, crops] = pixels(tmp_path / f"{name}{crops}/run" / line["result"])[mask[where] > 0]
    assert np.array_equal(painted["large", "mask"], painted["small", "mask"])
    assert not np.array_equal(painted["large", "photo"], painted["large", "mask"])


def test_4_every_photo_of_a_batch_is_repainted_by_its_own_mask(in_twos: Models, shoot: Path, tmp_path: Path) -> None:
    stages = {"find": {"op": "mask_file", "folder": str(shoot / "masks")}, "inpaint": repaint()}
    lines = run({"dataset": {"manifest": str(shoot / "all.csv")}, "stages": stages}, in_twos, tmp_path / "run")
    for line, (name, shape) in zip(lines, shapes(shoot).items(), strict=True):
        before, after = pixels(shoot / f"{name}.png"), pixels(tmp_path / "run" / line["result"])
        changed = (before != after).any(axis=2)
        assert not changed[~shape].any() and changed[shape].mean() > 0.8
        assert (line["prompt"], line["seed"]) == (PROMPTS[name], ord(name) - ord("a"))


OPTIONS: Mapping[str, dict[str, Any]] = {
    "masked at the photo's size": {"crop": "photo"},
    "more surroundings": {"context": 3},
    "another working size": {"resolution": 64},
    "negative prompt": {"negative_prompt": "a car", "guidance_scale": 4},
    "weak": {"strength": 0.6, "steps": 4},
    "another sampler": {"scheduler": "euler_a"},
}


@pytest.mark.slow  # tests/runs/test_numerics.py compares pictures alone and in company
def test_5_and_6_in_a_batch_every_option_gives_what_it_gives_alone(
    in_twos: Models, shoot: Path, tmp_path: Path
) -> None:
    """Six repaints on top of each other, each with another option; masks, prompts and seeds are each photo's own."""
    stages: dict[str, Any] = {
        "find": {"op": "mask_file", "folder": str(shoot / "masks")},
        "soft": {"op": "refine", "grow": 2, "feather": 4},
    }
    stages |= {f"paint{number}": repaint(**each) for number, each in enumerate(OPTIONS.values())}
    together = run({"dataset": {"manifest": str(shoot / "all.csv")}, "stages": stages}, in_twos, tmp_path / "all/run")
    table = (shoot / "all.csv").read_text().splitlines()
    for row, line in zip(table[1:], together, strict=True):
        (shoot / "one.csv").write_text(f"{table[0]}\n{row}\n")
        config = {"dataset": {"manifest": str(shoot / "one.csv")}, "stages": stages}
        (alone,) = run(config, in_twos, tmp_path / line["photo"][0] / "run")  # each with a store of its own
        assert line["status"] == "done", line["error"]
        assert alone["files"] == line["files"]
        made = [step["image"] for step in line["steps"] if "image" in step]
        assert len({line["files"][path] for path in made}) == 1 + len(OPTIONS)  # every option shows


def test_14_nothing_found_costs_that_photo_and_never_the_batch(quick_cli: Cli) -> None:
    for name, color in (("1", "grey"), ("3", "olive")):
        Image.new("RGB", (90, 70), color).save(quick_cli.folder / f"{name}.png")
    with Image.open(CAR) as image:
        image.resize((240, 180)).save(quick_cli.folder / "2.png")
    stages = "find: {op: text, phrase: a car, threshold: 0.5}, inpaint: {prompt: snow, steps: 2}"
    (quick_cli.folder / "mine.yaml").write_text(f"dataset: {{images: '*.png'}}\nstages: {{{stages}}}\n")
    done = quick_cli("-m", "recipe=mine.yaml", "models=miniature", "on_empty=fail,skip,keep")
    assert done.returncode == 3 and "Traceback" not in done.stdout + done.stderr
    for job, (status, exit_status) in enumerate([("failed", "failed"), ("skipped", "done"), ("done", "done")]):
        folder = quick_cli.run_folder() / f"{job}_mine"
        lines = journal(folder)
        assert [line["status"] for line in lines] == [status, "done", status], [line["error"] for line in lines]
        assert json.loads((folder / "run.json").read_text())["status"] == exit_status
        assert len(list((folder / "results").iterdir())) == (3 if status == "done" else 1)
    assert np.array_equal(pixels(folder / "results/1.png"), pixels(quick_cli.folder / "1.png"))  # kept, not repainted


@pytest.mark.slow  # tests/imaging/test_memory.py measures 12 megapixels
def test_15_a_huge_photo_takes_bounded_memory(cli: Cli) -> None:
    """24 megapixels; sent through SAM or the autoencoder whole, as some tools do, it takes tens of gigabytes."""
    with Image.open(CAR) as image:
        image.resize((6000, 4000), Image.Resampling.NEAREST).save(cli.folder / "huge.jpg", quality=80)
    stages = "car: {op: sam, points: [[3093, 2250]]}, inpaint: {prompt: snow, steps: 2}"
    (cli.folder / "mine.yaml").write_text(f"dataset: {{images: huge.jpg}}\nstages: {{{stages}}}\n")
    done = cli("recipe=mine.yaml", "models=miniature", "results.format=jpeg")
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = journal(cli.run_folder())
    facts = json.loads((cli.run_folder() / "run.json").read_text())
    assert line["outside_max_diff"] == 0 and facts["work"]["peak_memory"] < 3 << 30
    with Image.open(cli.run_folder() / line["delivered"]) as image:
        assert image.size == (6000, 4000)
