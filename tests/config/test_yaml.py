"""Recipes as text: YAML 1.2, core schema, read within limits; what is written is read as it was meant."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from darkroom.config import recipe_file, recipe_yaml
from darkroom.config.recipe import parse
from darkroom.errors import PhotoError, RecipeError
from darkroom.planning.plan import StepPlanner

RECIPE = """
dataset: {images: photo.png}
stages:
  car: {op: sam, points: [[3, 4]]}
  inpaint: {prompt: PROMPT, seed: SEED}
"""

TEXTS = ["12:30", "1_000", "yes", "no", "on", "off", "y", "2026-11-20", "2026-13-01", "0b11", "190:20:30", "<<"]
NUMBERS = {"12": 12, "0o14": 12, "0x1F": 31, "+7": 7, "0": 0}


def read(text: str) -> dict:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return recipe_file.read(path)


@pytest.mark.fault(
    "Recipes and command lines",
    "values that YAML 1.1 reads differently: 12:30, yes, 1_000, 2026-11-20, 0o14, 1e3",
    "read as YAML 1.2: text stays text, 0o14 is 12, 1e3 is a number",
)
@pytest.mark.parametrize("text", TEXTS)
def test_what_looks_like_text_is_text(text: str) -> None:
    config = read(RECIPE.replace("PROMPT", text).replace("SEED", "0"))
    assert config["stages"]["inpaint"]["prompt"] == text
    assert parse(config, "mine.yaml").stages[1].build({}).prompt == text


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_are_those_of_yaml_1_2(text: str) -> None:
    config = read(RECIPE.replace("PROMPT", "mars").replace("SEED", text))
    assert config["stages"]["inpaint"]["seed"] == NUMBERS[text] and type(NUMBERS[text]) is int
    for number, value in {"1e3": 1000.0, ".5": 0.5, "-1.": -1.0, "1.5E-2": 0.015}.items():
        assert read(RECIPE.replace("SEED", number))["stages"]["inpaint"]["seed"] == value


@pytest.mark.fault(
    "Recipes and command lines",
    "seed: 0123, which YAML 1.1 reads as 83",
    "refused with one line that suggests 123, or quotes for text",
)
def test_a_number_that_looks_octal_is_refused() -> None:
    with pytest.raises(RecipeError) as caught:
        read(RECIPE.replace("SEED", "0123"))
    told = "line 5: 0123: a number must not begin with 0: write 123, or '0123' for a text"
    assert str(caught.value).endswith(f"mine.yaml: {told}")


@pytest.mark.parametrize("word", ["yes", "on", "y", "1", '"t"'])
def test_where_true_or_false_is_wanted_the_error_says_so(word: str) -> None:
    text = RECIPE.replace("seed: SEED", f"soft_mask: {word}")
    with pytest.raises(RecipeError, match=r"stages\.inpaint\.soft_mask: should be true or false; got "):
        parse(read(text), "mine.yaml")
    assert parse(read(RECIPE.replace("seed: SEED", "soft_mask: True")), "x").stages[1].build({}).soft_mask is True


STAGES_1000 = "stages:\n" + "".join(f"  s{number}: {{op: invert}}\n" for number in range(1000))
LETTER = "\U0001d4b3"  # four bytes
TOO_MUCH = {
    "1:\n" * 333_000: "line 2: '1' is given twice",
    "".join(f"k{number}:\n" for number in range(100_000)): "line 101: more than 100 keys in one mapping",
    "x: [" + "1," * 400_000 + "]": "line 1: more than 12000 keys and values",
    "x: " + "9" * 999_990: "line 1: a number has at most 308 digits",
    "x: 0x" + "f" * 5000: "line 1: a number has at most 308 digits",
    "x: 1e999": "line 1: 1e999: numbers must be finite and at most 1.8e308",
    "x: -.inf": "line 1: -.inf: numbers must be finite",
    "x: .NaN": "line 1: .NaN: numbers must be finite",
    STAGES_1000: "line 102: more than 100 keys in one mapping",
    f"name: {LETTER * 80}": "name: 1 to 80 letters, digits, - or _, of at most 120 bytes in UTF-8",
    "? " + "a" * 900_000 + "\n: 1": "line 1: a key has at most 80 characters: aaa",
    '"a\\nb": 1': "line 1: a key must be on one line",
    "name: " + '"' + "${a}" * 240_000 + '"': "name: '${a}' is refused",
    "- " * 400_000: "line 1: nested more than 20 deep",
}


@pytest.mark.fault(
    "Recipes and command lines",
    "a million keys, 1,000 stages, numbers of a million digits, endless keys and names, endless nesting",
    "refused with one line that names the first place, after reading at most a few thousand keys",
)
@pytest.mark.parametrize("text", TOO_MUCH, ids=lambda text: text[:20])
def test_a_recipe_has_limits_and_only_what_lies_within_is_read(text: str) -> None:
    recipe_yaml.load.cache_clear()
    with pytest.raises(RecipeError) as caught:
        read(text)
    (line,) = caught.value.problems
    assert TOO_MUCH[text] in line and len(line) < 300


def test_the_rest_of_a_recipe_is_not_read_once_something_is_wrong() -> None:
    """PyYAML itself composes everything before it looks at any key."""
    loader = recipe_yaml.PlainLoader("1:\n" * 333_000)
    with pytest.raises(yaml.MarkedYAMLError):
        loader.get_single_data()
    assert loader.nodes < 10 and loader.line < 10


def test_stages_that_bases_and_command_lines_put_together_are_counted_too(tmp_path: Path) -> None:
    for number in range(3):
        stages = "".join(f"  s{number}_{each}: {{op: invert}}\n" for each in range(60))
        base = f"base: {number - 1}.yaml\n" if number else ""
        (tmp_path / f"{number}.yaml").write_text(f"{base}stages:\n{stages}")
    with pytest.raises(RecipeError, match=r"2\.yaml: stages: 180 stages; the limit is 100"):
        recipe_file.read(tmp_path / "2.yaml")
    config = {"name": "x", "dataset": {"images": "a"}, "stages": {f"s{each}": {"op": "invert"} for each in range(1000)}}
    with pytest.raises(RecipeError, match="x: stages: 1000 stages; the limit is 100"):
        parse(config, "x")


@pytest.mark.fault(
    "Recipes and command lines",
    "stage names of four-byte characters, many stages with lists of long seeds",
    "names too long for a file system are refused, counted in bytes, before anything runs",
)
def test_names_of_files_fit_into_a_file_system(tmp_path: Path) -> None:
    name = LETTER * 30
    seeds = [2**63 - 1, 2**63 - 2]
    stages = {"car": {"op": "sam", "points": [[3, 4]]}}
    stages |= {f"{name[:-1]}{each}": {"op": "inpaint", "prompt": "a", "seed": seeds} for each in range(5)}
    config = {"name": "x", "dataset": {"images": "a"}, "stages": stages}
    with pytest.raises(PhotoError, match="more than 100 characters to file names"):
        StepPlanner(parse(config, "x")).tree({})
    stages.popitem()
    (step,) = StepPlanner(parse(config, "x")).tree({})
    variants = ""
    while step.children:
        step = step.children[0]
        variants += f"_{step.variant}"
    made = f"{step.place}_{step.name}_mask{variants}.png"
    (tmp_path / made).touch()
    assert 180 < len(made.encode()) < 255
    stages[LETTER * 31] = {"op": "invert"}
    with pytest.raises(RecipeError, match="of at most 120 bytes in UTF-8"):
        parse(config, "x")


PRINTABLE = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufeff")
LOOKS = st.from_regex(r"\A[-+.0-9_:oxeETrueyns~]{1,8}\Z")


@given(st.text(PRINTABLE, min_size=1, max_size=60).filter(lambda text: "${" not in text) | LOOKS)
def test_any_text_is_a_prompt_and_comes_back_from_a_snapshot(prompt: str) -> None:
    config = {
        "name": "x",
        "dataset": {"images": "/photo.png"},
        "stages": {"m": {"op": "text", "phrase": "car"}, "inpaint": {"prompt": prompt}},
    }
    text = recipe_yaml.dump(config)
    assert yaml.safe_load(text)["stages"]["inpaint"]["prompt"] == prompt
    assert parse(read(text), "x").stages[1].build({}).variants()[0].prompt == prompt


@given(st.text("019.-+_eExXoOabcf:~tTruEnNl", max_size=12))
def test_scalars_are_what_the_core_schema_says(text: str) -> None:
    """By the table of YAML 1.2.2, section 10.3.2, written down once more."""
    node = recipe_yaml.PlainLoader("").resolve(yaml.ScalarNode, text, (True, False)).rpartition(":")[2]
    forms = {
        "null": r"null|Null|NULL|~|",
        "bool": r"true|True|TRUE|false|False|FALSE",
        "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
        "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?",
    }
    assert node == next((kind for kind, form in forms.items() if re.fullmatch(form, text)), "str")
