"""Which photos of a folder or table are taken: `only`, `exclude`, lists of names, `limit`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from darkroom.config.recipe_yaml import load
from darkroom.dataset import Dataset
from darkroom.dataset.selection import Patterns, exactly
from darkroom.errors import RecipeError
from support.in_process import command_line
from support.runs import journal

PHOTOS = ("car.jpg", "draft_1.png", "day 1/a.jpg", "day 1/b.png", "day 1/old/c.jpg", "day 2/a.jpg", "old/d[1].jpg")
STAGES = "stages: {box: {op: grabcut, box: [2, 2, 9, 9], iterations: 1}, erase: }\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in PHOTOS:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def taken(place: Path, limit: int | None = None, **given: object) -> list[str]:
    dataset = Dataset(images=str(place / "photos"), **given).first(limit)
    found = [photo.name for photo in dataset.photos()]
    assert dataset.count() == len(found)
    return found


def test_a_limit_larger_than_any_folder_takes_all(place: Path) -> None:
    assert len(taken(place, limit=10**30)) == len(PHOTOS)


def test_patterns_are_those_of_gitignore(place: Path) -> None:
    assert taken(place, only="car.jpg") == ["car.jpg"]
    assert taken(place, only="*.png") == ["draft_1.png", "day 1/b.png"]
    assert taken(place, only="a.jpg") == ["day 1/a.jpg", "day 2/a.jpg"]
    assert taken(place, only="/a.jpg") == []
    assert taken(place, only="old/") == ["day 1/old/c.jpg", "old/d[1].jpg"]
    assert taken(place, only=["/old", "day 1/*.jpg"]) == ["day 1/a.jpg", "old/d[1].jpg"]
    assert taken(place, only="day*/**/c.*") == ["day 1/old/c.jpg"]
    assert taken(place, only="d[[]1].jpg") == taken(place, only="d[1].jpg") == ["old/d[1].jpg"]
    assert taken(place, only="/old/d[1].*") == []
    assert taken(place, exclude=["old", "draft*"]) == ["car.jpg", "day 1/a.jpg", "day 1/b.png", "day 2/a.jpg"]
    assert taken(place, only="day 1", exclude="*.jpg") == ["day 1/b.png"]
    assert taken(place, limit=2) == ["car.jpg", "draft_1.png"]
    assert taken(place, limit=1, only="day*") == ["day 1/a.jpg"]


@given(name=st.text(st.sampled_from("a[]*?!-/ .tx"), min_size=1, max_size=8), other=st.text(st.sampled_from("a[]*?t.")))
def test_a_name_in_a_list_fits_itself_alone(name: str, other: str) -> None:
    patterns = Patterns([exactly(name)])
    assert patterns.fits(name) and not exactly(name).endswith(".txt")
    assert patterns.fits(other) == (name == other)


def test_what_is_not_taken_is_told(place: Path) -> None:
    (place / "photos/clip.mov").touch()
    dataset = Dataset(
        images=str(place / "photos"), only=["day*", "/gone.jpg", "a.jpg", "*.gif"], exclude=["old", "odl"]
    )
    stray, count, unused, mistyped = dataset.first(2).left_out()
    assert stray == "skipped 1 file: 1 video (.mov)"
    assert count == "2 of 7 photos are taken, by dataset.only, dataset.exclude or limit"
    assert unused == "dataset.only: fits no photo: gone.jpg, *.gif"
    assert mistyped == "dataset.exclude: fits no photo: odl"
    with pytest.raises(RecipeError, match=r"dataset\.only: leaves no photo"):
        Dataset(images=str(place / "photos"), only="*.gif").check()
    with pytest.raises(ValidationError, match="only once"):
        Dataset(images=str(place), only="a/**/b/**/c")
    with pytest.raises(ValidationError, match="empty pattern"):
        Dataset(images=str(place), exclude=["a", "/"])


def test_rows_of_a_table_are_selected_by_the_names_of_their_photos(tmp_path: Path) -> None:
    rows = ["image,a", "one/a.jpg,1", "../x/b.jpg,2", "bad,row,3", "a.jpg,4", "one/a.jpg,5"]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    dataset = Dataset(manifest=str(tmp_path / "m.csv"), only=["one/", exactly("../x/b.jpg"), "m.csv:4"])
    assert [photo.name for photo in dataset.photos()] == ["one/a.jpg", "../x/b.jpg", "m.csv:4", "one/a.jpg"]


def run(place: Path, *words: str) -> tuple[int, list[Path]]:
    return command_line(place, "recipe=own.yaml", "models=miniature", *words), sorted(place.glob("outputs/*_own"))


def test_a_list_of_rejected_photos_is_done_again(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "own.yaml").write_text("dataset: {images: photos}\n" + STAGES)
    (place / "again.txt").write_text("\ufeffold/d[1].jpg\r\n\r\nday 1/a.jpg\r\nnever.jpg\n", encoding="utf-8")
    code, (folder,) = run(place, "dataset.only=again.txt")
    said = capsys.readouterr().out
    assert code == 3 and "2 of 7 photos are taken" in said and "dataset.only: fits no photo: never.jpg" in said
    assert [line["photo"] for line in journal(folder)] == ["day 1/a.jpg", "old/d[1].jpg"]
    (place / "again.txt").unlink()  # the run does not need it any more
    assert command_line(place, f"resume={folder}") == 3
    assert command_line(place, f"recipe={folder / 'recipe.yaml'}", "models=miniature") == 3
    assert [line["photo"] for line in journal(max(place.glob("outputs/*_own")))] == ["day 1/a.jpg", "old/d[1].jpg"]
    snapshot, _ = load((folder / "recipe.yaml").read_text())
    assert snapshot["dataset"]["only"] == ["/old/d[[]1].jpg", "/day 1/a.jpg", "/never.jpg"]


def test_limit_and_wrong_selections_are_told_before_a_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "own.yaml").write_text("dataset: {images: photos, exclude: [draft*, old/]}\n" + STAGES)
    code, (folder,) = run(place, "limit=2")
    assert code == 3 and [line["photo"] for line in journal(folder)] == ["car.jpg", "day 1/a.jpg"]
    assert json.loads((folder / "run.json").read_text())["config"]["limit"] == 2
    (place / "empty.txt").write_text("\n")
    for word, told in {
        "limit=0": "command line: limit: should be a number of photos, 1 or more; got 0",
        "limit=x": "got 'x'",
        "dataset.limit=1": "limit",
        "dataset.only=gone.txt": "dataset.only: gone.txt: no such file",
        "dataset.only=empty.txt": "dataset.only: empty.txt: holds no name",
        "dataset.exclude=['*']": "command line: dataset.exclude: leaves no photo",
    }.items():
        assert run(place, word)[0] == 2
        assert told in capsys.readouterr().err, word


@pytest.mark.fault(
    "Recipes and command lines",
    "a recipe whose dataset.only names a text file outside its own folder, or behind a link",
    "refused before the run: the record of a run repeats the lines of such a file",
)
def test_a_recipe_cannot_read_a_private_file_as_a_list(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "secret.txt").write_text("my password\n")
    (place / "shared").mkdir()
    (place / "shared/link.txt").symlink_to(place / "secret.txt")
    for name in ("../secret.txt", "link.txt", str(place / "secret.txt")):
        recipe = place / "shared/own.yaml"
        recipe.write_text(f"dataset: {{images: ../photos, only: [{json.dumps(name)}]}}\n" + STAGES)
        assert command_line(place, f"recipe={recipe}", "models=miniature") == 2
        told = capsys.readouterr().err
        assert f"dataset.only: {name}: " in told and "password" not in told
