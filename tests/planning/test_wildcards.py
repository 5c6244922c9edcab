"""Wildcards: the picture's seed chooses the words, they are recorded, and wrong ones are one error before the run."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from darkroom.config.recipe import parse
from darkroom.config.recipe_file import read
from darkroom.errors import PhotoError, RecipeError
from darkroom.planning.plan import StepPlanner, paths
from darkroom.planning.wildcards import choose
from support.in_process import command_line
from support.runs import journal

NAMES = st.from_regex(r"\A[^\W_]\w{0,6}\Z").filter(lambda name: name not in ("hydra", "defaults"))
WORD = st.text(st.characters(exclude_characters="$\0", codec="utf-8"), min_size=1).filter(str.strip)
TEXT = st.text(st.characters(exclude_characters="${}\0", codec="utf-8"), max_size=20)


def prompts(wildcards: Any, stage: dict[str, Any], item: dict[str, Any] | None = None) -> list[tuple[str, ...]]:
    """The prompt and the negative prompt of every picture."""
    stages = {"mask": {"op": "mask_file", "alpha": True}, "inpaint": stage}
    dataset = {"images": "a.png"} if item is None else {"manifest": "t.jsonl"}
    recipe = parse({"name": "x", "dataset": dataset, "wildcards": wildcards, "stages": stages}, "x")
    found = [steps[-1].stage for steps in paths(StepPlanner(recipe).tree(item or {}))]
    return [(stage.prompt, stage.negative_prompt) for stage in found]


@given(st.dictionaries(NAMES, st.lists(WORD, min_size=1), min_size=1, max_size=4), st.data())
def test_every_wildcard_becomes_one_of_its_words_and_nothing_else_changes(
    wildcards: dict[str, list[str]], data: st.DataObject
) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(wildcards)), max_size=5))
    texts = data.draw(st.lists(TEXT, min_size=len(names) + 1, max_size=len(names) + 1))
    seed = data.draw(st.integers(0, 2**63 - 1))
    holes = [f"${{wildcard.{name}}}" for name in names]
    prompt = "".join(text + hole for text, hole in zip(texts, [*holes, ""], strict=True))
    ((found, none),) = prompts(wildcards, {"prompt": prompt, "seed": seed})
    fillings = ["|".join(map(re.escape, wildcards[name])) for name in names]
    parts = zip(texts, [*(f"({filling})" for filling in fillings), ""], strict=True)
    pattern = "".join(re.escape(text) + filling for text, filling in parts)
    assert re.fullmatch(pattern, found, re.DOTALL) and none is None
    assert prompts(wildcards, {"prompt": prompt, "seed": seed}) == [(found, None)]  # the same again
    more = {**wildcards, "another_one": ["x"]}
    assert prompts(more, {"prompt": prompt, "seed": [seed]}) == [(found, None)]  # whatever else the recipe has


@given(st.integers(0, 2**63 - 1), NAMES, st.integers(1, 9))
def test_a_choice_depends_on_its_seed_name_and_place_alone(seed: int, name: str, occurrence: int) -> None:
    words = ["red", "green", "blue"]
    word = choose(words, seed, name, occurrence)
    assert choose([each.upper() for each in words], seed, name, occurrence) == word.upper()
    assert choose(["red"], seed, name, occurrence) == "red"


def test_every_word_is_as_likely() -> None:
    words = [str(number) for number in range(10)]
    seen = Counter(choose(words, seed, "colour", 1) for seed in range(10_000))
    assert min(seen.values()) > 900 and max(seen.values()) < 1100
    pairs = Counter((choose(words, seed, "a", 1), choose(words, seed, "b", 1)) for seed in range(10_000))
    assert len(pairs) == 100 and max(pairs.values()) < 150  # wildcards of the same length do not go in step
    twice = Counter((choose(words, seed, "a", 1), choose(words, seed, "a", 2)) for seed in range(10_000))
    assert len(twice) == 100 and max(twice.values()) < 150


def test_the_same_recipe_gives_these_words_for_ever() -> None:
    """A change here changes the pictures of recipes that people have: do not."""
    words = ["red", "green", "blue", "white", "black"]
    assert [choose(words, seed, "colour", 1) for seed in range(5)] == ["blue", "blue", "blue", "red", "black"]


def test_texts_of_one_picture_agree_and_equal_pictures_are_made_once() -> None:
    wildcards = {"c": ["red", "green", "blue"]}
    stage = {"prompt": "a ${wildcard.c} car", "negative_prompt": "${wildcard.c}", "seed": list(range(9))}
    found = prompts(wildcards, stage)
    assert all(prompt == f"a {negative} car" for prompt, negative in found) and len(set(found)) == 3
    same = {"prompt": ["a ${wildcard.one} car", "a red car"], "seed": 3}
    assert prompts({"one": ["red"]}, same) == [("a red car", None)]


def test_a_table_may_use_wildcards_and_an_unknown_one_costs_its_row() -> None:
    wildcards, stage = {"c": ["red"]}, {"prompt": "${item.text}"}
    assert prompts(wildcards, stage, {"text": "a ${wildcard.c} car"}) == [("a red car", None)]
    with pytest.raises(PhotoError, match=r"^inpaint\.prompt: no wildcard 'd', valid: c"):
        prompts(wildcards, stage, {"text": "a ${wildcard.d} car"})


@pytest.mark.parametrize(
    "wildcards, stage, told",
    [
        (
            {"colour": ["red"]},
            {"prompt": "${wildcard.color}"},
            "stages.inpaint.prompt: no wildcard 'color', did you mean",
        ),
        ({}, {"prompt": "${wildcard.x}"}, "stages.inpaint.prompt: no wildcard 'x', the recipe has no `wildcards:`"),
        (
            {"c": ["red"]},
            {"prompt": [{"prompt": "a", "negative_prompt": "${wildcard.d}"}]},
            "stages.inpaint.prompt[0].negative_prompt: no wildcard 'd', valid: c",
        ),
        ({"c": []}, {"prompt": "a"}, "wildcards.c: should be a list of words, or the path of a .txt file"),
        ({"c": ["red", None]}, {"prompt": "a"}, "wildcards.c: should be a list of words; got None in it"),
        ({"c": ["a ${item.x}"]}, {"prompt": "a"}, "wildcards.c: a ${item.x}: a word cannot hold ${...}"),
        ({"a-b": ["red"]}, {"prompt": "a"}, "wildcards.a-b: a wildcard's name is letters, digits and _"),
        ({"c": ["x"] * 10_001}, {"prompt": "a"}, "wildcards: more than 10000 words in all"),
        (["red"], {"prompt": "a"}, "wildcards: should be a mapping, such as {colour: [red, blue]}"),
        ({"c": ["9"]}, {"prompt": "a", "scheduler": "${wildcard.c}"}, "stages.inpaint.scheduler: should be"),
        (
            {"c": ["9"]},
            {"op": "text", "phrase": "a ${wildcard.c}"},
            "the op `text` has no seed, which chooses the word",
        ),
    ],
)
def test_what_is_wrong_is_told_before_the_run(wildcards: Any, stage: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        prompts(wildcards, stage)
    (line,) = caught.value.problems
    assert told in line


RECIPE = """
dataset: {images: photos}
wildcards:
  colour: words/colours.txt
  place: [snow, a beach]
