"""A draft ends as files: a recipe and a manifest that open as the same draft, and that the command line can run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from darkroom.errors import OutputError, PhotoError, RecipeError
from darkroom.studio import draft as changes
from darkroom.studio.clicks import Clicks
from darkroom.studio.command import opened
from darkroom.studio.draft import Conflict
from darkroom.studio.review import RunFolder
from darkroom.studio.studio import Studio
from support.in_process import CliInProcess
from support.runs import CAR, ROOT, journal

COORDINATE = st.floats(0, 60, allow_nan=False).map(lambda value: round(value, 2))
BOX = st.tuples(COORDINATE, COORDINATE, st.floats(61, 64), st.floats(61, 64)).map(
    lambda b: tuple(round(v, 2) for v in b)
)
POINTS = st.lists(st.tuples(COORDINATE, COORDINATE), max_size=3).map(tuple)
CLICKS = st.builds(
    Clicks,
    points=POINTS,
    negative=POINTS,
    boxes=st.lists(BOX, max_size=2).map(tuple),
    choose=st.sampled_from(["score", "smallest", "middle", "largest"]),
).filter(bool)


@contextmanager
def studio(folder: Path, *words: str) -> Iterator[Studio]:
    here = Path.cwd()
    os.chdir(folder)
    try:
        with opened(["models=miniature", *words]) as made:
            yield made
    finally:
        os.chdir(here)


def photos(folder: Path, count: int = 3) -> Path:
    """Small photos called `a b.png`, `Müller.png`, ..."""
    folder.mkdir(parents=True)
    for name in ["a b", "Müller", "c"][:count]:
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(folder / f"{name}.png")
    return folder


def click(studio: Studio, index: int, stage: str, clicks: Clicks) -> None:
    studio.click(index, studio.draft.state.revision, stage, clicks)


def set_value(studio: Studio, stage: str, parameter: str, value: Any) -> None:
    studio.change(studio.draft.state.revision, lambda state: changes.with_parameter(state, stage, parameter, value))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    clicks=st.dictionaries(st.integers(0, 2), CLICKS, min_size=1),
    prompt=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(
        lambda t: t.strip() and "${" not in t
    ),
    grow=st.floats(-20, 20).map(lambda value: round(value, 1)),
)
def test_what_was_made_opens_as_it_was(tmp_path: Path, clicks: dict[int, Clicks], prompt: str, grow: float) -> None:
    folder = tmp_path / "work"
    shutil.rmtree(folder, ignore_errors=True)
    photos(folder / "photos")
    with studio(folder, "recipe=car_on_mars", "dataset.images=photos", "stages.car.points=[]") as made:
        for index, marks in clicks.items():
            click(made, index, "car", marks)
        made.show(2)
        set_value(made, "inpaint", "prompt", prompt)
        set_value(made, "refine", "grow", grow)
        made.change(made.draft.state.revision, lambda state: changes.with_stage(state, "matte", "invert"))
        before, saved = made.draft.state, made.draft.files.recipe
    for words in ([f"recipe={saved}"], ["recipe=car_on_mars", "dataset.images=photos"]):
        with studio(folder, *words) as again:
            state, names = again.draft.state, [again.photos[i].name for i in range(3)]
            assert again.describe()["current"] == 2
            assert state.stages == before.stages and list(state.stages) == list(before.stages)
            assert [state.clicks_on(name) for name in names] == [before.clicks_on(name) for name in names]


def test_the_command_line_runs_the_draft_on_the_photos_with_clicks(quick_cli: CliInProcess) -> None:
    photos(quick_cli.folder / "photos")
    with studio(quick_cli.folder, "recipe=car_on_mars", "dataset.images=photos", "stages.car.points=[]") as made:
        for index in (0, 2):
            click(made, index, "car", Clicks(points=((20.5, 30),), negative=((1, 1),)))
        assert [row["state"] for row in made.list_photos(0, 9)] == ["masked", "untouched", "masked"]
        saved = made.draft.files.recipe
    done = quick_cli(f"recipe={saved}", "until=refine", "models=miniature")
    assert done.returncode in (0, 3), done.stderr
    run = next(path for path in quick_cli.run_folders() if path.name != "studio")
    lines = journal(run)
    assert [line["photo"] for line in lines] == ["a b.png", "Müller.png"]
    assert lines[0]["settings"][0]["points"] == [[20.5, 30]] and lines[0]["settings"][0]["negative"] == [[1, 1]]


def test_one_photo_needs_no_manifest_and_all_stages_are_explained(tmp_path: Path) -> None:
    with studio(tmp_path, "recipe=car_on_mars") as made:
        click(made, 0, "car", Clicks(points=((331, 360),)))
        text = (made.draft.files.folder / "recipe.yaml").read_text()
    assert "points: [[331, 360]]" in text and str(CAR) in text
    stages = text.partition("stages:\n")[2]
    assert stages.count("# ") == 4
    assert not (tmp_path / "outputs/studio/car_on_mars/photos.jsonl").exists()


def test_wildcards_entries_and_rules_for_seeds_stay_in_the_recipe(quick_cli: CliInProcess) -> None:
    """The studio's form has no fields for them."""
    (quick_cli.folder / "words.txt").write_text("snow\nsea\n")
    along = [{"prompt": "${wildcard.place}", "steps": 2}]
    recipe = {"base": "car_on_mars", "wildcards": {"place": "words.txt"}}
    recipe["stages"] = {"inpaint": {"prompt": along, "seed": {"per_photo": True}}}
    (quick_cli.folder / "own.yaml").write_text(yaml.safe_dump(recipe))
    with studio(quick_cli.folder, "recipe=own.yaml") as made:
        assert made.describe()["problems"] == []
        set_value(made, "refine", "grow", 3)
        set_value(made, "inpaint", "strength", 1)
        saved = made.draft.files.recipe
    assert yaml.safe_load((quick_cli.folder / saved).read_text())["wildcards"] == {"place": ["snow", "sea"]}
    done = quick_cli(f"recipe={saved}", "models=miniature")
    assert done.returncode == 0, done.stderr
    run = next(path for path in quick_cli.run_folders() if path.name != "studio")
    (line,) = journal(run)
    assert line["prompt"] in ("snow", "sea") and line["settings"][-1]["steps"] == 2
    assert line["seed"] == int(line["digest"][:8], 16)


