"""Which photos there are, in which order and under which names, and what is told when there are none."""

from __future__ import annotations

import logging
import os
import re
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from PIL import Image
from pydantic import ValidationError

from darkroom.dataset import Dataset
from darkroom.dataset.dataset import Photo, lines_left_out
from darkroom.errors import PhotoError, RecipeError
from darkroom.imaging.heif import register


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder of photos with everything else that such folders hold."""
    root = tmp_path / "shoot"
    for name in ("b.jpg", "a.PNG", 'day 2/it\'s "3".webp', "day 2/🌵\n.png", "-x.tif", "Z/deep/er/q.bmp"):
        touch(root / name)
    for name in ("notes.txt", "Thumbs.db", "raw/1.CR2", "raw/2.cr2", ".DS_Store", ".trash/old.jpg", "day 2/._a.jpg"):
        touch(root / name)
    touch(root / "clip.mov")
    return root


def touch(path: Path, content: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(dataset: Dataset) -> list[str]:
    return [photo.name for photo in dataset.photos()]


def problems(**given: object) -> tuple[str, ...]:
    with pytest.raises(RecipeError) as failure:
        Dataset(**given).check()
    return failure.value.problems


def test_folder_in_fixed_order_without_what_is_no_photo(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = Dataset(images=str(place))
    dataset.check()
    expected = ["-x.tif", "a.PNG", "b.jpg", 'day 2/it\'s "3".webp', "day 2/🌵\n.png", "Z/deep/er/q.bmp"]
    assert names(dataset) == expected
    assert dataset.count() == 6
    told = "skipped 4 files: 2 camera raw (.cr2), 1 text or table (.txt), 1 video (.mov); camera raw cannot be read: "
    told += "save them as JPEG, PNG or TIFF"
    assert dataset.left_out() == [told] and lines_left_out([dataset, Dataset(images=str(place))]) == [told]
    assert caplog.messages == []


@pytest.mark.fault(
    "Photos",
    "folders with the files of operating systems and file servers: @eaDir, #recycle, __MACOSX, Thumbs.db,"
    " desktop.ini, .DS_Store",
    "these count neither as photos nor as skipped files",
)
def test_what_systems_leave_beside_photos_is_passed_over(tmp_path: Path) -> None:
    for name in ("@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "#recycle/b.jpg", "__MACOSX/._a.jpg", "$RECYCLE.BIN/c.jpg"):
        touch(tmp_path / name)
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "a.jpg", "deep/@eaDir/d.jpg", "deep/eaDir.jpg"):
        touch(tmp_path / name)
    dataset = Dataset(images=str(tmp_path))
    assert names(dataset) == ["a.jpg", "deep/eaDir.jpg"] and dataset.left_out() == []
    assert names(Dataset(images=f"{tmp_path}/*/*.jpg")) == ["deep/eaDir.jpg"]


@pytest.mark.fault(
    "Photos",
    "HEIC files without the extra darkroom[heic]",
    "one line before the run counts them and says how to install it; each fails with the same advice",
)
def test_photos_that_need_an_extra_are_told_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    touch(tmp_path / "b.HEIF")
    touch(tmp_path / "c.jpg")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    register.cache_clear()
    dataset = Dataset(images=str(tmp_path))
    (line,) = dataset.left_out()
    assert re.fullmatch(r"2 photos cannot be read: HEIC needs pillow-heif: pip install .*\[heic\]'", line)
    with pytest.raises(PhotoError, match=r"HEIC needs pillow-heif: pip install"):
        next(dataset.photos()).load()


def test_files_globs_and_lists(place: Path) -> None:
    assert names(Dataset(images=f"{place}/*.jpg")) == ["b.jpg"]
    assert names(Dataset(images=f"{place}/day*/*")) == ['day 2/it\'s "3".webp', "day 2/🌵\n.png"]
    assert names(Dataset(images=f"{place}/**/*.[bt]*")) == ["-x.tif", "Z/deep/er/q.bmp"]
    assert names(Dataset(images=f"{place}/Z/**")) == ["deep/er/q.bmp"]
    several = Dataset(images=[f"{place}/b.jpg", f"{place}/Z", f"{place}/a.PNG"])
    assert names(several) == ["b.jpg", "Z/deep/er/q.bmp", "a.PNG"]
    assert names(Dataset(images=f"{place}/notes.txt")) == ["notes.txt"]  # a named file is tried, whatever its name


def test_signs_of_globs_in_names_that_exist(tmp_path: Path) -> None:
    touch(tmp_path / "[1]" / "a?[b].png")
    touch(tmp_path / "1" / "wrong.png")
    assert names(Dataset(images=f"{tmp_path}/[1]")) == ["a?[b].png"]
    assert names(Dataset(images=f"{tmp_path}/[1]/a?[b].png")) == ["a?[b].png"]


def test_same_names_in_two_folders_stay_apart(tmp_path: Path) -> None:
    for name in ("one/a.jpg", "one/a.png", "two/a.jpg", "two/A.jpg"):
        touch(tmp_path / name)
    found = names(Dataset(images=[f"{tmp_path}/one", f"{tmp_path}/two"]))
    assert found == ["one/a.jpg", "one/a.png", "two/A.jpg", "two/a.jpg"]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\xe9.png"
    Image.new("RGB", (3, 2)).save(os.fsdecode(path))
    (photo,) = Dataset(images=str(tmp_path)).photos()
    assert os.fsencode(photo.name) == b"\xff\xe9.png"
    assert photo.load().pixels.shape == (2, 3, 3)


def test_links_and_special_files(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "circle").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    photos = list(Dataset(images=str(tmp_path)).photos())
    assert [photo.name for photo in photos] == ["gone.png", "a/1.png"]
    with pytest.raises(PhotoError, match="No such file"):
        photos[0].load()
    assert "neither a file nor a folder" in problems(images=f"{tmp_path}/pipe.png")[0]


def test_results_of_runs_are_no_photos_unless_named(tmp_path: Path) -> None:
    run, sweep = "outputs/run", "outputs/sweep"
    for name in ("a.png", f"{run}/0_photo.png", f"{run}/journal.jsonl", f"{sweep}/sheet.png", f"{sweep}/sweep.json"):
        touch(tmp_path / name)
    assert names(Dataset(images=str(tmp_path))) == ["a.png"]
    assert names(Dataset(images=f"{tmp_path}/outputs/run")) == ["0_photo.png"]
    assert names(Dataset(images=f"{tmp_path}/outputs/*/0_*.png")) == ["run/0_photo.png"]


def test_unreadable_folder_costs_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scandir = os.scandir

    def forbidding(path: Path) -> object:
        if path.name in ("day 2", "locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("darkroom.dataset.listing.os.scandir", forbidding)
    assert names(Dataset(images=str(place))) == ["-x.tif", "a.PNG", "b.jpg", "Z/deep/er/q.bmp"]
    assert caplog.messages[0] == f"{place}/day 2: cannot be read, skipped: Permission denied"
    (place / "locked").mkdir()
    assert "Permission denied" in problems(images=f"{place}/locked")[0]


def test_numbers_in_names_count_as_numbers(tmp_path: Path) -> None:
    expected = ["img1.jpg", "IMG1b.jpg", "img02.jpg", "img2.jpg", "img10.jpg", "Straße 3.jpg", "x.jpg"]
    expected += ["9/a2.jpg", "9/a10.jpg", "10/a.jpg"]
    for name in sorted(expected):
        touch(tmp_path / name)
    assert names(Dataset(images=str(tmp_path))) == expected


def test_first_photo_comes_before_the_listing_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        touch(tmp_path / f"{number:02}" / "a.jpg")
    read = []
    scandir = os.scandir
    monkeypatch.setattr("darkroom.dataset.listing.os.scandir", lambda path: read.append(path) or scandir(path))
    photos = Dataset(images=str(tmp_path)).photos()
    assert next(photos).name == "00/a.jpg"
    assert len(read) == 2
    assert sum(1 for _ in photos) == 39
    assert len(read) == 41


class FakeEntry:
    """What `os.scandir` yields; 20,000 real files would take the test half a minute to make."""

    def __init__(self, name: str) -> None:
        self.name = name

    def is_dir(self) -> bool:
        return not self.name.endswith(".jpg")

    def is_file(self) -> bool:
        return not self.is_dir()

    def is_symlink(self) -> bool:
        return False


def test_memory_is_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders, files = [f"{number:03}" for number in range(100)], [f"{number:03}.jpg" for number in range(200)]
    contents = {tmp_path: folders} | {tmp_path / folder: files for folder in folders}
    monkeypatch.setattr("darkroom.dataset.listing.os.scandir", lambda path: nullcontext(map(FakeEntry, contents[path])))
    rows = "".join(f'{number}.jpg,"a caption, rather long, number {number}","[[1, 2]]"\n' for number in range(20_000))
    manifest = touch(tmp_path / "m.csv", b"image,caption,points\n" + rows.encode())
    for dataset in (Dataset(images=str(tmp_path)), Dataset(manifest=str(manifest))):
        tracemalloc.start()
        assert dataset.count() == 20_000
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4_000_000  # 20,000 photos in a list are 12 MB


@pytest.mark.parametrize("given", [{}, {"images": "a", "manifest": "b"}, {"images": []}, {"image": "a"}, {"images": 7}])
def test_one_source_is_given(given: dict) -> None:
    both = len(given) == 2
    with pytest.raises(ValidationError, match=r"both given; add dataset\.images=null" if both else None):
        Dataset(**given)


def test_nothing_there_is_told_at_once(place: Path) -> None:
    (place / "none").mkdir()
    given = [f"{place}/gone", f"{place}/none", f"{place}/raw", f"{place}/*.xyz", f"{place}/**/a/**/b", f"{place}/b.jpg"]
    gone, none, raw, glob, stars = problems(images=given)
    assert gone == f"dataset.images: {place}/gone: no such file or folder"
    assert none.startswith(f"dataset.images: {place}/none: no photos found, looking for .png")
    assert "; skipped 2 files: 2 camera raw (.cr2); camera raw cannot be read: save them as JPEG" in raw
    assert f"{place}/*.xyz: no photos found, " in glob
    assert "can have `**` only once" in stars
    for key in ("images", "manifest"):
        assert "cannot be read: File name too long" in problems(**{key: f"{place}/{'x' * 300}.csv"})[0]


CSV = """\ufeffimage, points,caption,seed,flag,empty,text,index
a.jpg,"[[330, 300]]","1984 style, red",12,true,,[not json],007
../other/b.jpg,-1.5,null,1e3,True,  ,NaN,"{""a"": 1}"