stages:
  mask: {op: mask_file, folder: masks}
  inpaint: {prompt: "a ${wildcard.colour} car, ${wildcard.place}", seed: [1, 2, 3], steps: 1, strength: 1}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind in ("photos", "masks", "words"):
        (tmp_path / kind).mkdir()
    for number, name in enumerate(("a", "b")):
        Image.new("RGB", (64, 48), (90, 140, 60 + number)).save(tmp_path / f"photos/{name}.png")
        mask = np.zeros((48, 64), np.uint8)
        mask[10:30, 10:30] = 255
        Image.fromarray(mask).save(tmp_path / f"masks/{name}.png")
    (tmp_path / "words/colours.txt").write_text("# a list\r\nred\n\n dark blue \ngreen\n")
    (tmp_path / "own.yaml").write_text(RECIPE)
    return tmp_path


def test_words_are_recorded_resumed_and_reproduced(folder: Path) -> None:
    words = "recipe=own.yaml", "models=miniature"
    (folder / "masks/b.png").rename(folder / "b.png")
    assert command_line(folder, *words) == 3
    (run,) = folder.glob("outputs/*_own")
    (folder / "words/colours.txt").write_text("white\n")  # the run does not need it any more
    (folder / "b.png").rename(folder / "masks/b.png")
    assert command_line(folder, f"resume={run}") == 0
    lines = journal(run)
    made = {(line["seed"], line["prompt"]) for line in lines}
    assert len(lines) == 6 and len(made) == 3  # both photos have the same words for the same seed
    assert all(re.fullmatch("a (red|dark blue|green) car, (snow|a beach)", prompt) for _, prompt in made)
    assert lines[0]["settings"][-1]["prompt"] == lines[0]["prompt"]
    recorded = yaml.safe_load((run / "recipe.yaml").read_text())
    assert recorded["wildcards"] == {"colour": ["red", "dark blue", "green"], "place": ["snow", "a beach"]}
    assert recorded["stages"]["inpaint"]["prompt"] == "a ${wildcard.colour} car, ${wildcard.place}"
    assert command_line(folder, f"reproduce={run}") == 0
    assert command_line(folder, f"recipe={run / 'recipe.yaml'}", "models=miniature") == 0
    again = journal(sorted(folder.glob("outputs/*_own"))[-1])
    assert {(line["seed"], line["prompt"]) for line in again} == made