def test_a_tab_that_is_behind_changes_nothing(tmp_path: Path) -> None:
    with studio(tmp_path, "recipe=car_on_mars") as made:
        set_value(made, "refine", "grow", 3)
        saved = made.draft.files.folder / "recipe.yaml"
        before = saved.read_bytes()
        with pytest.raises(Conflict):
            made.change(0, lambda state: changes.without_stage(state, "refine"))
        with pytest.raises(RecipeError, match="did you mean 'grow'"):
            set_value(made, "refine", "grwo", 3)
        assert saved.read_bytes() == before and "refine" in made.draft.state.stages


def test_a_wrong_value_is_a_problem_in_words_and_is_kept(tmp_path: Path) -> None:
    with studio(tmp_path, "recipe=car_on_mars") as made:
        set_value(made, "refine", "grow", 5000)
        (problem,) = made.describe()["problems"]
        assert problem.startswith("stages.refine.grow: ") and "1000" in problem
        with pytest.raises(RecipeError, match=r"refine\.grow"):
            made.paint(0)
        set_value(made, "refine", "grow", 5)
        assert made.describe()["problems"] == []


def test_two_studios_do_not_work_on_one_draft(tmp_path: Path) -> None:
    with (
        studio(tmp_path, "recipe=car_on_mars"),
        pytest.raises(OutputError, match="another studio works on this recipe"),
        studio(tmp_path, "recipe=car_on_mars"),
    ):
        pass


