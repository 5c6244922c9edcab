"""Gates in whole runs: what becomes of photos, that nothing is made twice, and that all photos are compared."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from darkroom.config.recipe import parse
from darkroom.engine.run_job import run_jobs
from darkroom.errors import RecipeError
from darkroom.provenance.verify import verify
from darkroom.record import read_facts
from darkroom.store import Store
from support.fake_models import FakeModels
from support.in_process import command_line, job, session
from support.runs import Cli, journal, pixels, run

PAINT = {"op": "inpaint", "prompt": "mars", "seed": [1, 2], "steps": 1, "strength": 1}
WIDTHS = [4, 5, 6, 6, 7, 30]  # columns of 60 that the masks cover; the last is odd


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos whose masks, in files beside them, cover so many columns at the left; the first photo is the first."""
    draw(tmp_path, WIDTHS)
    return tmp_path


def draw(folder: Path, widths: Sequence[int]) -> None:
    for each in ("photos", "masks"):
        (folder / each).mkdir(exist_ok=True)
    for number, width in enumerate(widths):
        mask = np.zeros((40, 60), np.uint8)
        mask[:, :width] = 255
        Image.fromarray(np.full((40, 60, 3), 100 + number, np.uint8)).save(folder / f"photos/{number}.png")
        Image.fromarray(mask).save(folder / f"masks/{number}.png")


def recipe(folder: Path, *, paint: Mapping[str, Any] | None = PAINT, **gates: Mapping[str, Any] | None) -> dict:
    """A recipe with gates, by name, between mask and repaint."""
    stages = {"thing": {"op": "mask_file", "folder": str(folder / "masks")}}
    stages |= {name: {"op": "gate", **given} for name, given in gates.items()}
    return {"dataset": {"images": str(folder / "photos")}, "stages": stages | ({"paint": paint} if paint else {})}


