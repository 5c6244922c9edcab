"""Seeds by a rule: drawn once, recorded as numbers, the same again for the same photo."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from darkroom.config.recipe import parse
from darkroom.config.seeds import draw_seeds
from darkroom.errors import RecipeError
from darkroom.planning.plan import StepPlanner, paths
from darkroom.stages.seeds import MAX_SEED, SeedRule
from support.in_process import command_line
from support.runs import journal

RECIPE = """
dataset: {images: photos}
stages:
  mask: {op: mask_file, folder: masks}
  inpaint: {prompt: snow, seed: SEED, steps: 1, strength: 1}
"""
DIGEST = hashlib.sha256(b"a photo").hexdigest()


def config(seed: Any, **more: Any) -> dict[str, Any]:
    stages = {"mask": {"op": "mask_file", "alpha": True}, "inpaint": {"prompt": "a", "seed": seed, **more}}
    return {"name": "x", "dataset": {"images": "a.png"}, "stages": stages}


def seeds(seed: Any, digest: str | None = None, **more: Any) -> list[int]:
    planner = StepPlanner(parse(config(seed, **more), "x"))
    return [steps[-1].stage.seed for steps in paths(planner.tree({}, digest))]


@given(st.integers(0, 2**40), st.integers(1, 50), st.booleans(), st.text("0123456789abcdef", min_size=64, max_size=64))
def test_a_rule_gives_consecutive_seeds_that_depend_on_the_photo_only_if_asked(
    start: int, count: int, per_photo: bool, digest: str
) -> None:
    found = seeds({"start": start, "count": count, "per_photo": per_photo}, digest)
    first = start + (int(digest[:8], 16) if per_photo else 0)
    assert found == list(range(first, first + count))


@given(st.one_of(st.none(), st.text(), st.floats(), st.dictionaries(st.text(), st.integers() | st.text(), max_size=3)))
def test_whatever_else_is_given_is_refused_or_valid(value: Any) -> None:
    given = config(value)
    draw_seeds(given)
    try:
        found = StepPlanner(parse(given, "x")).tree({}, DIGEST)
    except RecipeError as error:
        assert all(line.startswith("x: stages.inpaint.seed") for line in error.problems)
    else:
        assert all(0 <= steps[-1].stage.seed <= MAX_SEED for steps in paths(found))


@pytest.mark.parametrize(
    "seed, told",
    [
        ({"cuont": 4}, "should be a whole number, a list of them, `random`, or {count: 4, start: 0"),
        ({"count": 0}, "count: should be a whole number from 1 to 10000; got 0"),
        ({"count": True}, "count: should be a whole number from 1 to 10000; got True"),
        ({"start": MAX_SEED}, "start: should be `random`, or a whole number from 0"),
        ({"per_photo": "yes"}, "per_photo: should be true or false; got 'yes'"),
        ("rnadom", "should be a whole number, a list of them, `random`, or"),
        ([1, "random"], "should be a whole number from 0 to 2**63 - 1, or a list of them"),
    ],
)
def test_a_wrong_rule_is_told(seed: Any, told: str) -> None:
    with pytest.raises(RecipeError, match=r"^x: stages\.inpaint\.seed: ") as caught:
        parse(config(seed), "x")
    assert told in str(caught.value)


def test_random_is_drawn_once_and_becomes_a_number_that_every_tool_accepts() -> None:
    drawn = [config("random") for _ in range(30)] + [config({"count": 3, "start": "random"}) for _ in range(30)]
    for each in drawn:
        draw_seeds(each)
    numbers = [each["stages"]["inpaint"]["seed"] for each in drawn]
    first = numbers[:30] + [rule["start"] for rule in numbers[30:]]
    assert len(set(first)) == 60 and all(0 <= number < 2**32 - 10_000 for number in first)
    assert seeds(numbers[-1]) == list(range(first[-1], first[-1] + 3))
    before = json.dumps(drawn)
    for each in drawn:
        draw_seeds(each)  # a second time changes nothing
    assert json.dumps(drawn) == before


def test_a_rule_counts_as_its_seeds_and_its_pictures_are_limited() -> None:
    with pytest.raises(RecipeError, match="make 20000 pictures of each photo"):
        parse(config({"count": 5000}, steps=[1, 2, 3, 4], strength=1), "x")
    assert SeedRule.parse("random").start is None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(("a", "b")):
        for kind in ("photos", "masks"):
            (tmp_path / kind).mkdir(exist_ok=True)
        Image.new("RGB", (64, 48), (90, 140, 60 + number)).save(tmp_path / f"photos/{name}.png")
        mask = np.zeros((48, 64), np.uint8)
        mask[10:30, 10:30] = 255
        Image.fromarray(mask).save(tmp_path / f"masks/{name}.png")
    return tmp_path


def run(folder: Path, seed: str, *words: str) -> Path:
    (folder / "own.yaml").write_text(RECIPE.replace("SEED", seed))
    command_line(folder, "recipe=own.yaml", "models=miniature", *words)
    return sorted(folder.glob("outputs/*_own"))[-1]


def test_a_resumed_run_goes_on_with_the_seeds_that_it_has_drawn(folder: Path) -> None:
    (folder / "masks/b.png").rename(folder / "b.png")
    first = run(folder, "{count: 2, start: random}")
    (folder / "b.png").rename(folder / "masks/b.png")
    assert command_line(folder, f"resume={first}") == 0
    lines = journal(first)
    start = yaml.safe_load((first / "recipe.yaml").read_text())["stages"]["inpaint"]["seed"]["start"]
    assert [(line["photo"], line["seed"], line["status"]) for line in lines] == [
        (name, seed, "done") for name in ("a.png", "b.png") for seed in (start, start + 1)
    ]
    assert command_line(folder, f"reproduce={first}") == 0
    again = run(folder, "{count: 2, start: random}")  # another run draws others
    assert {line["seed"] for line in journal(again)}.isdisjoint({start, start + 1})
    assert command_line(folder, f"recipe={first / 'recipe.yaml'}", "models=miniature") == 0  # its own recipe does not
    assert [line["seed"] for line in journal(sorted(folder.glob("outputs/*_own"))[-1])] == [start, start + 1] * 2


def test_a_photo_keeps_its_own_seed_under_another_name_and_in_other_company(folder: Path) -> None:
    one, other = (line["seed"] for line in journal(run(folder, "{per_photo: true}")))
    assert one != other
    (folder / "photos/a.png").rename(folder / "photos/z.png")
    (folder / "masks/a.png").rename(folder / "masks/z.png")
    later = run(folder, "{per_photo: true}")
    assert [(line["photo"], line["seed"]) for line in journal(later)] == [("b.png", other), ("z.png", one)]
    assert json.loads((later / "run.json").read_text())["work"]["computed"] == {}
    assert command_line(folder, f"reproduce={later}") == 0


def test_a_resume_of_a_run_whose_photo_is_gone_keeps_its_picture(folder: Path) -> None:
    first = run(folder, "{per_photo: true}")
    before = {path.name: path.read_bytes() for path in (first / "results").iterdir()}
    (folder / "photos/a.png").write_bytes(b"damaged")
    command_line(folder, f"resume={first}")
    assert {path.name: path.read_bytes() for path in (first / "results").iterdir()} == before
    assert "done" in {line["status"] for line in journal(first) if line["photo"] == "a.png"}
