"""What is painted on the page is a mask file, for the studio as for the command line, and its strokes are kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from darkroom.errors import RecipeError
from darkroom.imaging.strokes import Stroke, painted
from darkroom.studio import draft as changes
from darkroom.studio.brush import MOST_POINTS, MOST_STROKES, Painter, Painting, read_painting
from darkroom.studio.clicks import Clicks
from darkroom.studio.studio import Studio
from studio.test_drafts import click, photos, studio
from studio.test_preview import look
from support.in_process import CliInProcess
from support.runs import journal, pixels

BRUSHED = "recipe=brushed.yaml"
_number = st.floats(-20, 90).map(lambda value: round(value, 2))
_strokes = st.lists(
    st.builds(
        Stroke,
        st.lists(st.tuples(_number, _number), min_size=1, max_size=4).map(tuple),
        st.floats(0.5, 30).map(lambda value: round(value, 2)),
        st.booleans(),
    ),
    max_size=4,
).map(tuple)


def recipe(folder: Path, stages: str) -> None:
    (folder / "brushed.yaml").write_text(f"dataset: {{images: photos}}\nstages: {stages}\n")


def mask_of(strokes: tuple[Stroke, ...], size: int = 64) -> np.ndarray:
    return painted(np.zeros((size, size), np.uint8), strokes)


def change(made: Studio, stage: str | None, how: str) -> None:
    made.change(made.draft.state.revision, lambda state: changes.with_brush(state, stage, how))


LINE = Stroke(((10, 10), (50.5, 30)), 6)
HOLE = Stroke(((30, 20),), 3, erase=True)
DAB = Stroke(((5, 60),), 9.5)


@pytest.mark.parametrize("count", [1, 3])
def test_the_command_line_takes_the_mask_that_was_painted(quick_cli: CliInProcess, count: int) -> None:
    photos(quick_cli.folder / "photos", count)
    recipe(quick_cli.folder, "{drawn: {op: mask_file}, background: {colour: white}}")
    with pytest.raises(RecipeError, match="mask_file needs"), studio(quick_cli.folder, BRUSHED) as made:
        made.paint(0)
    with studio(quick_cli.folder, BRUSHED) as made:
        painted_on = {index: strokes for index, strokes in ((0, (LINE, HOLE)), (2, (DAB,))) if index < count}
        for index, strokes in painted_on.items():
            click(made, index, "drawn", Clicks(strokes=strokes))
            assert np.array_equal(look(made, "drawn", index=index)[0], mask_of(strokes))
        assert made.describe()["problems"] == [] and made.describe()["run_photos"] == len(painted_on)
        draft = made.draft.files.recipe
        made.save("saved")
    for words in ([f"recipe={draft}", "outputs=first"], ["recipe=saved.yaml", "outputs=second"]):
        done = quick_cli(*words)
        assert done.returncode == 0, done.stderr
        (run,) = (quick_cli.folder / words[1].partition("=")[2]).glob("2*")
        lines = journal(run)
        assert [line["photo"] for line in lines] == ([f"{name}.png" for name in ("a b", "Müller")][: len(painted_on)])
        for line, strokes in zip(lines, painted_on.values(), strict=True):
            assert np.array_equal(pixels(run / line["steps"][1]["mask"]), mask_of(strokes))


def test_strokes_open_as_they_were_and_can_be_taken_back(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    recipe(tmp_path, "{drawn: {op: mask_file}, background: {colour: white}}")
    with studio(tmp_path, BRUSHED) as made:
        click(made, 1, "drawn", Clicks(strokes=(LINE, HOLE)))
        made.save("saved")
    shutil.move(tmp_path / "outputs", tmp_path / "old")
    for words in (["recipe=old/studio/brushed/recipe.yaml"], ["recipe=saved.yaml"]):
        with studio(tmp_path, *words) as again:
            name = "c.png"
            index = next(row["index"] for row in again.list_photos(0, 9) if row["name"] == name)
            assert again.draft.state.clicks_on(name)["drawn"].strokes == (LINE, HOLE)
            assert again.photo(index)["clicks"]["drawn"]["strokes"][1]["erase"] is True
            click(again, index, "drawn", Clicks(strokes=(LINE,)))
            assert np.array_equal(look(again, "drawn", index=index)[0], mask_of((LINE,)))


def test_what_was_begun_on_a_photo_outlives_the_studio(tmp_path: Path) -> None:
    """Each stage of the recipe waits for something on each photo."""
    photos(tmp_path / "photos")
    recipe(tmp_path, "{thing: {op: grabcut}, drawn: {op: mask_file}, background: {colour: white}}")
    begun = {0: ("drawn", Clicks(strokes=(LINE,))), 1: ("thing", Clicks(points=((9, 9),), negative=((3, 3),)))}
    for run_photos in (0, 1):
        with studio(tmp_path, BRUSHED) as made:
            for index, (stage, clicks) in begun.items():
                click(made, index, stage, clicks)
            click(made, 2, "drawn", Clicks(strokes=(HOLE,)))
            if run_photos:
                click(made, 1, "drawn", Clicks(strokes=(LINE,)))
            assert made.draft.photos_of_run(made.draft.state) == run_photos
            before = [made.draft.state.clicks_on(made.photos[index].name) for index in range(3)]
        with studio(tmp_path, BRUSHED) as again:
            found = [again.draft.state.clicks_on(again.photos[index].name) for index in range(3)]
            assert [{name: each.plain() for name, each in clicks.items()} for clicks in found] == [
                {name: each.plain() for name, each in clicks.items()} for clicks in before
            ]


@pytest.mark.parametrize("how", ["union", "difference"])
def test_a_brush_adds_to_what_clicks_found_or_takes_away(quick_cli: CliInProcess, how: str) -> None:
    """A photo without strokes takes part with what its clicks found."""
    (quick_cli.folder / "photos").mkdir()
    photo = Image.new("RGB", (64, 64), (0, 99, 9))
    photo.paste((200, 30, 30), (14, 12, 34, 32))
    for name in ("1.png", "2.png", "3.png"):
        photo.save(quick_cli.folder / "photos" / name)
    recipe(quick_cli.folder, "{thing: {op: grabcut, iterations: 1}, background: {colour: white}}")
    with studio(quick_cli.folder, BRUSHED) as made:
        for index in (0, 1):
            click(made, index, "thing", Clicks(boxes=((8, 8, 40, 40),)))
        change(made, "thing", how)
        assert made.describe()["problems"] == []
        names = list(made.draft.state.stages)
        assert names == ["brush", "thing", {"union": "with_brush", "difference": "without_brush"}[how], "background"]
        click(made, 0, "brush", Clicks(strokes=(LINE, DAB)))
        found = [look(made, "thing", index=index)[0] for index in (0, 1)]
        drawn = mask_of((LINE, DAB))
        joined = [np.maximum(found[0], drawn) if how == "union" else np.where(drawn, 0, found[0]), found[1]]
        for index in (0, 1):
            assert np.array_equal(look(made, names[2], index=index)[0], joined[index])
        saved = made.draft.files.recipe
        made.undo(made.draft.state.revision)
        assert list(made.draft.state.stages) == ["thing", "background"], "one change, undone at once"
        change(made, "thing", how)
        assert made.draft.state.clicks_on("1.png")["brush"].strokes == (LINE, DAB), "strokes outlive their stage"
    done = quick_cli(f"recipe={saved}")
    assert done.returncode == 0, done.stderr
    (run,) = (path for path in quick_cli.run_folders() if path.name != "studio")
    for line, mask in zip(journal(run), joined, strict=True):
        assert np.array_equal(pixels(run / line["steps"][3]["mask"]), mask)


def test_a_brush_takes_the_place_of_a_stage_or_stands_in_front(tmp_path: Path) -> None:
    with studio(tmp_path, "recipe=car_on_mars") as made:
        before = list(made.draft.state.stages)
        change(made, "car", "instead")
        assert list(made.draft.state.stages) == ["brush", *before[1:]]
        change(made, None, "instead")
        assert list(made.draft.state.stages) == ["brush_2", "brush", *before[1:]]


def test_a_run_keeps_the_mask_that_it_began_with(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    recipe(tmp_path, "{drawn: {op: mask_file}, background: {colour: white}}")
    with studio(tmp_path, BRUSHED) as made:
        click(made, 0, "drawn", Clicks(strokes=(LINE,)))
        made.run()
        click(made, 0, "drawn", Clicks(strokes=(LINE, HOLE)))
        made.worker.submit(made.worker.stop, 3)
        made.worker.run()
        run = made.outputs / made.job()["run"]
        (line,) = journal(run)
        assert np.array_equal(pixels(run / line["steps"][1]["mask"]), mask_of((LINE,)))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strokes=_strokes)
def test_a_mask_s_file_holds_its_pixels_and_its_strokes(tmp_path: Path, strokes: tuple[Stroke, ...]) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(Painter().file(Painting((64, 48), strokes)))
    with Image.open(path) as image:
        assert image.mode == "L" and image.size == ((64, 48) if strokes else (1, 1))
        if strokes:
            assert np.array_equal(np.asarray(image), painted(np.zeros((48, 64), np.uint8), strokes))
    assert read_painting(path) == Painting((64, 48), strokes)


@pytest.mark.fault(
    "The studio",
    "a painted mask that was changed, damaged or made elsewhere",
    "it is a mask like any other, without strokes",
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 400), value=st.integers(1, 255), cut=st.booleans())
def test_a_mask_that_was_changed_is_a_file_like_any_other(tmp_path: Path, place: int, value: int, cut: bool) -> None:
    path = tmp_path / "mask.png"
    data = bytearray(Painter().file(Painting((64, 64), (LINE, HOLE))))
    place %= len(data)
    data[place] ^= value
    path.write_bytes(data[:place] if cut else data)
    found = read_painting(path)
    assert found in ((None,) if cut else (None, Painting((64, 64), (LINE, HOLE))))


def test_masks_of_others_stay_what_they_are(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    Image.new("L", (64, 64), 255).save(tmp_path / "logo.png")
    recipe(tmp_path, "{drawn: {op: mask_file, file: logo.png}, background: {colour: white}}")
    with studio(tmp_path, BRUSHED) as made:
        assert made.draft.state.stages["drawn"]["file"] == str(tmp_path / "logo.png")
        with pytest.raises(RecipeError, match="takes no clicks"):
            click(made, 0, "drawn", Clicks(strokes=(LINE,)))
        made.change(made.draft.state.revision, lambda state: changes.without_parameter(state, "drawn", "file"))
        click(made, 0, "drawn", Clicks(strokes=(LINE,)))


GOOD: dict[str, Any] = {"points": [[1, 2]], "radius": 3}


@pytest.mark.fault(
    "The studio",
    "strokes that are too many, too long, far away or of other types",
    "refused in one line; nothing is painted or lost",
)
@pytest.mark.parametrize(
    ("strokes", "message"),
    [
        ("all of it", "a list"),
        ([7], "a list"),
        ([{**GOOD, "radius": 0}], "radius"),
        ([{**GOOD, "radius": 1e9}], "radius"),
        ([{**GOOD, "radius": True}], "radius"),
        ([{**GOOD, "erase": "yes"}], "erase"),
        ([{**GOOD, "points": []}], "points"),
        ([{**GOOD, "points": [[1, 2, 3]]}], "points"),
        ([{**GOOD, "points": [["1", "2"]]}], "points"),
        ([{**GOOD, "points": [[1e300, 0]]}], "points"),
        ([{**GOOD, "points": [[float("inf"), 0]]}], "points"),
        ([GOOD] * (MOST_STROKES + 1), "at most 2000 strokes"),
        ([{**GOOD, "points": [[1, 2]] * (MOST_POINTS + 1)}], "at most 40,000 points"),
    ],
)
def test_hostile_strokes_are_refused(strokes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Clicks.of({"strokes": strokes})


def test_the_names_of_mask_files_are_plain(tmp_path: Path) -> None:
    for photo in ("../../etc/passwd", "a/b\\c.png", "Müller.png", ".png", "x" * 300, "nul\0.png", ""):
        name = Painting((64, 64), (LINE,)).file_name(photo)
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") and len(name) < 70
    assert json.loads(Painting((64, 64), (LINE,)).text)["size"] == [64, 64]
