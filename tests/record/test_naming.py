"""Names of photos' folders and results: in their own letters, and apart, whatever other photos there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from darkroom.dataset import Photo
from darkroom.record.naming import folder_name
from support.in_process import command_line
from support.runs import journal

_part = st.text(st.sampled_from('ab_.~ -é海😀:\\"\n\u202e'), min_size=1, max_size=6).filter(lambda part: part != ".")
_names = st.builds(
    lambda folders, stem, suffix: "/".join([*folders, stem + suffix]),
    st.lists(_part, max_size=2),
    _part | st.sampled_from(["con", "results", "x" * 90, "海" * 60, "thumbnails", "a__b"]),
    st.sampled_from([".jpg", ".png", ".JPG", ".txt", ""]),
).filter(lambda name: Path(name).name not in ("", "..") and ".." not in name.split("/"))


def name_of(name: str) -> str:
    return folder_name(Photo(Path("/nowhere") / name, name))


@pytest.mark.fault("Photos", "names in any script, with any sign, of any length; names that differ in a sign only",
                   "each has a folder of its own, in its own letters, whatever other photos there are")  # fmt: skip
@given(st.sets(_names, min_size=2, max_size=2))
@settings(max_examples=500, deadline=None)
def test_every_name_gives_a_folder_of_its_own_that_any_system_can_have(names: set[str]) -> None:
    one, other = map(name_of, sorted(names))
    if len({Path(name).suffix for name in names}) == 1:  # what differs in the suffix only lies side by side, see below
        assert one != other
    for folder in (one, other):
        assert folder and len(folder.encode()) <= 110 and folder == folder.strip() and folder.isprintable()
        assert not set(folder) & set('<>:"/\\|?*.') and folder.casefold() not in ("con", "results", "thumbnails")


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
