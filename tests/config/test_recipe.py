"""Recipes: what is plain data is understood, what is wrong is told all at once, what could run is refused."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkroom.config.compose import compose
from darkroom.config.prompts_file import read_prompt_files
from darkroom.config.recipe import parse
from darkroom.config.recipe_file import find, read, read_mapping
from darkroom.config.shipped_recipes import available
from darkroom.config.stage_defaults import MISSING
from darkroom.errors import PhotoError, RecipeError
from darkroom.stages import STAGES
from support.runs import ROOT

GOOD = """
# A test.
dataset: {images: photo.png}
stages:
  car: {op: sam, points: [[3, 4]]}
  invert:
  inpaint: {prompt: [mars, "1984"], seed: [1, 2]}
"""


def written(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def problems(folder: Path, text: str, overridden: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        parse(read(written(folder, text)), "mine.yaml", overridden)
    return list(caught.value.problems)


def test_every_shipped_recipe_is_good_and_says_what_it_does() -> None:
    names = dict(available())
    assert {"car_on_mars", "car_swap", "horse_to_zebra", "two_passes", "manifest", "photo_on_mars"} <= names.keys()
    for name, first_line in names.items():
        path = find(name)
        assert path is not None and first_line
        text = path.read_text()
        assert f"python run.py recipe={name}" in text.splitlines()[1]
        config = read(path)
        for stage in config["stages"].values():  # what a recipe leaves to its user
            stage.update({key: [1, 1, 9, 9] for key, value in stage.items() if value == MISSING})
        if config["dataset"]["images" if "images" in config["dataset"] else "manifest"] == MISSING:
            config["dataset"] = {"images": str(ROOT / "examples/car.png")}
        assert parse(config, name).name == name


def test_every_parameter_of_every_stage_is_shown(tmp_path: Path) -> None:
    stages = read(written(tmp_path, GOOD))["stages"]
    for name, op in (("car", "sam"), ("invert", "invert"), ("inpaint", "inpaint")):
        assert stages[name]["op"] == op
        assert set(stages[name]) == {"op", *STAGES[op].__pydantic_fields__}


def test_stages_keep_their_order_and_lists_stay_lists(tmp_path: Path) -> None:
    recipe = parse(read(written(tmp_path, GOOD)), "mine.yaml")
    assert [stage.name for stage in recipe.stages] == ["car", "invert", "inpaint"]
    variants = recipe.stages[2].build({}).variants()
    assert [(one.prompt, one.seed) for one in variants] == [("mars", 1), ("mars", 2), ("1984", 1), ("1984", 2)]


def test_all_problems_are_told_at_once_with_key_and_what_would_be_right(tmp_path: Path) -> None:
    text = """
dataset: {images: photo.png}
on_empty: ignore
stages:
  car: {op: smm}
  refine: {feathr: 3, grow: wide}
  inpaint: {strength: 1.7}
