"""The contact sheet of runs that are made up here: what is where, and that nothing in a run folder upsets it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.errors import RecordError
from darkroom.record import read_journal
from darkroom.report import contact_sheet, run_page, sheet
from darkroom.report.sheet import MAX_HEIGHT, MAX_PHOTOS, further_sheets
from darkroom.system.files import Folder
from support.fake_run_folder import GREY, FakeRun, boxes, data_of, read


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path)


def drawn(run: FakeRun) -> np.ndarray:
    """The pixels of a run's sheet."""
    path = contact_sheet(run.write())
    assert path == run.folder / "contact_sheet.jpg"
    return read(path)


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
    sheet = drawn(run)
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


def test_prompts_with_one_picture_each_share_a_row(run: FakeRun) -> None:
    run.picture("photo.png", (9, 99, 199))
    results = list(colours())[:10]
    for number, colour in enumerate(results):
        run.picture(f"{number}.png", colour)
        run.add("car.png", source="photo.png", result=f"{number}.png", prompt=f"prompt {9 - number}", seed=number % 2)
    sheet = drawn(run)
    photo, found = boxes(sheet, (9, 99, 199)), [boxes(sheet, colour) for colour in results]
    lefts, tops = [each[0] for each in found], [each[1] for each in found]
    assert tops == [photo[1]] * 8 + [tops[8]] * 2 and tops[8] > found[0][3]
    assert [photo[0], *lefts[:8]] == sorted([photo[0], *lefts[:8]]) and lefts[8:] == lefts[:2]  # the recipe's order


def test_usual_sheet_is_wide_and_crisp(run: FakeRun) -> None:
    run.picture("photo.png", (9, 99, 199), (1536, 1024))
    run.picture("mask.png", 255, (1536, 1024))
    for seed in range(4):
        run.picture(f"{seed}.png", (200, 40, 40), (1536, 1024))
        run.add("car.png", source="photo.png", mask="mask.png", result=f"{seed}.png", prompt="mars", seed=seed)
    height, width, _ = drawn(run).shape
    assert 1800 <= width <= 2500
    assert height < 800


def test_masked_area_is_tinted(run: FakeRun) -> None:
    run.picture("photo.png", (80, 80, 80))
    run.picture("mask.png", 0)
    with Image.open(run.folder / "thumbnails/mask.jpg") as mask:
        mask.paste(255, (48, 0, 96, 64))
        mask.save(run.folder / "thumbnails/mask.jpg", "PNG")
    run.picture("result.png", (200, 40, 40))
    run.add("car.png", source="photo.png", mask="mask.png", result="result.png", seed=1)
    sheet = drawn(run)
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
    sheet = drawn(run)
    left, top, right, bottom = boxes(sheet, (200, 40, 40))
    assert sheet[top + 5, right + 40].tolist() == list(GREY)
    grey = (sheet == GREY).all(axis=2).mean() * sheet[..., 0].size / ((right - left) * (bottom - top))
    assert 3 < grey < 4.1  # four of them, less their letters


def test_damaged_thumbnails_cost_their_cells(run: FakeRun) -> None:
    run.picture("photo.png", (9, 99, 199))
    for name in ("cut.png", "mask.png"):
        run.picture(name, (200, 40, 40), (400, 300))
        small = run.folder / f"thumbnails/{name}".replace("png", "jpg")
        small.write_bytes(small.read_bytes()[:300])
    run.add("car.png", source="photo.png", mask="mask.png", result="cut.png", seed=0)
    sheet = drawn(run)
    left, top, right, bottom = boxes(sheet, (9, 99, 199))
    grey = (sheet == GREY).all(axis=2).sum() / ((right - left) * (bottom - top))
    assert 1.5 < grey < 2.1


def test_many_photos_and_many_seeds_stay_within_bounds(run: FakeRun) -> None:
    run.picture("mask.png", 128)
    run.picture("result.png", (200, 40, 40))
    for photo in range(200):
        source = run.picture(f"{photo}.png", (9, 99, 199), (64, 96) if photo % 2 else (96, 64))
        for seed in range(2 if photo else 300):
            run.add("same name.png", source=source, mask="mask.png", result="result.png", prompt="x", seed=seed)
    sheet = drawn(run)
    assert sheet.shape[0] <= MAX_HEIGHT
    assert sheet.shape[1] <= 3100


def test_only_the_photos_shown_are_opened(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    thumbnail = sheet.thumbnail

    def note(folder: Folder, path: str, box: tuple[int, int]) -> Image.Image:
        opened.append(Path(path).name)
        return thumbnail(folder, path, box)

    monkeypatch.setattr(sheet, "thumbnail", note)
    monkeypatch.setattr(sheet, "MAX_SHEETS", 2)
    for photo in range(200):
        run.picture(f"{photo}.png", (9, 99, 199))
        run.add(f"{photo}.jpg", source=f"{photo}.png", status="failed", error="no")
    drawn(run)
    assert opened == [f"{photo}.jpg" for photo in range(2 * MAX_PHOTOS)]


def test_further_photos_go_to_further_sheets(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each photo is on one sheet, and what an earlier report had too much is removed."""
    monkeypatch.setattr(sheet, "MAX_PHOTOS", 4)
    monkeypatch.setattr(sheet, "MAX_SHEETS", 3)
    shown = list(colours())[:10]
    for number, colour in enumerate(shown):
        source = run.picture(f"{number}.png", colour)
        run.add(f"{number}.jpg", source=source, prompt="x", status="failed", error="no")
    drawn(run)
    names = ["contact_sheet.jpg", "contact_sheet_2.jpg", "contact_sheet_3.jpg"]
    assert further_sheets(run.folder) == names[1:]
    for start, name in zip((0, 4, 8), names, strict=True):
        page = read(run.folder / name)
        found = [bool((np.abs(page - np.int16(colour)) <= 3).all(axis=2).any()) for colour in shown]
        assert found == [start <= number < start + 4 for number in range(10)]
    assert data_of(run_page(run.folder))["files"][:3] == names
    del run.lines[5:]
    (run.folder / "contact_sheet_of_mine.jpg").write_bytes(b"mine")
    drawn(run)
    assert further_sheets(run.folder) == names[1:2] and (run.folder / "contact_sheet_of_mine.jpg").exists()


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (5000, 7)])
def test_any_shape_of_photo(run: FakeRun, size: tuple[int, int]) -> None:
    run.picture("photo.png", (9, 99, 199), size, alpha=np.full(size[::-1], 128, np.uint8))
    run.picture("mask.png", 255, size)
    run.add(
        "thin\n\udce9 名前.png", source="photo.png", mask="mask.png", result="photo.png", prompt="é" * 999, seed=None
    )
    run.add("thin\n\udce9 名前.png", source="photo.png", mask="mask.png", seed=2, error="x" * 999)
    assert drawn(run).shape[1] < 2600


def test_run_without_pictures_and_without_facts(run: FakeRun) -> None:
    (run.folder / "run.json").unlink()
    assert drawn(run).ndim == 3


def test_journal(run: FakeRun) -> None:
    run.add("a.png", seed=1)
    drawn(run)
    assert [line["photo"] for line in read_journal(run.folder)] == ["a.png"]
    (run.folder / "journal.jsonl").unlink()
    with pytest.raises(RecordError, match="journal"):
        contact_sheet(run.folder)
