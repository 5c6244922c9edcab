"""Where masks come from: a folder with names like the photos', a column, one file for all; and their sizes."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from darkroom.errors import PhotoError
from darkroom.stages.mask_file import MaskFile
from support.fake_models import edit_of, stage_models
from support.in_process import command_line
from support.photo_files import png
from support.runs import CAR, iou, journal


def disc(width: int, height: int) -> np.ndarray:
    """A hard mask, (height, width) uint8: an ellipse in the upper left quarter."""
    canvas = np.zeros((height, width), np.uint8)
    cv2.ellipse(canvas, (width // 3, height // 3), (width // 5, height // 6), 0, 0, 360, 255, -1)
    return canvas


def draw(path: Path, width: int = 60, height: int = 40) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(disc(width, height)).save(path)
    return path


def photo(path: Path, width: int = 60, height: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(edit_of(height, width).image).save(path)


def run(folder: Path, recipe: str, *words: str) -> list[dict]:
    """The journal of a run of a recipe; no lines if it was refused."""
    (folder / "own.yaml").write_text(recipe + "  erase:\n")
    shutil.rmtree(folder / "outputs", ignore_errors=True)
    command_line(folder, "recipe=own.yaml", "models=miniature", "device=cpu", *words)
    return [line for run in folder.glob("outputs/*_own") for line in journal(run)]


def white(folder: Path, lines: list[dict]) -> list[float]:
    """The white share of the mask of each finished picture of the newest run."""
    run = max(folder.glob("outputs/*_own"))
    return [float((np.asarray(Image.open(run / line["mask"])) > 127).mean()) for line in lines if line["mask"]]


def outcomes(lines: list[dict]) -> dict[str, str]:
    return {line["photo"]: line["error"] or line["status"] for line in lines}


@pytest.mark.fault(
    "Masks",
    "masks from a column: with backslashes, an empty cell, a file that is not there",
    "each photo gets its mask; the other rows fail, named with row and column",
)
def test_a_column_names_the_mask_of_each_photo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c", "d"):
        photo(tmp_path / f"list/photos/{name}.jpg")
    draw(tmp_path / "list/drawn/first.png")
    draw(tmp_path / "list/drawn/deep/second.webp")
    rows = ["image;mask", "photos/a.jpg;drawn/first.png", "photos\\b.jpg;drawn\\deep\\second.webp"]
    rows += ["photos/c.jpg;", "photos/d.jpg;drawn/gone.png"]
    (tmp_path / "list/m.csv").write_text("\r\n".join(rows))
    recipe = 'dataset: {manifest: list/m.csv}\nstages:\n  drawn: {op: mask_file, file: "${item.mask}"}\n'
    lines = run(tmp_path, recipe)
    told = outcomes(lines)
    assert [told[f"photos/{name}.jpg"] for name in "ab"] == ["done"] * 2
    assert told["photos/c.jpg"].startswith("m.csv:4: drawn (column mask): mask_file needs exactly one of")
    assert told["photos/d.jpg"] == f"m.csv:5: stages.drawn.file: {tmp_path}/list/drawn/gone.png: no such file"
    assert white(tmp_path, lines[:2]) == pytest.approx([(disc(60, 40) > 0).mean()] * 2, abs=0.02)
    (tmp_path / "list/m.csv").write_text("\n".join(row for row in rows if "gone" in row or "image" in row))
    capsys.readouterr()
    assert run(tmp_path, recipe) == []
    assert "stages.drawn.file: " in capsys.readouterr().err
    assert run(tmp_path, recipe.replace("item.mask", "item.masks")) == []
    (told,) = capsys.readouterr().err.splitlines()
    assert told.endswith("m.csv: no column 'masks', did you mean 'mask'?")


def test_one_mask_for_all_photos_is_scaled_to_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, size in {"small": (60, 40), "large": (120, 80), "odd": (61, 41), "wide": (90, 40)}.items():
        photo(tmp_path / f"photos/{name}.png", *size)
    draw(tmp_path / "logo.png", 120, 80)
    recipe = "dataset: {images: photos}\nstages:\n  logo: {op: mask_file, file: logo.png, resize: true}\n"
    lines = run(tmp_path, recipe)
    told = outcomes(lines)
    assert told.pop("wide.png").endswith("logo.png is 120 x 80 px, but the photo is 90 x 40 px; its proportions differ")
    assert set(told.values()) == {"done"} and len(told) == 3
    assert white(tmp_path, lines) == pytest.approx([(disc(120, 80) > 0).mean()] * 3, abs=0.02)
    assert "small.png: the mask" in capsys.readouterr().out
    plain = outcomes(run(tmp_path, recipe.replace(", resize: true", "")))
    assert plain["large.png"] == "done"
    assert plain["small.png"].endswith("120 x 80 px, but the photo is 60 x 40 px; `resize: true` scales it")
    (tmp_path / "logo.png").unlink()
    assert run(tmp_path, recipe) == []
    assert f"stages.logo.file: {tmp_path}/logo.png: no such file" in capsys.readouterr().err


def test_masks_beside_the_photos_have_a_suffix_or_prefix(tmp_path: Path) -> None:
    for name in ("car", "deep/bus"):
        photo(tmp_path / f"photos/{name}.jpg")
        draw(tmp_path / f"photos/{name}_mask.png")
    recipe = 'dataset: {images: photos, exclude: "*_mask.*"}\nstages:\n  drawn: {op: mask_file, WHERE}\n'
    assert outcomes(run(tmp_path, recipe.replace("WHERE", "folder: photos, suffix: _mask"))) == {
        "car.jpg": "done",
        "deep/bus.jpg": "done",
    }
    draw(tmp_path / "elsewhere/mask of car.tif")
    lines = run(tmp_path, recipe.replace("WHERE", 'folder: elsewhere, prefix: "mask of "'))
    assert outcomes(lines)["car.jpg"] == "done"
    assert "mask of bus.png (or" in outcomes(lines)["deep/bus.jpg"]


@pytest.mark.parametrize("size", [(150, 100), (450, 300), (3000, 2000), (201, 134)])
def test_a_scaled_mask_is_the_same_shape(tmp_path: Path, size: tuple[int, int]) -> None:
    draw(tmp_path / "m.png", *size)
    stage, edit = MaskFile(file=str(tmp_path / "m.png"), resize=True), edit_of(200, 300)
    mask = stage.apply(edit, stage_models()).mask
    assert mask.shape == (200, 300) and iou(mask > 127, disc(300, 200) > 0) > 0.97
    assert mask.max() == 255 and mask.min() == 0


def test_a_mask_is_understood_before_it_is_scaled(tmp_path: Path) -> None:
    labels = disc(600, 400) // 255  # 0 and 1
    Image.fromarray(labels).save(tmp_path / "m.png")
    mask = MaskFile(file=str(tmp_path / "m.png"), resize=True).apply(edit_of(200, 300), stage_models()).mask
    assert mask.max() == 255 and iou(mask > 127, disc(300, 200) > 0) > 0.97
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(disc(600, 400)))).save(tmp_path / "turned.png", exif=exif)
    mask = MaskFile(file=str(tmp_path / "turned.png"), resize=True).apply(edit_of(200, 300), stage_models()).mask
    assert iou(mask > 127, disc(300, 200) > 0) > 0.97


@pytest.mark.fault(
    "Masks",
    "masks that are no pictures of a mask: a PSD or XCF file named .png, two pages, a photo, a file of text",
    "that photo fails, with one line that says what to save",
)
def test_files_that_are_no_masks(tmp_path: Path) -> None:
    page = Image.fromarray(disc(60, 40))
    wrong = {
        "psd.png": (b"8BPS\0\1" + bytes(60), "cannot be read: not a PNG, JPEG, WebP, TIFF or BMP file"),
        "text.png": (b"<html>", "cannot be read: not a PNG"),
        "pages.tif": (page, "is ambiguous: it holds 2 pictures; save one as a file of its own"),
        "car.png": (Image.open(CAR).convert("RGB").resize((60, 40)), "which of them to repaint cannot be known"),
        "huge.png": (png(struct.pack(">IIBBBBB", 10_200, 6_800, 1, 0, 0, 0, 0), b""), "too large to be scaled"),
    }
    for name, (content, reason) in wrong.items():
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.save(path, **({"save_all": True, "append_images": [page]} if name == "pages.tif" else {}))
        with pytest.raises(PhotoError, match=reason) as caught:
            MaskFile(file=str(path), resize=True).apply(edit_of(200, 300), stage_models())
        assert str(path) in str(caught.value) and "0x" not in str(caught.value)