def made(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """What became of each photo's pictures, which is the same for all of them, with a * where they are flagged."""
    told = {
        photo: {line["status"] + "*" * bool(line["flags"]) for line in lines if line["photo"] == photo}
        for photo in dict.fromkeys(line["photo"] for line in lines)
    }
    assert all(len(each) == 1 for each in told.values())
    return [each.pop() for each in told.values()]


def steps(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that have measured something."""
    return [step for line in lines for step in line["steps"] if "figures" in step]


@pytest.mark.parametrize(
    "policy, fate", [("fail", "failed"), ("skip", "skipped"), ("flag", "done*"), ("keep", "done*")]
)
def test_what_becomes_of_a_photo_whose_mask_breaks_a_bound(policy: str, fate: str, photos: Path) -> None:
    size = {"coverage": [0, 0.2], "policy": policy}
    lines = run(recipe(photos, size=size), models := FakeModels(), photos / "run")
    assert made(lines) == ["done"] * 5 + [fate]
    reason = "size: the mask covers 50 % of the photo; at most 20 % is allowed"
    for line in lines[-2:]:
        assert (line["flags"] == [reason]) == (fate == "done*") and (line["error"] == reason) == (fate != "done*")
        assert steps([line])[0]["figures"] == {"coverage": 0.5, "regions": 1, "border": 0.5}
        if policy == "keep":
            assert line["result"] == line["source"] and line["prompt"] is None
        if policy == "flag":
            assert (pixels(photos / "run" / line["result"])[:, :30] == line["seed"]).all()
    facts = read_facts(photos / "run")
    assert facts["totals"]["flagged"] == (2 if fate == "done*" else 0)
    assert facts["status"] == ("failed" if policy == "fail" else "done")
    assert sum(models.diffusion.calls) == (12 if policy == "flag" else 10) and not verify(photos / "run").problems


def test_a_gate_behind_a_repaint_keeps_what_was_repainted(photos: Path) -> None:
    second = {"op": "refine", "grow": 12}
    config = recipe(photos)
    config["stages"] |= {"wide": second, "size": {"op": "gate", "coverage": [0, 0.6], "policy": "keep"}}
    config["stages"] |= {"again": {**PAINT, "seed": 9}}
    lines = run(config, FakeModels(), photos / "run")
    assert made(lines) == ["done"] * 5 + ["done*"]
    assert [line["seed"] for line in lines[-3:]] == [9, 1, 2]
    assert (pixels(photos / "run" / lines[-1]["result"])[:, :30] == 2).all()


def test_the_first_gate_that_stops_a_photo_is_told_and_flags_add_up(photos: Path) -> None:
    gates = {
        "wide": {"coverage": [0.1, 1], "policy": "flag"},
        "one": {"regions": [2, 9], "policy": "flag"},
        "slim": {"coverage": [0, 0.11], "policy": "skip"},
        "last": {"coverage": [0, 0], "policy": "flag"},
    }
    lines = run(recipe(photos, **gates), FakeModels(), photos / "run")
    assert made(lines) == ["done*"] * 4 + ["skipped*"] * 2
    assert [flag.partition(":")[0] for flag in lines[0]["flags"]] == ["wide", "one", "last"]
    assert [flag.partition(":")[0] for flag in lines[-1]["flags"]] == ["one"] and lines[-1]["error"].startswith("slim")


@pytest.mark.parametrize("on_empty, fate", [("fail", "failed"), ("skip", "skipped"), ("keep", "done")])
def test_an_empty_mask_is_left_to_the_recipe(on_empty: str, fate: str, photos: Path) -> None:
    draw(photos, [0])
    config = recipe(photos, size={"coverage": [0.5, 1], "policy": "flag"}) | {"on_empty": on_empty}
    lines = run(config, FakeModels(), photos / "run")
    assert made(lines) == [fate] + ["done*"] * 4 + ["done"]


def test_no_gate_makes_anything_anew(photos: Path) -> None:
    """Added, changed and removed, between masks, between repaints and named by `combine`: the same files come out."""
    plain = {"heat": {"op": "text", "phrase": "a car"}, "wide": {"op": "refine", "grow": 2}}
    again = {"both": {"op": "combine", "mask": "heat"}, "again": {**PAINT, "prompt": "snow"}}
    gate = {"op": "gate", "coverage": [0.5, 0.6]}

    def stages(first: dict | None, second: dict | None, named: str) -> dict:
        found = {"heat": plain["heat"], **({"first": first} if first else {}), "wide": plain["wide"], "paint": PAINT}
        return found | ({"second": second} if second else {}) | again | {"both": {"op": "combine", "mask": named}}

    recipes = [
        stages(None, None, "heat"),
        stages(gate, None, "heat"),
        stages(gate | {"policy": "flag", "outlier": 3.5}, gate | {"confidence": 1, "policy": "flag"}, "first"),
        stages(gate | {"coverage": [0.4, 0.9], "border": 0.9}, None, "first"),
        stages(None, gate | {"outlier": 2}, "heat"),
        stages(None, None, "heat"),
    ]
    outputs, models, files, computed = photos / "outputs", FakeModels(), [], []
    for each in recipes:
        folder = session(outputs, {"dataset": {"images": str(photos / "photos")}, "stages": each}, models)
        lines = journal(folder)
        assert made(lines)[0].startswith("done") and len(lines) == 24
        files.append([line["files"][line["result"]] for line in lines])
        computed.append(read_facts(folder)["work"]["computed"])
    assert all(each == files[0] for each in files)
    assert computed == [computed[0], {"gate": 6}, {"gate": 12}, {}, {}, {}]


def test_a_confidence_is_known_whatever_the_store_had_of_it(photos: Path) -> None:
    """Masks come from the store, the gate is new; and the other way round."""
    found = {"heat": {"op": "text", "phrase": "a car", "threshold": 0.5}, "wide": {"op": "refine", "grow": 2}}
    gate = {"sure": {"op": "gate", "confidence": 0.5, "policy": "skip"}}
    dataset = {"images": str(photos / "photos")}
    for number, first in enumerate((found, found | gate)):
        models, store = FakeModels(), Store(photos / f"{number}/.store")
        for name, stages in (("first", first), ("second", found | gate | {"again": {"op": "invert"}} | gate)):
            folder = photos / f"{number}/{name}"
            run_jobs([job(folder, {"dataset": dataset, "stages": stages}, models)], store)
        lines = journal(folder)
        assert made(lines) == ["done"] * 6 and models.clipseg.calls == 6
        assert [step["figures"]["confidence"] for step in steps(lines)] == [1] * 6 * 4


@pytest.mark.parametrize(
    "stages, problem",
    [
        ({"size": {"op": "gate", "coverage": [0, 1]}}, "stages.size: `gate` needs a mask"),
        (
            {"m": {"op": "mask_file", "folder": "m"}, "sure": {"op": "gate", "confidence": 0.5}},
            "stages.sure.confidence: no earlier stage reports a confidence; these do: subject, sam, text",
        ),
        ({"m": {"op": "sam", "points": [1, 1]}, "gate": {}}, "stages.gate: gate needs a bound"),
    ],
)
def test_what_no_gate_can_do_is_told_before_the_run(stages: dict, problem: str) -> None:
    with pytest.raises(RecipeError, match=f"test: {problem}"):
        parse({"name": "test", "dataset": {"images": "x.png"}, "stages": stages}, "test")


def test_a_confidence_of_an_earlier_mask_is_none_of_this_one(photos: Path) -> None:
    config = recipe(photos, sure={"confidence": 0.1, "policy": "flag"})
    config["stages"] = {"heat": {"op": "text", "phrase": "a car"}} | config["stages"]
    lines = run(config, FakeModels(), photos / "run")
    assert made(lines) == ["failed"] * 6 and "reports no confidence" in lines[0]["error"]


def test_bounds_may_come_from_the_manifest(photos: Path) -> None:
    rows = [{"image": f"{n}.png", "range": [0, 0.1]} for n in range(6)]
    rows[5]["range"] = [0.4, 0.6]
    rows.append({"image": "0.png", "range": "wide"})
    (photos / "photos/all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = recipe(photos, size={"coverage": "${item.range}", "policy": "skip"}, paint=None)
    lines = run(config | {"dataset": {"manifest": str(photos / "photos/all.jsonl")}}, FakeModels(), photos / "run")
    assert [line["status"] for line in lines] == ["done"] * 4 + ["skipped", "done", "failed"]
    assert (
        lines[-1]["error"] == "all.jsonl:7: size.coverage (column range): should be [low, high], 2 numbers; got 'wide'"
    )


ODD = {"outlier": 3.5, "policy": "skip"}


def test_an_outlier_is_one_among_all_photos(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first photo is judged by those behind it; nothing is made for those that are left out, or twice."""
    draw(photos, WIDTHS[::-1])
    models = FakeModels()
    lines = run(recipe(photos, odd=ODD), models, photos / "run")
    assert made(lines) == ["skipped"] + ["done"] * 5 and sum(models.diffusion.calls) == 10
    assert "16.2 deviations from the median of 6 photos, 10 %; at most 3.5 is allowed" in lines[0]["error"]
    facts = read_facts(photos / "run")
    assert facts["usual"] == {"odd": {"photos": 6, "median": 0.1, "deviation": pytest.approx(0.0247, abs=1e-4)}}
    assert facts["work"]["computed"] == {"mask_file": 6, "gate": 6, "inpaint": 10} and not facts["work"]["reused"]


def test_a_second_gate_compares_what_the_first_lets_through(photos: Path) -> None:
    lines = run(recipe(photos, big={"coverage": [0, 0.2], "policy": "skip"}, odd=ODD), FakeModels(), photos / "run")
    assert read_facts(photos / "run")["usual"]["odd"]["photos"] == 5 and made(lines) == ["done"] * 5 + ["skipped"]
    both = recipe(photos, odd=ODD, odder={"outlier": 0.7, "policy": "skip"})
    assert made(run(both, FakeModels(), photos / "both")) == ["skipped"] + ["done"] * 4 + ["skipped"]
    assert read_facts(photos / "both")["usual"]["odder"]["photos"] == 5


@pytest.mark.parametrize("number", [1, 4])
def test_a_few_photos_are_not_compared(number: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    draw(tmp_path, WIDTHS[-number:])
    caplog.set_level("INFO", "darkroom")
    assert made(run(recipe(tmp_path, odd=ODD), FakeModels(), tmp_path / "run")) == ["done"] * number
    assert "gate odd: too few photos have a mask to find outliers; at least 5 are needed" in caplog.messages
    assert read_facts(tmp_path / "run")["usual"] == {"odd": None}


def test_a_photo_that_cannot_be_read_is_no_part_of_what_is_usual(photos: Path) -> None:
    (photos / "photos/2.png").write_bytes(b"no picture")
    lines = run(recipe(photos, odd=ODD), FakeModels(), photos / "run")
    assert made(lines) == ["done"] * 2 + ["failed"] + ["done"] * 2 + ["skipped"]
    assert read_facts(photos / "run")["usual"]["odd"]["photos"] == 5


def test_each_job_of_a_sweep_has_its_own_verdicts(photos: Path) -> None:
    """They share every mask; what is usual differs with what grows, and what passes with the bound."""
    jobs, models = [], FakeModels()
    for index, (grow, outlier) in enumerate([(0, 3.5), (0, 50), (20, 3.5), (0, 0.7)]):
        config = recipe(photos, odd={"outlier": outlier, "policy": "skip"})
        stages = list(config["stages"].items())
        config["stages"] = dict([stages[0], ("wide", {"op": "refine", "grow": grow}), *stages[1:]])
        jobs.append(job(photos / f"outputs/{index}", config, models))
    runs = run_jobs(jobs, Store(photos / "outputs/.store"))
    odd = ["done"] * 5 + ["skipped"]
    fates = [made(journal(photos / f"outputs/{index}")) for index in range(4)]
    assert fates == [odd, ["done"] * 6, odd, ["skipped", *odd[1:]]]
    medians = [read_facts(run.job.folder)["usual"]["odd"]["median"] for run in runs]
    assert medians == pytest.approx([0.1, 0.1, 26 / 60, 0.1])
    assert runs[0].work["computed"] == {"mask_file": 6, "refine": 12, "gate": 12, "inpaint": 22}


def test_all_photos_may_be_left_out(photos: Path) -> None:
    folder = session(photos / "outputs", recipe(photos, none={"coverage": [1, 1], "policy": "skip"}), FakeModels())
    assert made(journal(folder)) == ["skipped"] * 6 and read_facts(folder)["status"] == "done"
    assert (folder / "contact_sheet.jpg").is_file() and (folder / "index.html").is_file()


CLI_RECIPE = """
dataset: {images: photos}
stages:
  thing: {op: mask_file, folder: masks}
  thin: {op: refine, keep_largest: 1}
  odd: {op: gate, outlier: 3.5, border: 0.9, policy: POLICY}
  erase: {}
"""


def test_a_run_killed_while_photos_are_compared_goes_on(cli: Cli) -> None:
    draw(cli.folder, [4 + number % 3 for number in range(150)] + [30])
    (cli.folder / "mine.yaml").write_text(CLI_RECIPE.replace("POLICY", "skip"))
    process = cli.start("recipe=mine.yaml", "models=miniature", "device=cpu")
    for line in process.stdout:
        if "gate odd measures photo 20" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert journal(cli.run_folder()) == []
    assert command_line(cli.folder, "resume=latest") == 0
    facts = read_facts(cli.run_folder())
    assert facts["totals"] == {"photos": 151, "done": 150, "failed": 0, "skipped": 1, "flagged": 0}
    assert facts["work"]["computed"]["refine"] < 151 and facts["usual"]["odd"]["photos"] == 151


@pytest.mark.parametrize("policy", ["keep", "skip"])
def test_photos_that_are_mended_before_a_resume_change_nothing_that_is_done(policy: str, cli: Cli) -> None:
    """Four masks are too few to tell the odd one, six are not; yet what was let through stays."""
    draw(cli.folder, WIDTHS)
    (cli.folder / "mine.yaml").write_text(CLI_RECIPE.replace("POLICY", policy))
    good = {path: path.read_bytes() for path in (cli.folder / "photos" / f"{number}.png" for number in (2, 3))}
    for path in good:
        path.write_bytes(b"junk")
    assert command_line(cli.folder, "recipe=mine.yaml", "models=miniature") == 3
    (folder,) = cli.folder.glob("outputs/*_mine")
    before = [line for line in journal(folder) if line["status"] == "done"]
    assert made(journal(folder))[5] == "done" and len(before) == 4
    for path, data in good.items():
        path.write_bytes(data)
    assert command_line(cli.folder, f"resume={folder}") == 0
    lines = journal(folder)
    assert made(lines) == ["done"] * 6 and [lines[n] for n in (0, 1, 4, 5)] == before
    assert command_line(cli.folder, f"verify={folder}") == command_line(cli.folder, f"reproduce={folder}") == 0


def test_no_photo_is_judged_by_what_a_strange_journal_says_was_measured(cli: Cli) -> None:
    """The store is gone; the folder's masks count, its figures do not."""
    draw(cli.folder, WIDTHS)
    (cli.folder / "mine.yaml").write_text(CLI_RECIPE.replace("POLICY", "skip"))
    assert command_line(cli.folder, "recipe=mine.yaml", "models=miniature") == 0
    shutil.rmtree(cli.folder / "outputs/.store")
    (folder,) = cli.folder.glob("outputs/*_mine")
    before = journal(folder)
    text = (folder / "journal.jsonl").read_text()
    assert text.count('"coverage"') == 12
    (folder / "journal.jsonl").write_text(re.sub(r'"coverage": [\d.]+', '"coverage": 0.1', text))
    assert command_line(cli.folder, f"resume={folder}") == 0
    assert made(journal(folder)) == made(before) == ["done"] * 5 + ["skipped"]
    assert [each["figures"] for each in steps(journal(folder)[5:])] == [each["figures"] for each in steps(before[5:])]
    assert read_facts(folder)["work"]["computed"] == {"gate": 7}


@pytest.mark.parametrize("policy", ["flag", "keep"])
def test_what_a_gate_let_through_or_kept_is_reproduced(
    policy: str, photos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (photos / "mine.yaml").write_text(CLI_RECIPE.replace("POLICY", policy))
    assert command_line(photos, "recipe=mine.yaml", "models=miniature") == 0
    assert "6 done, 0 failed, 0 skipped; 1 of them flagged" in capfd.readouterr().out
    (folder,) = photos.glob("outputs/*_mine")
    assert command_line(photos, f"reproduce={folder}") == 0
    assert "6 of 6 pictures identical" in capfd.readouterr().out
    assert command_line(photos, f"verify={folder}") == 0