def test_they_come_from_a_base_a_prompts_file_and_the_command_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "kid.yaml").write_text(
        "base: own.yaml\nwildcards: {place: [Mars]}\nstages: {inpaint: {prompt: null, prompts_file: p.txt, seed: 1}}"
    )
    (folder / "p.txt").write_text("${wildcard.colour} sand of ${wildcard.place}\n")
    words = "recipe=kid.yaml", "models=miniature"
    assert command_line(folder, *words, "wildcards.colour=[pink]") == 0
    (run,) = folder.glob("outputs/*_kid")
    assert {line["prompt"] for line in journal(run)} == {"pink sand of Mars"}
    capsys.readouterr()
    assert command_line(folder, *words, "wildcards.colour=nowhere.txt") == 2
    assert capsys.readouterr().err == "wildcards.colour: nowhere.txt: no such file\n"
    assert command_line(folder, "recipe=own.yaml", "models=miniature", "wildcards.colour=words/colours.txt") == 0


@pytest.mark.fault(
    "Prompts",
    "a recipe whose wildcard names a file outside the recipe's folder, or a link",
    "refused before the run; the command line may name any file",
)
def test_a_recipe_reads_words_from_its_own_folder_only(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("private") / "secret.txt"
    secret.write_text("a secret")
    (folder / "words/link.txt").symlink_to(secret)
    for path in (str(secret), f"../{secret.parent.name}/secret.txt", "words/link.txt"):
        (folder / "own.yaml").write_text(RECIPE.replace("words/colours.txt", path))
        with pytest.raises(
            RecipeError, match=r"own\.yaml: wildcards\.colour: .*a recipe may name one in its own folder"
        ):
            read(folder / "own.yaml")
    (folder / "own.yaml").write_text(RECIPE)
    assert (
        command_line(folder, "recipe=own.yaml", "models=miniature", f"wildcards.colour={secret}", "dry_run=true") == 0
    )
