"""The contact sheet of runs that are made up here: what is where, and that nothing in a run folder upsets it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.dataset.photo import encode_png
from pipeline.errors import OutputError
from pipeline.record.journal import read_journal
from pipeline.report import contact_sheet, sheet
from pipeline.report.sheet import MAX_HEIGHT, MAX_PHOTOS

GREY = (233, 231, 227)  # of cells without a picture


class FakeRun:
    """A run folder of flat pictures: every picture is told by its colour."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[dict[str, Any]] = []
        (folder / "run.json").write_text('{"name": "car_on_mars", "started": "2026-11-20T14:03:22.481+01:00"}')

    def picture(self, name: str, colour: Any, size: tuple[int, int] = (96, 64), **options: Any) -> str:
        shape = (size[1], size[0], *np.shape(colour))
        (self.folder / name).write_bytes(encode_png(np.full(shape, colour, np.uint8), **options))
        return name

    def add(self, photo: str, **facts: Any) -> None:
        line = dict.fromkeys(["source", "result", "mask", "prompt", "negative_prompt", "seed", "error", "seconds"])
        self.lines.append({"photo": photo, **line, "status": "failed" if "error" in facts else "done", **facts})

    def sheet(self) -> np.ndarray:
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        (self.folder / "journal.jsonl").write_text(text + '{"photo": "torn", "stat')
        path = contact_sheet(self.folder)
        assert path == self.folder / "contact_sheet.png"
        return np.asarray(Image.open(path))


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path)


