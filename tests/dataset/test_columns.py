"""Columns without a table: a photo's stem, folder, caption and date."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from darkroom.dataset import Dataset, Photo
from darkroom.errors import PhotoError
from support.in_process import command_line
from support.runs import journal

RECIPE = """
dataset: {images: photos}
stages:
  mask: {op: mask_file, folder: "masks/${item.folder}"}
  inpaint: {prompt: "${item.caption}, ${item.stem}", steps: 1, strength: 1}
"""


def photo(path: Path, dates: dict[int, str] | None = None) -> Photo:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    for tag, text in (dates or {}).items():
        (exif if tag == ExifTags.Base.DateTime else exif.get_ifd(ExifTags.IFD.Exif))[tag] = text
    Image.new("RGB", (64, 48), (90, 140, 60)).save(path, exif=exif)
    return Photo(path, path.name)


@pytest.mark.parametrize(
    "data, caption",
    [
        (b"a red car", "a red car"),
        (b"\xef\xbb\xbf  a red car,\r\n\tM\xc3\xbcnchen \n", "a red car, München"),
        ("eine Straße".encode("utf-16"), "eine Straße"),
        (b"caf\xe9", "caption: a.txt: not UTF-8 text"),
        (b" \n", "caption: a.txt: is empty"),
        (b"a\0b", "caption: a.txt: holds a null character"),
        (b"x" * 100_001, "caption: a.txt: cannot be read: larger than 100,000 bytes"),
        (None, "caption: there is no a.txt beside the photo"),
    ],
)
def test_a_caption_is_the_text_beside_the_photo(tmp_path: Path, data: bytes | None, caption: str) -> None:
    one = photo(tmp_path / "a.jpg")
    if data is not None:
        (tmp_path / "a.txt").write_bytes(data)
    try:
        assert one.columns(["caption"]) == {"caption": caption}
    except PhotoError as error:
        assert str(error) == caption


def test_a_suffix_in_capitals_is_one_too(tmp_path: Path) -> None:
    one = photo(tmp_path / "J.PNG")
    (tmp_path / "J.TXT").write_text("a red car")
    assert one.columns(["caption"]) == {"caption": "a red car"}
    (tmp_path / "J.txt").write_text("a bus")
    assert one.columns(["caption"]) == {"caption": "a bus"}


@pytest.mark.fault(
    "Prompts",
    "a side-car caption that is a link to another file, or a pipe",
    "not followed: that photo fails with the reason",
)
def test_a_caption_is_not_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "private").write_text("a secret")
    one, other = photo(tmp_path / "in/a.png"), photo(tmp_path / "in/b.png")
    (tmp_path / "in/a.txt").symlink_to(tmp_path / "private")
    os.mkfifo(tmp_path / "in/b.txt")
    for each, reason in ((one, "it is a link"), (other, "a pipe or device")):
        with pytest.raises(PhotoError, match=reason):
            each.columns(["caption"])


def test_the_date_is_that_of_the_picture_and_then_that_of_the_file(tmp_path: Path) -> None:
    taken, changed = ExifTags.Base.DateTimeOriginal.value, ExifTags.Base.DateTime.value
    both = photo(tmp_path / "a.jpg", {taken: "2024:02:29 08:00:00", changed: "2026:01:01 00:00:00"})
    assert both.columns(["date"]) == {"date": "2024-02-29"}
    assert photo(tmp_path / "b.png", {changed: "2026:01:01 00:00:00"}).columns(["date"]) == {"date": "2026-01-01"}
    with pytest.raises(PhotoError, match="date: the photo has no EXIF date"):
        photo(tmp_path / "c.tif", {taken: "yesterday"}).columns(["date"])


def test_a_column_of_the_table_comes_first(tmp_path: Path) -> None:
    photo(tmp_path / "red/a.png")
    (tmp_path / "red/a.txt").write_text("from the file")
    (tmp_path / "t.csv").write_text("image,stem,price\nred/a.png,own,7\n")
    dataset = Dataset(manifest=str(tmp_path / "t.csv"))
    dataset.check(["stem", "caption", "folder"])  # the table need not have them
    (one,) = dataset.photos()
    found = {"stem": "own", "caption": "from the file", "folder": "red", "price": 7}
    assert one.columns([*found, "nowhere"]) == found


def test_captions_make_pictures_and_a_missing_one_costs_its_photo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("red/a", "red/b", "blue/c"):
        photo(tmp_path / f"photos/{name}.png")
        mask = np.zeros((48, 64), np.uint8)
        mask[10:30, 10:30] = 255
        path = tmp_path / "masks" / name.partition("/")[0] / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
    (tmp_path / "own.yaml").write_text(RECIPE)
    words = "recipe=own.yaml", "models=miniature"
    assert command_line(tmp_path, *words) == 2
    told = "own.yaml: stages: no photo has all columns that they use: blue/c.png: caption: there is no c.txt beside"
    assert capsys.readouterr().err.startswith(told)
    (tmp_path / "photos/red/a.txt").write_text("a truck")
    (tmp_path / "photos/blue/c.txt").write_text("snow")
    (tmp_path / "photos/blue/notes.txt").write_text("not a caption")
    capsys.readouterr()
    assert command_line(tmp_path, *words) == 3
    assert "skipped 1 file: 1 text or table (.txt)" in capsys.readouterr().out
    (run,) = tmp_path.glob("outputs/*_own")
    lines = {line["photo"]: line for line in journal(run)}
    assert lines["red/a.png"]["prompt"] == "a truck, a" and lines["blue/c.png"]["prompt"] == "snow, c"
    assert lines["red/b.png"]["error"] == "caption: there is no b.txt beside the photo"
    (tmp_path / "photos/red/a.txt").unlink()  # the record has its text
    assert command_line(tmp_path, f"reproduce={run}") == 0
    (tmp_path / "photos/red/b.TXT").write_text("sea")
    assert command_line(tmp_path, f"resume={run}") == 0
    statuses = {line["photo"]: line["status"] for line in journal(run)}
    assert set(statuses.values()) == {"done"}
