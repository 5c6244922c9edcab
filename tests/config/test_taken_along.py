"""Lists multiply; what stands in one mapping with a prompt goes along with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.config.recipe import parse
from darkroom.errors import PhotoError, RecipeError
from darkroom.planning.plan import StepPlanner, paths

TEXTS = st.sampled_from(["mars", "snow", "sea"])
ENTRY = st.fixed_dictionaries(
    {"prompt": TEXTS},
    optional={
        "negative_prompt": st.sampled_from(["dark", "", None]),
        "steps": st.integers(2, 5),
        "seed": st.lists(st.integers(0, 3), min_size=1, max_size=3),
        "guidance_scale": st.sampled_from([1.0, 7.5]),
    },
)
LISTS = st.fixed_dictionaries(
    {},
    optional={
        "negative_prompt": st.lists(st.sampled_from(["dark", "blurry"]), min_size=1, max_size=2),
        "steps": st.lists(st.integers(2, 5), min_size=1, max_size=3),
        "seed": st.lists(st.integers(0, 3), min_size=1, max_size=2),
    },
)


def planned(parameters: Mapping[str, Any], item: Mapping[str, Any] | None = None) -> list[tuple[str, dict[str, Any]]]:
    """The variant and the parameters of every picture."""
    stages = {"mask": {"op": "mask_file", "alpha": True}, "inpaint": dict(parameters)}
    dataset = {"images": "a.png"} if item is None else {"manifest": "t.jsonl"}
    recipe = parse({"name": "x", "dataset": dataset, "stages": stages}, "x")
    ways = paths(StepPlanner(recipe).tree(item or {}))
    return [(steps[-1].variant, vars(steps[-1].stage)) for steps in ways]


def several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@given(st.lists(TEXTS | ENTRY, min_size=1, max_size=4), LISTS)
def test_lists_multiply_and_mappings_go_along(prompts: list[Any], lists: dict[str, Any]) -> None:
    """Against loops that say the same."""
    expected = []
    for entry in prompts:
        one = {"negative_prompt": None, "seed": 0, "steps": 30, "guidance_scale": 7.5} | lists
        one |= entry if isinstance(entry, dict) else {"prompt": entry}
        for negative in several(one["negative_prompt"]):
            for seed in several(one["seed"]):
                for steps in several(one["steps"]):
                    expected.append((one["prompt"], negative, seed, steps, one["guidance_scale"]))
    found = planned({"prompt": prompts, **lists})
    keys = "prompt", "negative_prompt", "seed", "steps", "guidance_scale"
    assert [tuple(stage[key] for key in keys) for _, stage in found] == list(dict.fromkeys(expected))
    names = [name for name, _ in found]
    assert len(set(names)) == len(names)  # each picture has a file name of its own


def test_a_name_says_no_more_than_it_needs() -> None:
    along = [{"prompt": "a", "negative_prompt": "x", "steps": 2}, {"prompt": "b", "negative_prompt": "y", "steps": 3}]
    assert [name for name, _ in planned({"prompt": along, "seed": [7, 9]})] == [
        "prompt1-seed7",
        "prompt1-seed9",
        "prompt2-seed7",
        "prompt2-seed9",
    ]
    same = [{"prompt": "a", "steps": 2}, {"prompt": "a", "steps": 3}]
    assert [name for name, _ in planned({"prompt": same})] == ["steps2", "steps3"]
    other = [{"prompt": "a", "strength": 0.5}, {"prompt": "a", "strength": 1}]
    assert [name for name, _ in planned({"prompt": other})] == ["entry1", "entry2"]
    swept = planned({"prompt": "a", "negative_prompt": ["x", "y"], "steps": [2, 3]})
    assert [name for name, _ in swept] == [f"negative_prompt{n}-steps{s}" for n in (1, 2) for s in (2, 3)]


def test_columns_may_go_along_too() -> None:
    entry = {"prompt": "a ${item.kind}", "negative_prompt": "${item.not}", "steps": "${item.steps}"}
    ((_, first), (_, second)) = planned({"prompt": ["plain", entry]}, {"kind": "car", "not": "rain", "steps": 4})
    assert (first["prompt"], first["negative_prompt"], first["steps"]) == ("plain", None, 30)
    assert (second["prompt"], second["negative_prompt"], second["steps"]) == ("a car", "rain", 4)
    with pytest.raises(PhotoError, match=r"^inpaint\.prompt\[1\]\.steps \(column steps\): should be a whole number"):
        planned({"prompt": ["plain", entry]}, {"kind": "car", "not": "rain", "steps": "many"})


@pytest.mark.parametrize(
    "prompts, told",
    [
        (["a", {"prompt": "b", "stpes": 3}], ["prompt[1].stpes: unknown key, did you mean 'steps'?"]),
        ([{"steps": 3}], ["prompt[0].prompt: is required"]),
        ([{"prompt": "b", "steps": 0}, 3.5, None], ["prompt[0].steps: should be", "prompt[2]: should be text"]),
        ([{"prompt": [{"prompt": "a"}]}], ["prompt[0].prompt: should be text or a list of texts"]),
        ({"prompt": "a"}, ["prompt: should be text or a list of texts"]),
        ([{"prompt": "a", "negative_prompt_2": "x"}], ["`negative_prompt_2` needs a `negative_prompt`"]),
    ],
)
def test_what_is_wrong_in_an_entry_is_told_with_its_place(prompts: Any, told: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        planned({"prompt": prompts})
    assert len(caught.value.problems) == len(told)
    for line, expected in zip(caught.value.problems, told, strict=True):
        assert line.startswith("x: stages.inpaint") and expected in line


def test_a_problem_of_the_whole_stage_is_told_once() -> None:
    with pytest.raises(RecipeError) as caught:
        planned({"prompt": [{"prompt": "a"}, {"prompt": "b"}], "strength": 7})
    assert len(caught.value.problems) == 1
