"""Names of photos' folders and results: in their own letters, and apart, whatever other photos there are."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from darkroom.config.recipe_form import is_name
from darkroom.config.settings import OutputKind
from darkroom.dataset import Photo
from darkroom.record import Record
from darkroom.record.naming import folder_name, is_folder_name
from darkroom.record.picture_files import PictureFiles
from darkroom.store import Result
from darkroom.system.file_names import is_portable
from support.in_process import command_line
from support.runs import journal

_part = st.text(st.sampled_from('ab_.~ -é海😀:\\"\n\u202e'), min_size=1, max_size=6).filter(lambda part: part != ".")
_names = st.builds(
    lambda folders, stem, suffix: "/".join([*folders, stem + suffix]),
    st.lists(_part, max_size=2),
    _part | st.sampled_from(["con", "Aux", "LPT1", "com¹", "results", "x" * 90, "海" * 60, "thumbnails", "a__b"]),
    st.sampled_from([".jpg", ".png", ".JPG", ".txt", ""]),
).filter(lambda name: Path(name).name not in ("", "..") and ".." not in name.split("/"))


def name_of(name: str) -> str:
    return folder_name(Photo(Path("/nowhere") / name, name))


@pytest.mark.fault(
    "Photos",
    "names in any script, with any character, of any length; names that differ in one character",
    "each has its own folder, in its own script, whatever other photos there are",
)
@given(st.sets(_names, min_size=2, max_size=2))
@settings(max_examples=500, deadline=None)
def test_every_name_gives_a_folder_of_its_own_that_any_system_can_have(names: set[str]) -> None:
    one, other = map(name_of, sorted(names))
    if len({Path(name).suffix for name in names}) == 1:  # what differs in the suffix only lies side by side, see below
        assert one != other
    for folder in (one, other):
        assert folder and len(folder.encode()) <= 110 and folder == folder.strip() and folder.isprintable()
        assert not set(folder) & set('<>:"/\\|?*.') and folder.casefold() not in ("con", "results", "thumbnails")
        assert is_portable(folder) and is_folder_name(folder)


_words = st.text(st.sampled_from("abC_-1é海"), min_size=1, max_size=8) | st.sampled_from(["con", "NUL", "com1"])
_BLOB = "0" * 64 + ".png"
_EVERYTHING = Result(
    image=_BLOB,
    mask=_BLOB,
    repainted=_BLOB,
    artifacts={"heat": _BLOB, "masked": _BLOB},
    thumbnail=_BLOB,
    mask_thumbnail=_BLOB,
)


@pytest.mark.fault(
    "Photos",
    "photos, stages and recipes with names that Windows forbids, or that differ only in case",
    "every file of the run folder has a unique name that every system allows",
)
@given(st.lists(_names, min_size=1, max_size=3), st.lists(_words, min_size=1, max_size=3), st.integers(-99, 99))
@settings(max_examples=300, deadline=None)
def test_every_file_of_a_run_has_a_name_that_windows_allows(names: list[str], stages: list[str], seed: int) -> None:
    assert all(map(is_name, stages)), "the recipe's check lets these pass"
    record, found = Record(Path("nowhere"), {}), []
    for name in names:
        picture = PictureFiles(record.photo_folder(Photo(Path("/nowhere") / name, name)))
        picture.add_photo("", _EVERYTHING)
        for number, stage in enumerate(stages, 1):
            picture.add_step(f"{number}_{stage}", f"prompt{number}-seed{seed}", "", _EVERYTHING)
        for kind in get_args(OutputKind):
            picture.add_output(kind, _BLOB)
        picture.add_framed_thumbnail(_BLOB)
        found += [f"2026-11-20_14-03-22-481_{stages[0]}/{path}" for path in picture.files]
    assert all(is_portable(part) for path in found for part in path.split("/"))
    assert len({path.casefold() for path in found}) == len(found)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Müller_01.jpg", "Müller_01"),
        ("отпуск/море.png", "отпуск__море"),
        ("写真 (1).webp", "写真 (1)"),
        ("day 1/car.JPG", "day 1__car"),
    ],
)
def test_a_name_keeps_its_letters(name: str, folder: str) -> None:
    assert name_of(name) == folder


@pytest.mark.fault(
    "Photos",
    "names that only some file systems tell apart: in case, or in how accents are encoded (from a Mac)",
    "letters are composed; neighbours get different names, whatever their order",
)
def test_names_that_some_systems_take_for_one_are_told_apart(tmp_path: Path) -> None:
    composed, decomposed = unicodedata.normalize("NFC", "Müller.jpg"), unicodedata.normalize("NFD", "Müller.jpg")

    def names(*given: str) -> list[str]:
        for name in given:
            (tmp_path / name).touch()
        return [folder_name(Photo(tmp_path / name, name)) for name in given]

    assert names(decomposed) == [unicodedata.normalize("NFC", "Müller")], "as on another system"
    both = names(composed, decomposed)
    assert len(set(both)) == 2 and names(decomposed, composed) == both[::-1]
    upper, lower, other = names("A.jpg", "a.JPG", "a.png")
    assert upper.startswith("A-") and lower.startswith("a-") and len({name.casefold() for name in (upper, lower)}) == 2
    assert other == "a~png"


def test_a_name_does_not_depend_on_the_other_photos(tmp_path: Path) -> None:
    """The same folder again with a photo more, one renamed, and one of the same name with another suffix beside it."""
    for number, name in enumerate(("b.jpg", "c.png", "c.jpg", "ä.png", "d/b.jpg")):
        (tmp_path / "photos/d").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40), (number, 0, 0)).save(tmp_path / "photos" / name, quality=100)
    mask = "stages: {m: {op: grabcut, box: [5, 5, 50, 30], iterations: 1}}"
    (tmp_path / "m.yaml").write_text(f"dataset: {{images: photos}}\non_empty: keep\n{mask}\n")

    def names() -> dict[str, str | None]:
        assert command_line(tmp_path, "recipe=m.yaml", "models=miniature") in (0, 3)
        run = max(tmp_path.glob("outputs/*_m"))
        return {line["photo"]: line["source"] for line in journal(run)}

    first = names()
    assert first["c.png"] == "c~png/0_photo.png" and first["ä.png"] == "ä/0_photo.png"
    Image.new("RGB", (60, 40)).save(tmp_path / "photos/a.jpg")
    (tmp_path / "photos/ä.png").rename(tmp_path / "photos/z.png")
    second = names()
    assert {photo: second.get(photo) for photo in first if photo != "ä.png"} == {
        photo: source for photo, source in first.items() if photo != "ä.png"
    }