def boxes(sheet: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of all pixels of a colour."""
    rows, columns = np.nonzero((sheet == colour).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def colours() -> Iterator[tuple[int, int, int]]:
    yield from ((40 + 8 * step, 250 - 8 * step, 7 * step % 256) for step in range(26))


def test_prompts_are_rows_and_seeds_are_columns(run: FakeRun) -> None:
    run.picture("photo.png", (9, 99, 199))
    run.picture("mask.png", 0)
    results = list(colours())[:6]
    for number, colour in reversed(list(enumerate(results))):  # the journal's order of seeds does not matter
        run.picture(f"{number}.png", colour)
    for number in (2, 0, 1, 3, 5, 4):
        shared = {"source": "photo.png", "mask": "mask.png", "result": f"{number}.png"}
        run.add("car.png", prompt=f"prompt {number // 3}", seed=number % 3, **shared)
    sheet = run.sheet()
    found = [boxes(sheet, colour) for colour in results]
    for left, top, right, bottom in found:
        assert (right - left) / (bottom - top) == pytest.approx(1.5, abs=0.01)
        assert 300 <= right - left <= 420
    lefts, tops = [each[0] for each in found], [each[1] for each in found]
    assert lefts[:3] == lefts[3:] == sorted(lefts[:3])
    assert tops == [tops[0]] * 3 + [tops[3]] * 3
    assert tops[3] > tops[0]
    photo = boxes(sheet, (9, 99, 199))  # together with the mask below, which tints nothing
    assert photo[1] == tops[0]
    assert photo[2] < lefts[0]
    assert photo[3] == found[3][3]


def test_usual_sheet_is_wide_and_crisp(run: FakeRun) -> None:
    run.picture("photo.png", (9, 99, 199), (1536, 1024))
    run.picture("mask.png", 255, (1536, 1024))
    for seed in range(4):
        run.picture(f"{seed}.png", (200, 40, 40), (1536, 1024))
        run.add("car.png", source="photo.png", mask="mask.png", result=f"{seed}.png", prompt="mars", seed=seed)
    height, width, _ = run.sheet().shape
    assert 1800 <= width <= 2500
    assert height < 800


def test_masked_area_is_tinted(run: FakeRun) -> None:
    run.picture("photo.png", (80, 80, 80))
    mask = np.zeros((64, 96), np.uint8)
    mask[:, 48:] = 255
    (run.folder / "mask.png").write_bytes(encode_png(mask))
    run.picture("result.png", (200, 40, 40))
    run.add("car.png", source="photo.png", mask="mask.png", result="result.png", seed=1)
    sheet = run.sheet()
    right_of_photo = boxes(sheet, (80, 80, 80))
    tint = sheet[(right_of_photo[1] + right_of_photo[3]) // 2, right_of_photo[2] + 20]
    assert tint[2] > tint[1] + 50  # violet begins where the untouched grey ends


def test_failures_are_cells_with_a_reason(run: FakeRun) -> None:
    run.picture("photo.png", (9, 99, 199))
    run.picture("good.png", (200, 40, 40))
    run.add("car.png", source="photo.png", result="good.png", prompt="mars", seed=0)
    run.add("car.png", source="photo.png", prompt="mars", seed=1, error="out of memory " * 60)
    run.add("broken.png", error="the file is empty")
    run.add("nothing.png", source="photo.png", prompt="mars", seed=0, status="skipped", error="the mask is empty")
    run.add("lost.png", source="photo.png", result="deleted.png", prompt="mars", seed=0)
    sheet = run.sheet()
    left, top, right, bottom = boxes(sheet, (200, 40, 40))
    assert sheet[top + 5, right + 40].tolist() == list(GREY)
    grey = (sheet == GREY).all(axis=2).mean() * sheet[..., 0].size / ((right - left) * (bottom - top))
    assert 3 < grey < 4.1  # four of them, less their letters


def test_many_photos_and_many_seeds_stay_within_bounds(run: FakeRun) -> None:
    run.picture("mask.png", 128)
    run.picture("result.png", (200, 40, 40))
    for photo in range(200):
        source = run.picture(f"{photo}.png", (9, 99, 199), (64, 96) if photo % 2 else (96, 64))
        for seed in range(2 if photo else 300):
            run.add("same name.png", source=source, mask="mask.png", result="result.png", prompt="x", seed=seed)
    sheet = run.sheet()
    assert sheet.shape[0] <= MAX_HEIGHT
    assert sheet.shape[1] <= 3100


def test_only_the_photos_shown_are_opened(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    thumbnail = sheet.thumbnail
    monkeypatch.setattr(sheet, "thumbnail", lambda path, box: opened.append(path.name) or thumbnail(path, box))
    for photo in range(200):
        run.picture(f"{photo}.png", (9, 99, 199))
        run.add(f"{photo}.jpg", source=f"{photo}.png", status="failed", error="no")
    run.sheet()
    assert opened == [f"{photo}.png" for photo in range(MAX_PHOTOS)]


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (5000, 7)])
def test_any_shape_of_photo(run: FakeRun, size: tuple[int, int]) -> None:
    run.picture("photo.png", (9, 99, 199), size, alpha=np.full(size[::-1], 128, np.uint8), icc=b"broken" * 40)
    run.picture("mask.png", 255, size)
    run.add(
        "thin\n\udce9 名前.png", source="photo.png", mask="mask.png", result="photo.png", prompt="é" * 999, seed=None
    )
    run.add("thin\n\udce9 名前.png", source="photo.png", mask="mask.png", seed=2, error="x" * 999)
    assert run.sheet().shape[1] < 2600


def test_wide_gamut_pictures_are_shown_in_srgb(run: FakeRun) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"tmp.").replace(b"bXYZ", b"rXYZ").replace(b"tmp.", b"bXYZ")
    run.picture("photo.png", (255, 0, 0), icc=swapped)  # with this profile red means blue
    run.add("car.png", source="photo.png", error="no")
    assert (np.abs(run.sheet().astype(int) - (0, 0, 255)).max(axis=2) < 4).any()


def test_run_without_pictures_and_without_facts(run: FakeRun) -> None:
    (run.folder / "run.json").unlink()
    assert run.sheet().ndim == 3


def test_journal(run: FakeRun) -> None:
    run.add("a.png", seed=1)
    run.sheet()
    assert [line["photo"] for line in read_journal(run.folder)] == ["a.png"]
    (run.folder / "journal.jsonl").unlink()
    with pytest.raises(OutputError, match="journal"):
        contact_sheet(run.folder)