"""
    lines = problems(tmp_path, text, overridden=("stages.inpaint.strength",))
    told = "\n".join(lines)
    assert all(line.startswith(("mine.yaml: ", "command line: ")) for line in lines)
    for expected in (
        "on_empty: valid: fail, skip, keep",
        "stages.car.op: unknown op 'smm', did you mean 'sam'?",
        "stages.refine.feathr: unknown key, did you mean 'feather'?",
        "stages.refine.grow: should be a valid number",
        "stages.inpaint.prompt: is required",
        "command line: stages.inpaint.strength: should be less than or equal to 1",
    ):
        assert expected in told


@pytest.mark.parametrize(
    "text, expected",
    [
        ("stages: {a: {_target_: os.system}}", "stages.a._target_: recipes are data"),
        ("hydra: {run: {dir: /tmp}}", "hydra: recipes are data"),
        ("defaults: [other]", "defaults: recipes are data"),
        ("name: ${oc.env:HOME}", "'${oc.env:HOME}' is refused"),
        ("stages: {a: {op: text, phrase: '${oc.env:HOME}'}}", "'${oc.env:HOME}' is refused"),
        ("stages: {a: {op: text, phrase: 'x ${outputs'}}", "is refused"),
        ("name: !!python/object/apply:os.getcwd []", "line 1: YAML tags are refused"),
        ("a: &x [1, 2]\nb: *x", "line 2: YAML anchors are refused"),
        ("name: one\nname: two", "line 2: 'name' is given twice"),
        ("stages: [", "line 1"),
        ("stagse: {}", "stagse: unknown key, did you mean 'stages'?"),
        ("name: ../../elsewhere", "name: 1 to 80 letters"),
        ("- just a list", "a recipe is a mapping"),
        ("base: nowhere", "base: no recipe 'nowhere'"),
        ("base: mine.yaml", "inherit from each other"),
        ("stages: " + "[" * 3000, "line 1: nested more than 20 deep"),
        ("stages: " + "{a: " * 400 + "}" * 400, "line 1: nested more than 20 deep"),
        ("stages: {inpaint: {seed: " + "9" * 5000 + "}}", "line 1: a number has at most 308 digits"),
        ("? [a, b]\n: 1", "line 1: a key must be text"),
        ("? {a: b}\n: 1", "line 1: a key must be text"),
        ("stages: {1: {op: invert}}", "stages.1: a key must be text; put it in quotes: '1'"),
        ("stages: {null: {op: invert}}", "stages.None: a key must be text"),
        ("stages: [sam, invert]", "stages: should be a mapping, each stage on a line with a colon"),
        ("dataset: photos/", "dataset: should be a mapping, such as {images: photos/}"),
        ("name: !!bool maybe", "line 1: YAML tags are refused"),
        ("name: a\x07b", "special characters are not allowed"),
        ('"a\\nb\\e": 1', r"line 1: a key must be on one line: a\nb\x1b"),
        ('"a\\eb": 1', r"a\x1bb: unknown key"),
        ('"a\\eb": 1', r"a\x1bb: unknown key"),
        ('dataset: {images: "a\\0b"}', "dataset.images: holds a null character"),
        ("base: ~nobody/mine", "base: no recipe '~nobody/mine'"),
        ("base: " + "a" * 300, "base: no recipe"),
        ("x: " + "a" * 1_000_000, "larger than 1,000,000 bytes"),
        (f"{GOOD}  again: {{op: inpaint, prompt: a, seed: {list(range(2501))}}}", "make 10004 pictures of each photo"),
    ],
    ids=lambda text: text[:40],
)
def test_what_is_more_than_data_is_refused_in_one_line(tmp_path: Path, text: str, expected: str) -> None:
    (line,) = problems(tmp_path, text)
    assert expected in line and "\n" not in line


MISTAKES = """
base: base
x: 1
nmae: cars
dataset: {3: a, lmit: 2}
stages:
  inpaint: {sed: 7, steps: 0, prompt: "${x}"}
