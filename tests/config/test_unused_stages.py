"""Stages that have no effect on any result are told before a run; a recipe with a base puts its own in their place."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from darkroom.config.recipe import Recipe, parse
from darkroom.config.recipe_file import read
from darkroom.config.stage_defaults import MISSING
from darkroom.config.stage_order import place_stages
from darkroom.config.unused_stages import StageSummary, find_unused
from darkroom.errors import RecipeError
from darkroom.stages import STAGES
from support.in_process import command_line
from support.runs import ROOT

SAM = {"op": "sam", "points": [[330, 360]]}
TEXT = {"op": "text", "phrase": "car"}
PAINT = {"op": "inpaint", "prompt": "mars"}
GATE = {"op": "gate", "coverage": [0, 1]}
JOIN = {"op": "combine", "mask": "a"}
FRAME = {"op": "frame", "aspect": "1:1"}


def recipe_of(stages: Mapping[str, Any], **more: Any) -> Recipe:
    given = {"manifest": "photos.csv"} if "${" in str(stages) else {"images": "photo.png"}
    return parse({"name": "test", "dataset": given, "stages": stages, **more}, "test")


@pytest.mark.parametrize(
    "stages, until, idle",
    [
        ({"a": SAM, "paint": PAINT}, None, []),
        ({"a": SAM, "b": {"op": "refine"}, "c": {"op": "invert"}}, None, []),  # the last mask is the result
        ({"a": SAM, "paint": PAINT, "b": {"op": "invert"}}, None, ["b"]),
        ({"a": SAM, "paint": PAINT, "b": {"op": "invert"}, "c": {"op": "refine"}}, None, ["b", "c"]),
        ({"a": SAM, "paint": PAINT, "b": {"op": "invert"}, "again": PAINT}, None, []),
        ({"a": SAM, "b": TEXT, "paint": PAINT}, None, ["a"]),
        ({"a": SAM, "b": {"op": "invert"}, "c": TEXT, "paint": PAINT}, None, ["a", "b"]),
        ({"a": SAM, "b": TEXT}, None, ["a"]),
        ({"a": SAM, "b": TEXT, "c": JOIN, "paint": PAINT}, None, []),
        ({"a": SAM, "b": {"op": "refine"}, "c": TEXT, "d": JOIN, "paint": PAINT}, None, ["b"]),
        ({"a": SAM, "b": TEXT, "paint": PAINT, "c": JOIN}, None, ["a", "c"]),
        ({"x": SAM, "a": {"op": "erase"}, "b": TEXT, "c": JOIN, "paint": PAINT}, None, []),  # a repaint keeps the mask
        ({"a": SAM, "paint": PAINT, "look": GATE}, None, []),  # a gate judges the photo
        ({"a": SAM, "paint": PAINT, "b": TEXT, "look": GATE}, None, []),  # ... here by what was painted
        ({"a": SAM, "paint": PAINT, "b": TEXT, "look": GATE, "c": {"op": "invert"}}, None, ["c"]),
        ({"a": SAM, "frame": FRAME}, None, []),  # the framed mask is the result
        ({"a": SAM, "paint": PAINT, "frame": FRAME}, None, []),
        ({"a": SAM, "paint": PAINT, "b": TEXT, "frame": FRAME}, None, ["b"]),  # it frames what the repaint has kept
        ({"a": SAM, "paint": PAINT, "b": {"op": "invert"}}, "b", []),  # its mask is asked for
        ({"a": SAM, "paint": PAINT, "b": {"op": "invert"}, "c": {"op": "refine"}}, "b", []),
        ({"a": SAM, "b": TEXT, "c": JOIN, "paint": PAINT}, "b", []),  # what stops early wants to be seen with the rest
        ({"a": SAM, "b": TEXT, "paint": PAINT}, "b", ["a"]),
        ({"a": SAM, "b": TEXT, "c": {"op": "combine", "mask": "${item.which}"}, "paint": PAINT}, None, []),
        ({"a": SAM, "b": {"op": "mask_file", "folder": "${item.which}"}, "paint": PAINT}, None, ["a"]),
    ],
)
def test_what_no_result_depends_on_is_told(stages: Mapping[str, Any], until: str | None, idle: Sequence[str]) -> None:
    recipe = recipe_of(stages, until=until)
    assert [key for key, _ in recipe.unused] == [f"stages.{name}" for name in idle]
    assert all(text.startswith("has no effect: ") for _, text in recipe.unused)


@pytest.mark.parametrize(
    "stages, told",
    [
        ({"a": SAM, "b": JOIN}, True),
        ({"a": SAM, "look": GATE, "b": {"op": "combine", "mask": "look", "how": "difference"}}, True),
        ({"x": SAM, "a": PAINT, "b": JOIN, "paint": PAINT}, True),
        ({"a": SAM, "x": {"op": "refine"}, "b": JOIN}, False),
    ],
)
def test_a_mask_that_is_joined_with_itself_is_told(stages: Mapping[str, Any], told: bool) -> None:
    lines = [f"{key}: {text}" for key, text in recipe_of(stages).unused]
    maker = next(iter(stages))
    expected = f"stages.b: joins the mask of `{maker}` with itself: no stage between them changes it"
    assert lines == ([expected] if told else [])


@given(
    st.lists(st.tuples(st.sampled_from(["sam", "refine", "combine", "gate", "erase"]), st.integers(0, 9)), min_size=1)
)
def test_a_stage_is_told_where_and_only_where_leaving_it_out_changes_nothing(plan: list[tuple[str, int]]) -> None:
    """Against numbers in the place of masks: each stage makes another, of those that it takes."""
    parts = [StageSummary("0", STAGES["sam"], ())]
    for index, (op, other) in enumerate(plan, start=1):
        parts.append(StageSummary(str(index), STAGES[op], (str(other % index),) if op == "combine" else ()))
    told = {key for key, text in find_unused(parts, None) if text.startswith("has no effect")}
    assert told == {f"stages.{name}" for name in {part.name for part in parts} - _ancestors(parts)}


def _ancestors(parts: Sequence[StageSummary]) -> set[str]:
    """The stages that are behind what a run hands out, by following what each took."""
    behind: dict[str, set[str]] = {}
    mask: set[str] = set()  # all that the mask so far comes from
    results: set[str] = set()
    for part in parts:
        taken = mask if part.kind.needs_mask else set()
        here = {part.name} | taken | {each for name in part.needed_masks for each in behind[name]}
        if part.masks:
            mask = here
        else:
            results |= here
        behind[part.name] = mask
    return results if any(part.kind.repaints for part in parts) else results | mask


CHILD = """
base: car_on_mars
stages:
  inpaint: {steps: 1, seed: 0}
  soft: {op: refine, feather: 12PLACE}