a.jpg,[],"two
lines","""

CSV_ITEMS = [
    {"points": [[330, 300]], "caption": "1984 style, red", "seed": 12, "flag": True, "empty": None}
    | {"text": "[not json]", "index": "007"},
    {
        "points": -1.5,
        "caption": None,
        "seed": 1000.0,
        "flag": "True",
        "empty": None,
        "text": "NaN",
        "index": '{"a": 1}',
    },
    {"points": [], "caption": "two\nlines", "seed": None, "flag": None, "empty": None, "text": None, "index": "x"},
]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_csv(tmp_path: Path, line_end: str) -> None:
    text = (CSV + ",,,,x\n").replace("\n", line_end)
    path = touch(tmp_path / "list" / "m.csv", text.encode())
    touch(tmp_path / "other" / "b.jpg")
    dataset = Dataset(manifest=str(path))
    dataset.check(["caption"])
    with pytest.raises(RecipeError, match=r"m\.csv: no column 'captoin', did you mean 'caption'"):
        dataset.check(["captoin"])
    photos = list(dataset.photos())
    assert [photo.name for photo in photos] == ["a.jpg", "../other/b.jpg", "a.jpg"]
    assert [photo.path for photo in photos] == [path.parent / photo.name for photo in photos]
    items = [dict(photo.item) for photo in photos]
    items[2]["caption"] = items[2]["caption"].replace("\r", "")
    assert items == CSV_ITEMS
    assert [type(item["seed"]) for item in items[:2]] == [int, int]  # 12 and 1e3