"""


def test_a_wrong_form_hides_no_other_mistake_of_a_recipe_and_its_base(tmp_path: Path) -> None:
    written(tmp_path, GOOD + "onempty: skip\n", "base.yaml")
    mine = written(tmp_path, MISTAKES)
    with pytest.raises(RecipeError) as caught:
        compose([f"recipe={mine}", "stages.inpaint.steps=4"])  # which mends one of them
    places = [line.split(": ")[:2] for line in caught.value.problems]
    assert all(Path(file).name == "mine.yaml" for file, key in places if key != "onempty")
    keys = ["dataset.3", "dataset.lmit", "nmae", "onempty", "stages.inpaint.prompt", "stages.inpaint.sed", "x"]
    assert sorted(key for _, key in places) == keys


KEYS = [
    "_x_",
    "base",
    "dataset",
    "stages",
    "wildcards",
    "inpaint",
    "op",
    "after",
    "images",
    "only",
    "prompt",
    "prompts_file",
    "seed",
]
ANY_FORM = st.recursive(
    st.sampled_from([None, 3, True, "x", "a\0b", "~\0", "${x}", "sam", "car_on_mars", "x.txt"]),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.sampled_from([1, None, *KEYS]), part, max_size=4),
)


@given(st.dictionaries(st.sampled_from(["name", "base", "dataset", "stages", "wildcards", "hydra"]), ANY_FORM))
@settings(max_examples=60, deadline=None)
def test_a_recipe_of_any_form_is_refused_in_lines(content: dict[str, object]) -> None:
    with pytest.raises(RecipeError) as caught:
        read_mapping({"nmae": 1, **content})
    assert all(line.startswith(("recipe: ", "recipes/")) for line in caught.value.problems)


def test_a_long_line_of_bases_is_no_circle(tmp_path: Path) -> None:
    written(tmp_path, GOOD, "0.yaml")
    for index in range(1, 12):
        written(tmp_path, f"base: {index - 1}.yaml", f"{index}.yaml")
    assert read(tmp_path / "10.yaml")["stages"]
    with pytest.raises(RecipeError, match=r"11\.yaml: base: more than 10 levels"):
        read(tmp_path / "11.yaml")


def test_checking_leaves_the_mapping_as_it_is(tmp_path: Path) -> None:
    config = read(written(tmp_path, GOOD))
    before = deepcopy(config)
    parse(config, "mine.yaml")
    assert config == before


@pytest.mark.parametrize("overridden", ["dataset", "dataset.manifest"])
def test_a_part_given_on_the_command_line_is_blamed_for_its_section(tmp_path: Path, overridden: str) -> None:
    text = GOOD.replace("images: photo.png", "images: photo.png, manifest: photos.csv")
    (line,) = problems(tmp_path, text, (overridden,))
    assert line.startswith("command line: dataset: `images` and `manifest` are both given; add dataset.images=null")


def test_a_manifest_cannot_ask_for_more_pictures_than_a_recipe(tmp_path: Path) -> None:
    text = GOOD.replace("images: photo.png", "manifest: photos.csv").replace("[1, 2]", "'${item.seeds}'")
    recipe = parse(read(written(tmp_path, text)), "mine.yaml")
    with pytest.raises(PhotoError, match="20000 pictures"):
        recipe.stages[2].build({"seeds": list(range(10_000))})


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(RecipeError, match="not UTF-8"):
        read(path)


def test_a_base_gives_what_the_recipe_leaves_out(tmp_path: Path) -> None:
    written(tmp_path, GOOD, "parent.yaml")
    child = written(
        tmp_path,
        "base: parent\nstages:\n  car: {op: grabcut, box: [0, 0, 9, 9]}\n  inpaint: {seed: 7}\n  more: {op: invert}",
    )
    config = read(child)
    assert list(config["stages"]) == ["car", "invert", "inpaint", "more"]
    assert "points" not in config["stages"]["car"] or config["stages"]["car"]["op"] == "grabcut"
    assert config["stages"]["inpaint"]["prompt"] == ["mars", "1984"] and config["stages"]["inpaint"]["seed"] == 7
    assert config["name"] == "mine"
    assert parse(config, "mine.yaml").stages[0].op == "grabcut"


def test_relative_paths_start_at_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "dataset: {images: [a.png, '/b.png']}\nstages: {m: {op: mask_file, folder: masks}}")
    monkeypatch.chdir("/")
    config = read(path)
    assert config["dataset"]["images"] == [str(tmp_path / "a.png"), "/b.png"]
    assert config["stages"]["m"]["folder"] == str(tmp_path / "masks")
    shipped = find("car_on_mars")
    assert shipped is not None and read(shipped)["dataset"]["images"] == str(ROOT / "examples/car.png")


def test_columns_come_from_the_manifest(tmp_path: Path) -> None:
    text = GOOD.replace("images: photo.png", "manifest: photos.csv").replace("[[3, 4]]", "'${item.points}'")
    text = text.replace('[mars, "1984"]', "'${item.kind} on ${item.place}'")
    recipe = parse(read(written(tmp_path, text)), "mine.yaml")
    item = {"points": [[5, 6]], "kind": "car", "place": "mars"}
    assert recipe.stages[0].build(item).points == ((5.0, 6.0),)
    assert recipe.stages[2].build(item).prompt == "car on mars"
    with pytest.raises(PhotoError, match=r"no column 'points' for this photo, did you mean 'point'\?"):
        recipe.stages[0].build({"point": [[1, 2]]})
    with pytest.raises(PhotoError, match=r"car\.points \(column points\): "):
        recipe.stages[0].build({"points": "left"})


def test_a_column_without_a_manifest_is_a_problem(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, GOOD.replace("[[3, 4]]", "'${item.points}'"))
    assert "stages.car.points: ${item.points} refers to a column of `dataset.manifest`" in line


FROM_FILE = GOOD.replace('prompt: [mars, "1984"]', "prompts_file: prompts.txt")


def test_a_prompts_file_stands_for_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ['mars, "dusty" sky: {red}', "", "# left out", "  café  ", "1984", "costs $5 # as it is"]
    (tmp_path / "prompts.txt").write_bytes(("\ufeff" + "\r\n".join(lines)).encode())
    path = written(tmp_path, FROM_FILE)
    monkeypatch.chdir("/")
    config = read(path)
    read_prompt_files(config)
    prompts = ['mars, "dusty" sky: {red}', "café", "1984", "costs $5 # as it is"]
    assert config["stages"]["inpaint"]["prompt"] == prompts and config["stages"]["inpaint"]["prompts_file"] is None
    variants = parse(config, "mine.yaml").stages[2].build({}).variants()
    assert [(one.prompt, one.seed) for one in variants] == [(prompt, seed) for prompt in prompts for seed in (1, 2)]


@pytest.mark.parametrize(
    "content, stage, expected",
    [
        (None, "", "prompts.txt: no such file"),
        (b" \n# nothing\n", "", "prompts.txt: holds no prompt"),
        ("café".encode("latin-1"), "", "prompts.txt: not UTF-8 text (unexpected end of data at byte 3)"),
        (b"x" * 1_000_001, "", "prompts.txt: cannot be read: larger than 1,000,000 bytes"),
        (b"mars\n#${x}\na ${item.kind}", "", "prompts.txt: line 3: of ${...}, a file of prompts may only have"),
        (b"mars", ", prompt: venus", "`prompt` is given too; set one of them to null, as in stages.inpaint."),
        (b"mars", ", prompts_file: '${item.file}'", "${item.file}: one file serves all photos"),
        (b"mars", ", prompts_file: [a, b]", "should be the path of a text file with one prompt per line; got ['"),
        (b"mars", ", prompts_file: ''", "should be the path of a text file with one prompt per line; got ''"),
        (b"mars", ", prompts_file: id_rsa", "id_rsa: the name of a file of prompts must end in .txt"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_prompts_file_that_will_not_do(tmp_path: Path, content: bytes | None, stage: str, expected: str) -> None:
    if content is not None:
        (tmp_path / "prompts.txt").write_bytes(content)
    given = stage.removeprefix(", ") if "prompts_file" in stage else "prompts_file: prompts.txt" + stage
    config = read(written(tmp_path, FROM_FILE.replace("prompts_file: prompts.txt", given)))
    with pytest.raises(RecipeError) as caught:
        read_prompt_files(config)
    (line,) = caught.value.problems
    assert line.startswith("stages.inpaint.prompts_file: ") and expected in line


@pytest.mark.fault(
    "Prompts",
    "a recipe whose prompts file is a link, behind a link, in another folder or an absolute path",
    "refused; on the command line any file is allowed",
)
@pytest.mark.parametrize("given", ["link.txt", "folder/secret.txt", "../secret.txt", "{root}/secret.txt", "~/x.txt"])
def test_a_recipe_names_prompt_files_of_its_own_folder_only(given: str, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("a password\n")
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "link.txt").symlink_to(tmp_path / "secret.txt")
    (recipes / "folder").symlink_to(tmp_path)
    given = given.format(root=tmp_path)
    text = FROM_FILE.replace("prompts_file: prompts.txt", f"prompts_file: {given}")
    with pytest.raises(
        RecipeError, match=r"stages\.inpaint\.prompts_file: .*; a recipe may name one in its own folder"
    ):
        read(written(recipes, text))
    (recipes / "sub").mkdir()
    (recipes / "sub/prompts.txt").write_text("mars\n")
    own = read(written(recipes, FROM_FILE.replace("prompts_file: prompts.txt", "prompts_file: ./sub/prompts.txt")))
    read_prompt_files(own)
    assert own["stages"]["inpaint"]["prompt"] == ["mars"]


def test_only_inpaint_takes_a_prompts_file_and_it_is_not_passed_over(tmp_path: Path) -> None:
    config = read(written(tmp_path, GOOD.replace("invert:", "invert: {prompts_file: nowhere.txt}")))
    read_prompt_files(config)
    with pytest.raises(RecipeError, match=r"stages\.invert\.prompts_file: unknown key"):
        parse(config, "mine.yaml")
    (line,) = problems(tmp_path, GOOD.replace("prompt:", "prompts_file: prompts.txt, prompt:"))
    assert "stages.inpaint.prompts_file: is read when a recipe is composed" in line
    assert problems(tmp_path, GOOD.replace('prompt: [mars, "1984"], ', "")) == [
        "mine.yaml: stages.inpaint.prompt: is required"
    ]
