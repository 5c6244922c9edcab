"""What shows a run that has made masks and no pictures, and what gates have said of either."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.imaging.png import encode_png
from darkroom.imaging.thumbnails import mask_thumbnail
from darkroom.report import contact_sheet, run_page, sheet
from darkroom.system.files import Folder
from support.fake_run_folder import GREY, FakeRun, boxes, data_of, read

GREEN, BLUE = (0, 160, 0), (20, 60, 200)
RED = (168, 50, 31)  # of warnings


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path / "run")


def mask(run: FakeRun, name: str, share: float) -> str:
    """A mask that is white at the left; returns its path."""
    pixels = np.zeros((64, 96), np.uint8)
    pixels[:, : round(96 * share)] = 255
    run.picture(name, 0)
    for path, data in ((name, encode_png(pixels)), (f"thumbnails/{Path(name).stem}.jpg", mask_thumbnail(pixels))):
        (run.folder / path).write_bytes(data)
    return name


def add(run: FakeRun, name: str, colour: tuple[int, int, int], share: float, **more: object) -> None:
    """A photo of which a mask was made and nothing else."""
    source = run.picture(f"{name}.png", colour)
    result = None if "error" in more else source
    run.add(f"{name}.jpg", source=source, mask=mask(run, f"{name}_mask.png", share), result=result, **more)


def test_a_sheet_of_masks_lays_each_over_its_photo(run: FakeRun) -> None:
    add(run, "a", GREEN, 0.5)
    add(run, "b", BLUE, 0.25)
    drawn = read(contact_sheet(run.write()))
    for colour, share in ((GREEN, 0.5), (BLUE, 0.25)):
        left, top, right, bottom = boxes(drawn, colour)  # what the mask and its outline leave
        width = (bottom - top) * 96 / 64
        assert (right - left) / width == pytest.approx(1 - share, abs=0.03)
        tint = drawn[(top + bottom) // 2, round(left - 0.1 * width)]
        assert tint[2] > tint[1] + 50  # violet
        outline = drawn[(top + bottom) // 2, left - 4 : left]
        assert (outline[:, 1] < 60).any() and (outline[:, 2] > 150).any()
    assert (drawn == GREY).all(axis=2).sum() == 0  # no cell without a picture


def test_what_is_flagged_comes_first_though_there_is_no_room_for_all(
    run: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    thumbnail = sheet.thumbnail

    def note(folder: Folder, path: str, box: tuple[int, int]) -> Image.Image:
        opened.append(Path(path).name)
        return thumbnail(folder, path, box)

    monkeypatch.setattr(sheet, "thumbnail", note)
    monkeypatch.setattr(sheet, "MAX_SHEETS", 1)
    for photo in range(500):
        add(run, str(photo), GREEN, 0.5, flags=["size: too large"] if photo >= 490 else [])
    assert read(contact_sheet(run.write())).shape[0] <= sheet.MAX_HEIGHT
    first = [f"{photo}.jpg" for photo in [*range(490, 500), *range(490)]]
    assert opened == first[: len(opened)] and 200 < len(opened) <= sheet.MAX_MASKS


def test_a_photo_that_was_stopped_still_shows_its_mask(run: FakeRun) -> None:
    add(run, "a", GREEN, 0.5, status="skipped", error="size: the mask covers 50 % of the photo")
    drawn = read(contact_sheet(run.write()))
    left, top, right, bottom = boxes(drawn, GREEN)
    assert (right - left) / ((bottom - top) * 1.5) == pytest.approx(0.5, abs=0.03)
    red = boxes(drawn[bottom + 9 :], RED)  # the letters of the reason
    assert red[3] - red[1] > 10


def test_a_flag_stands_out_on_the_sheet_of_a_whole_run(run: FakeRun) -> None:
    run.picture("photo.png", GREEN)
    for seed in range(2):
        shared = {"source": "photo.png", "result": run.picture(f"{seed}.png", BLUE), "prompt": "mars"}
        run.add("car.jpg", **shared, seed=seed, flags=["size: too large"] * seed)
    drawn = read(contact_sheet(run.write()))
    _, top, right, bottom = boxes(drawn, RED)
    assert top < boxes(drawn, GREEN)[1]  # the reason, above the photo
    first, _, last, end = boxes(drawn, BLUE)
    assert right == pytest.approx(last, abs=6) and bottom == pytest.approx(end, abs=6)  # a frame, of the second alone
    middle = drawn[(boxes(drawn, BLUE)[1] + end) // 2]
    assert (np.abs(middle[: (first + last) // 2] - RED).max(axis=1) > 3).all()


def test_a_page_tells_of_masks_flags_and_warnings(run: FakeRun) -> None:
    settings = [{"stage": "find", "op": "text"}, {"stage": "size", "op": "gate"}]
    bare = {"key": "", "empty": False, "seconds": 0.1}
    figures = [bare, {**bare, "figures": {"confidence": 0.75}}, {**bare, "figures": {"coverage": 0.5}}]
    add(run, "a", GREEN, 0.5, flags=["size: too large"], settings=settings, steps=figures)
    add(run, "b", BLUE, 0.25, settings=settings, steps=figures[:2], warnings=["stages.find.phrase: too long"])
    data = data_of(run_page(run.write()))
    flagged, other = data["pictures"]
    assert data["masks"] and data["summary"][-2:] == ["2 pictures", "1 flagged"]
    assert flagged["flags"] == ["size: too large"] and "flags" not in other
    assert other["warnings"] == ["stages.find.phrase: too long"] and "warnings" not in flagged
    assert flagged["figures"] == {"find confidence": 0.75, "size coverage": 0.5}
    assert other["figures"] == {"find confidence": 0.75}
    assert (run.folder / flagged["mask_thumbnail"]).is_file()
    run.add("c.jpg", source="a.png", result=run.picture("c.png", GREEN))
    assert not data_of(run_page(run.write()))["masks"]