"""


@pytest.mark.fault(
    "Recipes and command lines",
    "a recipe with a base and a new mask stage, which comes after the repaint",
    "a warning before the run and in its record, an error with strict=true; before: fixes it",
)
def test_a_stage_behind_the_last_repaint_is_a_warning_until_it_is_put_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "recipe=kid.yaml", "models=miniature"
    for place in ("", ", before: inpaint"):
        (tmp_path / "kid.yaml").write_text(CHILD.replace("PLACE", place))
        assert command_line(tmp_path, *words) == 0
    first, second = sorted(tmp_path.glob("outputs/*_kid"))
    (line,) = json.loads((first / "run.json").read_text())["warnings"]
    assert line.startswith("stages.soft: has no effect: ") and "before: inpaint" in line and "~stages.soft" in line
    assert capsys.readouterr().out.count(f"warning: {line}\n") == 1
    assert json.loads((second / "run.json").read_text())["warnings"] == []
    recorded = yaml.safe_load((second / "recipe.yaml").read_text())["stages"]
    assert list(recorded) == ["car", "refine", "invert", "soft", "inpaint"] and "before" not in recorded["soft"]
    results = [(folder / "results/car.png").read_bytes() for folder in (first, second) if (folder / "results").is_dir()]
    assert len(results) == 2 and results[0] != results[1]
    (tmp_path / "kid.yaml").write_text(CHILD.replace("PLACE", ""))
    assert command_line(tmp_path, *words, "strict=true") == 2
    assert capsys.readouterr().err == f"kid.yaml: {line}\n"
    added = "recipe=car_on_mars", "+stages.soft={op: refine, feather: 12, before: PLACE}", "dry_run=true"
    assert command_line(tmp_path, *(word.replace("PLACE", "inpaint") for word in added), "strict=true") == 0
    assert command_line(tmp_path, *(word.replace("PLACE", "inpain") for word in added)) == 2
    told = "command line: stages.soft.before: no stage is called 'inpain', did you mean 'inpaint'?\n"
    assert capsys.readouterr().err == told


BASE = "dataset: {images: photo.png}\nstages: {a: {op: text, phrase: car}, b: {op: invert}, c: {op: invert}}\n"


@pytest.mark.parametrize(
    "stages, order",
    [
        ("x: {op: invert, after: a}", "a x b c"),
        ("x: {op: text, phrase: a, before: a}", "x a b c"),
        ("x: {op: invert}", "a b c x"),
        ("x: {op: invert, after: a}, y: {op: refine, after: a}, z: {op: refine, after: a}", "a x y z b c"),
        ("x: {op: invert, before: c}, y: {op: refine, before: c}", "a b x y c"),
        ("x: {op: invert, before: c}, y: {op: refine, after: b}", "a b y x c"),
        ("x: {op: invert, after: a}, y: {op: refine, after: x}, z: {op: refine, after: a}", "a x y z b c"),
        ("x: {op: invert, after: y}, y: {op: refine, before: b}", "a y x b c"),
        ("c: {before: b}", "a c b"),
        ("refine: {after: c, grow: 2}, x: {op: invert}", "a b c refine x"),
        ("x: {op: invert, after: z}, z: {op: invert}", "a b c z x"),
    ],
)
def test_a_stage_stands_where_it_says(tmp_path: Path, stages: str, order: str) -> None:
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "kid.yaml").write_text(f"base: base.yaml\nstages: {{{stages}}}")
    config = read(tmp_path / "kid.yaml")
    assert list(config["stages"]) == order.split()
    assert not {"after", "before"} & {key for stage in config["stages"].values() for key in stage}
    assert [spec.name for spec in parse(config, "kid.yaml").stages] == order.split()


def test_bases_of_bases_place_their_own(tmp_path: Path) -> None:
    (tmp_path / "0.yaml").write_text(BASE)
    (tmp_path / "1.yaml").write_text("base: 0.yaml\nstages: {x: {op: refine, after: a}}")
    (tmp_path / "2.yaml").write_text("base: 1.yaml\nstages: {y: {op: refine, after: x}, x: {grow: 3}}")
    stages = read(tmp_path / "2.yaml")["stages"]
    assert list(stages) == ["a", "x", "y", "b", "c"] and stages["x"]["grow"] == 3


@pytest.mark.fault(
    "Recipes and command lines",
    "after: and before: that name no stage, the stage itself, each other, or both, or without a base",
    "one line each that names file and key",
)
@pytest.mark.parametrize(
    "stages, expected",
    [
        ("x: {op: invert, after: d}", "stages.x.after: no stage is called 'd', valid: a, b, c"),
        ("x: {op: invert, after: x}", "stages.x.after: the name of another stage; got 'x'"),
        ("x: {op: invert, after: 1}", "stages.x.after: the name of another stage; got 1"),
        ("x: {op: invert, before: }", "stages.x.before: the name of another stage; got None"),
        ("x: {op: invert, before: [a, b]}", "stages.x.before: the name of another stage; got ['a', 'b']"),
        (
            "x: {op: invert, after: a, before: c}",
            "stages.x: `after` and `before` are both given; keep one of them",
        ),
        (
            "x: {op: invert, after: y}, y: {op: refine, after: x}",
            "stages: `after` and `before` form a cycle: x after y, y after x",
        ),
    ],
)
def test_a_place_that_is_none_is_one_line(tmp_path: Path, stages: str, expected: str) -> None:
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "kid.yaml").write_text(f"base: base.yaml\nstages: {{{stages}}}")
    with pytest.raises(RecipeError) as caught:
        read(tmp_path / "kid.yaml")
    assert [problem.removeprefix(f"{tmp_path}/") for problem in caught.value.problems] == [f"kid.yaml: {expected}"]
    (tmp_path / "base.yaml").write_text(BASE.replace("invert}, c:", "invert, after: a}, c:"))
    with pytest.raises(RecipeError, match=r"base\.yaml: stages\.b\.after: needs a `base:`; without one, stages run in"):
        read(tmp_path / "base.yaml")


def test_a_long_chain_of_places_is_no_deep_one() -> None:
    chain = {f"x{number}": {"after": f"x{number + 1}"} for number in range(50_000)}
    stages = place_stages({"stages": {**chain, "x50000": {}, "last": {}}}, "test")["stages"]
    assert list(stages) == [*(f"x{number}" for number in reversed(range(50_001))), "last"]


def test_no_op_has_a_parameter_of_that_name() -> None:
    assert not [op for op, kind in STAGES.items() if {"after", "before"} & set(kind.__pydantic_fields__)]


def _examples() -> list[Any]:
    """The recipes of the project and of its pages."""
    files = [pytest.param(path.read_text(), id=path.name) for path in sorted((ROOT / "recipes").glob("*.yaml"))]
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
        texts = [text for text in blocks if re.search("^stages:", text, re.MULTILINE)]
        files += [pytest.param(text, id=f"{page.name}-{number}") for number, text in enumerate(texts)]
    return files


def test_the_pages_have_examples() -> None:
    assert len(_examples()) > 15


@pytest.mark.parametrize("text", _examples())
def test_no_stage_of_our_own_recipes_is_find_unused(tmp_path: Path, text: str) -> None:
    (tmp_path / "example.yaml").write_text(text)
    config = read(tmp_path / "example.yaml")
    config["dataset"] = {"manifest" if "${item" in text else "images": str(ROOT / "examples/car.png")}
    for stage in config["stages"].values():
        stage |= {key: [1, 1, 9, 9] for key, value in stage.items() if value == MISSING}
        if stage.get("prompts_file"):
            stage |= {"prompt": "mars", "prompts_file": None}
    if STAGES[next(iter(config["stages"].values()))["op"]].needs_mask:  # a part of a recipe
        config["stages"] = {"mask": SAM, **config["stages"]}
    assert parse(config, "example").unused == ()