def outcome(photo: Photo) -> str:
    try:
        photo.load()
    except PhotoError as error:
        return f"{photo.name}: {error}"
    return "loaded"


def test_a_bad_row_costs_one_photo(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2)).save(tmp_path / "ok.png")
    lines = [b"image,caption", b"ok.png,first", b"ok.png,red, dusty", b",no image", b'"ok.png"x,y', b"ok.png,caf\xe9"]
    lines += [b"gone.png,x", b"ok.png,last", b'ok.png,"open', b"ok.png,lost"]
    path = touch(tmp_path / "m.csv", b"\n".join(lines))
    photos = list(Dataset(manifest=str(path)).photos())
    assert [outcome(photo).removeprefix("m.csv:") for photo in photos] == [
        "loaded",
        '3: 3 cells for 2 columns: a text with `,` in it needs quotes (") around it',
        "4: no `image`",
        "5: not CSV: ',' expected after '\"'",
        "6: not UTF-8 text: in Excel, save as `CSV UTF-8` or .xlsx",
        "gone.png: image: cannot be read: No such file or directory",
        "loaded",
        '9: a quote (") opened here is not closed, so the rows after it cannot be separated',
    ]
    assert photos[1].name == "m.csv:3"


def test_jsonl_keeps_values_and_survives_bad_rows(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2)).save(tmp_path / "ok.png")
    rows = ['{"image": "ok.png", "points": [[1, 2]], "prompt": "1984", "none": null}', "{broken", "[1]", "", '{"a": 1}']
    path = touch(tmp_path / "m.jsonl", ("\ufeff" + "\r\n".join(rows)).encode())
    dataset = Dataset(manifest=str(path))
    dataset.check()
    photos = list(dataset.photos())
    assert photos[0].item == {"points": [[1, 2]], "prompt": "1984", "none": None}
    reasons = [outcome(photo).removeprefix("m.jsonl:") for photo in photos[1:]]
    assert reasons[0].startswith("2: not JSON: Expecting property name")
    assert reasons[1:] == ["3: not a JSON object: {...}", "5: no `image`"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("gone.csv", None, "no such file"),
        ("m.ods", b"PK", ".csv, .tsv, .jsonl or .xlsx"),
        ("m.xlsx", b"PK", "not an .xlsx file, or damaged"),
        ("m.csv", b"file;points\na;b\n", "no column `image`; its columns: file, points"),
        ("m.csv", b"Image;points\na;b\n", "no column `image`, did you mean `Image`?; its columns: Image, points"),
        ("m.csv", b"x" * 100_000 + b",b\n", "its columns: " + "x" * 60 + ", b"),
        ("m.csv", "image,a\nx,1\n".encode("utf-32"), "UTF-32 text: save it as UTF-8"),
        ("m.csv", "image,a\nx,1\n".encode("utf-32-le"), "looks like UTF-16 or UTF-32 without a byte order mark"),
        ("m.csv", b"", "no rows"),
        ("m.csv", b"image,points\n", "no rows"),
        ("m.csv", b"image,a,a\nx,1,2\n", "two columns are called `a`"),
        ("m.csv", "image,a\n".encode("utf-16"), "no rows"),
        ("m.csv", "image,a\nx,1\n".encode("utf-16-le"), "looks like UTF-16 or UTF-32 without a byte order mark"),
        ("m.csv", "image,größe\nx,1\n".encode("cp1252"), "not UTF-8 text: in Excel, save as `CSV UTF-8` or .xlsx"),
        ("m.csv", b"image,a\n1,2,3\n4,5,6\n", "no usable row; line 2: 3 cells"),
        ("m.jsonl", b'{"img": "a"}\n', "no usable row; line 1: no `image`"),
    ],
)
def test_manifests_without_a_photo(tmp_path: Path, name: str, content: bytes | None, reason: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    (problem,) = problems(manifest=str(path))
    assert problem.startswith(f"dataset.manifest: {path}: ")
    assert reason in problem


def test_contents_count_not_suffixes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.new("RGB", (3, 2)).save(tmp_path / "really.png", "JPEG")
    (photo,) = Dataset(images=f"{tmp_path}/really.png").photos()
    with caplog.at_level(logging.WARNING):
        assert photo.load().format == "JPEG"
    assert caplog.messages == ["really.png: is a JPEG file, despite its name"]