def test_other_photos_get_another_draft(tmp_path: Path) -> None:
    photos(tmp_path / "mine")
    with studio(tmp_path, "recipe=car_on_mars") as first:
        set_value(first, "refine", "grow", 9)
    with studio(tmp_path, "recipe=car_on_mars", "dataset.images=mine") as second:
        assert second.draft.files.folder.name == "car_on_mars-2"
        assert second.draft.state.stages["refine"]["grow"] == -2


def test_saving_never_overwrites_what_is_not_as_it_was_saved(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    (tmp_path / "mine.yaml").write_text("# by hand\n")
    with studio(tmp_path, "recipe=car_on_mars", "dataset.images=photos", "stages.car.points=[]") as made:
        click(made, 1, "car", Clicks(points=((5, 5),)))
        with pytest.raises(OutputError, match=r"mine\.yaml: exists already"):
            made.save("mine")
        assert (tmp_path / "mine.yaml").read_text() == "# by hand\n"
        command = f"python {ROOT / 'run.py'} recipe=new.yaml models=miniature"
        assert made.save("new") == {"recipe": "new.yaml", "manifest": "new.jsonl", "command": command}
        click(made, 1, "car", Clicks(points=((6, 5),)))
        made.save("new")
        row, recipe = json.loads((tmp_path / "new.jsonl").read_text()), (tmp_path / "new.yaml").read_text()
        assert row["points"] == [[6, 5]] and "dataset: {manifest: new.jsonl, folder: photos}" in recipe
        assert "name: new\n" in recipe
        (tmp_path / "new.jsonl").write_text("mine\n")
        with pytest.raises(OutputError, match=r"new\.jsonl: exists already"):
            made.save("new")
        assert (tmp_path / "new.jsonl").read_text() == "mine\n"


def test_a_second_pass_keeps_the_chosen_prompt_and_seed(tmp_path: Path) -> None:
    with studio(tmp_path, "recipe=car_on_mars") as made:
        chosen = [{"stage": "inpaint", "op": "inpaint", "prompt": "moon", "negative_prompt": None, "seed": 7}]
        made.change(0, lambda state: changes.with_second_pass(state, chosen))
        stages = made.draft.state.stages
        assert list(stages)[-2:] == ["inpaint", "inpaint_2"]
        assert stages["inpaint"]["prompt"] == "moon" and stages["inpaint"]["seed"] == 7
        assert stages["inpaint_2"] == {"op": "inpaint", "prompt": "moon", "strength": 0.5}
        assert made.describe()["problems"] == []


def test_changes_of_the_recipe_are_undone_and_clicks_outlive_their_stage(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    with studio(tmp_path, "recipe=car_on_mars", "dataset.images=photos", "stages.car.points=[]") as made:
        click(made, 1, "car", Clicks(points=((5, 5),)))
        before = made.draft.state.stages
        for grow in (1, 2, 3):  # a slider
            made.change(
                made.draft.state.revision,
                lambda state, grow=grow: changes.with_parameter(state, "refine", "grow", grow),
                "grow",
            )
        made.change(made.draft.state.revision, lambda state: changes.without_stage(state, "car"))
        assert made.list_photos(0, 3)[1]["state"] == "untouched"
        made.undo(made.draft.state.revision)
        assert made.list_photos(0, 3)[1]["state"] == "masked"
        made.undo(made.draft.state.revision)
        assert made.draft.state.stages == before
        made.change(made.draft.state.revision, lambda state: changes.without_stage(state, "car"))
        made.change(made.draft.state.revision, lambda state: changes.with_stage(state, "sam", "refine"))
        assert made.draft.state.clicks_on(made.photos[1].name)["car"].points == ((5, 5),)


def test_a_run_keeps_the_clicks_that_it_began_with(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    words = ["recipe=car_on_mars", "dataset.images=photos", "stages.car.points=[]", "~stages.inpaint"]
    with studio(tmp_path, *words) as made:
        for index in (0, 1):
            click(made, index, "car", Clicks(points=((30, 30),)))
        assert made.describe()["run_photos"] == 2
        made.run()
        made.worker.submit(made.worker.stop, 3)
        made.worker.run()
        run = RunFolder(made.outputs, made.job()["run"])
        assert len(run.lines()) == 2
        click(made, 0, "car", Clicks())
        run.decide(0, "rejected")
        config = json.loads((run.folder / "run.json").read_text())["config"]
        rows = [json.loads(line) for line in Path(config["dataset"]["manifest"]).read_text().splitlines()]
        assert [row["points"] for row in rows] == [[[30, 30]], [[30, 30]]]
        recipe = made.draft.run_recipe(made.draft.state, run.rejected())
        assert recipe["dataset"]["only"] == [made.photos[0].name]


def test_what_cannot_be_saved_changes_nothing(tmp_path: Path) -> None:
    with studio(tmp_path, "recipe=car_on_mars") as made:
        before = made.draft.state
        with pytest.raises(RecipeError, match="half of a character"):
            set_value(made, "inpaint", "prompt", "\ud800")
        with pytest.raises(ValueError, match="at most 200 clicks"):
            Clicks.of({"points": [[1, 1]] * 100_000})
        assert made.draft.state == before
    with studio(tmp_path, "recipe=car_on_mars", "~stages.invert") as again:
        assert "invert" in again.draft.state.stages, "the draft goes on as it was"


def test_photos_with_odd_names_do_not_stop_the_others(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 1)
    shutil.copy(folder / "a b.png", os.fsencode(folder) + b"/caf\xe9.png")
    with studio(tmp_path, "recipe=car_on_mars", "dataset.images=photos", "stages.car.points=[]") as made:
        listed = {row["name"]: row["index"] for row in made.list_photos(0, 9)}
        json.dumps(listed).encode()
        with pytest.raises(PhotoError, match="rename the file"):
            made.photo(listed["caf\\xe9.png"])
        click(made, listed["a b.png"], "car", Clicks(points=((5, 5),)))


def test_a_table_with_two_rows_for_a_photo_is_refused(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    (tmp_path / "t.csv").write_text("image,prompt\nphotos/c.png,mars\nphotos/c.png,venus\n")
    with (
        pytest.raises(RecipeError, match=r"t\.csv:3: photos/c\.png is listed twice"),
        studio(tmp_path, "recipe=car_on_mars", "dataset.images=null", "dataset.manifest=t.csv"),
    ):
        pass


def test_columns_of_a_table_are_filled_in_for_one_photo(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    (tmp_path / "t.csv").write_text("image,prompt\nphotos/c.png,venus\n")
    words = ["dataset.images=null", "dataset.manifest=t.csv", "stages.inpaint.prompt='${item.prompt}'"]
    with studio(tmp_path, "recipe=car_on_mars", *words) as made:
        assert made.describe()["problems"] == []
        recipe = made.draft.recipe_for(made.photos[0], made.draft.state)
        assert recipe["stages"]["inpaint"]["prompt"] == "venus"


def test_outputs_that_vanish_are_made_again(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    words = ["recipe=car_on_mars", "dataset.images=photos", "stages.car.points=[]"]
    with studio(tmp_path, *words) as made:
        click(made, 1, "car", Clicks(points=((5, 5),)))
        shutil.rmtree(tmp_path / "outputs")
        click(made, 2, "car", Clicks(points=((6, 6),)))
    with studio(tmp_path, *words) as again:
        assert [row["state"] for row in again.list_photos(0, 3)] == ["untouched", "masked", "masked"]


def test_only_one_of_many_presses_starts_a_run(tmp_path: Path) -> None:
    with studio(tmp_path, "recipe=car_on_mars") as made:
        with ThreadPoolExecutor(8) as pool:
            presses = [pool.submit(made.paint, 0) for _ in range(8)]
        errors = [press.exception() for press in presses]
        assert errors.count(None) == 1
        assert all("another run goes on" in str(error) for error in errors if error)
