"""Masks drawn elsewhere: one shape is one mask however it was saved, and what may mean two things is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from darkroom.errors import PhotoError
from darkroom.imaging.drawn_mask import RINGING
from darkroom.imaging.masks import to_uint8
from darkroom.stages.mask_file import MaskFile
from support.fake_models import edit_of, stage_models
from support.in_process import deliver
from support.photo_files import png16
from support.runs import iou


def shapes(seed: int) -> np.ndarray:
    """A hard mask, (120, 160) bool: letters, lines, discs, boxes."""
    random = np.random.default_rng(seed)
    canvas = np.zeros((120, 160), np.uint8)
    for kind in random.integers(0, 4, random.integers(1, 5)):
        (x, y), (w, h) = random.integers(10, 110, 2).tolist(), random.integers(8, 40, 2).tolist()
        if kind == 0:
            cv2.putText(canvas, "Rg4", (x, y), cv2.FONT_HERSHEY_SIMPLEX, random.uniform(0.6, 2), 255, 3)
        elif kind == 1:
            cv2.line(canvas, (x, y), (x + w, y + h - 30), 255, int(random.integers(4, 12)))
        elif kind == 2:
            cv2.circle(canvas, (x, y), w // 2 + 3, 255, -1)
        else:
            cv2.rectangle(canvas, (x, y), (x + w, y + h), 255, -1)
    return canvas > 0


def layer(mask: np.ndarray, colour: tuple[int, int, int], hidden: tuple[int, int, int]) -> Image.Image:
    colours = np.where(mask[..., None], colour, hidden)
    return Image.fromarray(np.dstack([colours, mask * 255]).astype(np.uint8))


def grey(mask: np.ndarray, dtype: type = np.uint8, white: int = 255) -> Image.Image:
    return Image.fromarray(mask.astype(dtype) * dtype(white))


def keyed(mask: np.ndarray) -> bytes:
    """White strokes, and black made see-through by its colour."""
    file = BytesIO()
    grey(mask).save(file, "PNG", transparency=0)
    return file.getvalue()


EXACT: dict[str, Callable[[np.ndarray], tuple[Image.Image | bytes, str, dict]]] = {
    "grey png": lambda mask: (grey(mask), "PNG", {}),
    "1 bit png": lambda mask: (grey(mask).convert("1"), "PNG", {}),
    "palette png": lambda mask: (grey(mask).convert("P"), "PNG", {}),
    "rgb png": lambda mask: (grey(mask).convert("RGB"), "PNG", {}),
    "opaque rgba png": lambda mask: (grey(mask).convert("RGBA"), "PNG", {}),
    "opaque grey and alpha png": lambda mask: (grey(mask).convert("LA"), "PNG", {}),
    "0 and 1": lambda mask: (grey(mask, white=1), "PNG", {}),
    "0 and 1 as rgb": lambda mask: (grey(mask, white=1).convert("RGB"), "BMP", {}),
    "16 bits": lambda mask: (grey(mask, np.uint16, 65_535), "PNG", {}),
    "16 bits, rgb": lambda mask: (png16(np.dstack([mask] * 3).astype(np.uint16) * 65_535), "PNG", {}),
    "0 and 1 of 16 bits": lambda mask: (grey(mask, np.uint16, 1), "PNG", {}),
    "0 and 255 of 16 bits": lambda mask: (grey(mask, np.uint16, 255), "TIFF", {}),
    "tiff": lambda mask: (grey(mask), "TIFF", {"compression": "tiff_lzw"}),
    "bmp": lambda mask: (grey(mask).convert("RGB"), "BMP", {}),
    "webp": lambda mask: (grey(mask).convert("RGB"), "WEBP", {"lossless": True}),
    "white strokes, hidden white": lambda mask: (layer(mask, (255, 255, 255), (255, 255, 255)), "PNG", {}),
    "white strokes, hidden black": lambda mask: (layer(mask, (255, 255, 255), (0, 0, 0)), "PNG", {}),
    "white strokes, hidden red": lambda mask: (layer(mask, (255, 255, 255), (255, 0, 0)), "TIFF", {}),
    "white strokes in webp": lambda mask: (layer(mask, (255, 255, 255), (9, 200, 9)), "WEBP", {"lossless": True}),
    "red strokes, hidden white": lambda mask: (layer(mask, (255, 0, 0), (255, 255, 255)), "PNG", {}),
    "dark blue strokes, hidden red": lambda mask: (layer(mask, (0, 0, 90), (255, 0, 0)), "PNG", {}),
    "strokes with a colour made see-through": lambda mask: (keyed(mask), "PNG", {}),
}
LOSSY: dict[str, Callable[[np.ndarray, int], tuple[Image.Image, str, dict]]] = {
    "jpeg": lambda mask, quality: (grey(mask), "JPEG", {"quality": quality}),
    "rgb jpeg": lambda mask, quality: (grey(mask).convert("RGB"), "JPEG", {"quality": quality}),
    "webp": lambda mask, quality: (grey(mask).convert("RGB"), "WEBP", {"quality": quality}),
    "tiff": lambda mask, quality: (grey(mask), "TIFF", {"compression": "jpeg", "quality": quality}),
    "white strokes": lambda mask, quality: (layer(mask, (255,) * 3, (255,) * 3), "WEBP", {"quality": quality}),
}
SUFFIX = {"PNG": ".png", "TIFF": ".tif", "BMP": ".bmp", "WEBP": ".webp", "JPEG": ".jpg"}


def put(folder: Path, image: Image.Image | bytes, format: str, options: dict) -> None:
    for old in folder.glob("car.*"):
        old.unlink()
    path = folder / f"car{SUFFIX[format]}"
    path.write_bytes(image) if isinstance(image, bytes) else image.save(path, format, **options)


def mask_of(folder: Path, height: int, width: int) -> np.ndarray:
    return MaskFile(folder=str(folder)).apply(edit_of(height, width, name="car.jpg"), stage_models()).mask


def box(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    return np.array([rows.min(), columns.min(), rows.max(), columns.max()])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("masks")


@pytest.mark.fault(
    "Masks",
    "one shape saved in 22 lossless ways: 1, 8 and 16 bits, palette, 0 and 1, strokes on a layer over any"
    " hidden colour",
    "all give the same mask",
)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_shape_is_the_same_mask_however_it_was_saved(seed: int, folder: Path) -> None:
    mask = shapes(seed)
    for name, save in EXACT.items():
        put(folder, *save(mask))
        assert np.array_equal(mask_of(folder, *mask.shape), to_uint8(mask)), name


@pytest.mark.fault(
    "Masks",
    "the same shape saved with loss: JPEG, WebP and TIFF of quality 60 to 95",
    "nearly the same mask (IoU above 0.98); the model's crop is the same within 4 px and not the whole photo",
)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), quality=st.integers(60, 95))
def test_a_lossy_format_changes_next_to_nothing(seed: int, quality: int, folder: Path) -> None:
    mask = shapes(seed)
    for name, save in LOSSY.items():
        put(folder, *save(mask, quality))
        found = mask_of(folder, *mask.shape)
        assert iou(found, mask) > 0.98 and iou(found == 255, mask) > 0.9, name
        assert np.abs(box(found) - box(mask)).max() <= 4, name


def test_the_greys_of_a_lossy_mask_stay_greys(folder: Path) -> None:
    ramp = np.tile(np.linspace(0, 255, 256).astype(np.uint8), (64, 1))
    put(folder, Image.fromarray(ramp), "JPEG", {"quality": 95})
    found = mask_of(folder, 64, 256)[32].astype(int)
    middle = slice(2 * RINGING, 256 - 2 * RINGING)
    assert np.abs(found - ramp[32])[middle].max() <= 3 and np.diff(found).max() <= 6
    assert (found[: RINGING - 3] == 0).all() and (found[-RINGING + 3 :] == 255).all()


def test_greys_and_soft_strokes_are_shares(folder: Path) -> None:
    soft = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    for colour in ((255, 255, 255), (200, 30, 30)):
        colours = np.full((4, 256, 3), colour, np.uint8)
        put(folder, Image.fromarray(np.dstack([colours, soft])), "PNG", {})
        assert np.array_equal(mask_of(folder, 4, 256), soft)
    put(folder, Image.fromarray(soft), "PNG", {})
    assert np.array_equal(mask_of(folder, 4, 256), soft)


def test_a_layer_with_nothing_on_it_is_an_empty_mask(folder: Path) -> None:
    put(folder, layer(np.zeros((9, 9), bool), (0, 0, 0), (255, 0, 0)), "PNG", {})
    assert not mask_of(folder, 9, 9).any()
    put(folder, grey(np.ones((9, 9), bool)), "PNG", {})
    assert mask_of(folder, 9, 9).all()


HALF = np.arange(40 * 40).reshape(40, 40) % 40 < 20


def quarters(*colours: tuple[int, ...]) -> Image.Image:
    """Four colours side by side."""
    return Image.fromarray(np.repeat(np.array([colours], np.uint8), [10] * 4, axis=1).repeat(40, axis=0))


UNCLEAR = {
    "a label map": (
        Image.fromarray((np.arange(1600).reshape(40, 40) % 4).astype(np.uint8)),
        "brightest pixel is 3 of 255",
    ),
    "a label map of 16 bits": (
        Image.fromarray((np.arange(1600).reshape(40, 40) % 9).astype(np.uint16)),
        "brightest pixel is 8 of 65535",
    ),
    "8 bits stored as 16": (Image.fromarray((HALF * 200 + 9).astype(np.uint16)), "of 16 bits 65535"),
    "labels in colours": (quarters(*[(0, 0, 0), (128, 0, 0)] * 2), r"colours, such as \(128, 0, 0\)"),
    "red on white": (quarters(*[(255, 255, 255), (255, 0, 0)] * 2), r"colours, such as \(255, 0, 0\)"),
    "a photograph": (Image.fromarray(edit_of(40, 40).image), "which of them to repaint cannot be known"),
    "a photograph with a hole": (
        Image.fromarray(np.dstack([edit_of(40, 40).image, HALF * 255]).astype(np.uint8)),
        "several colours on its transparent layer",
    ),
    "strokes in red and green": (
        quarters((255, 0, 0, 255), (0, 0, 0, 0), (0, 255, 0, 255), (9, 9, 9, 0)),
        "several colours on its transparent layer",
    ),
    "black strokes": (layer(HALF, (0, 0, 0), (255, 255, 255)), "only black is painted"),
    "32 bits": (Image.fromarray(HALF.astype(np.float32)), "32 bits per pixel have no known white"),
}


@pytest.mark.fault(
    "Masks",
    "ambiguous masks: label maps, colours, a photograph, black strokes on a transparent layer",
    "that photo fails, with one line that says how to save the mask",
)
@pytest.mark.parametrize("name", UNCLEAR)
def test_what_may_mean_two_things_is_refused(name: str, folder: Path) -> None:
    image, words = UNCLEAR[name]
    put(folder, image, "TIFF" if name == "32 bits" else "PNG", {})
    with pytest.raises(PhotoError, match=words) as caught:
        mask_of(folder, 40, 40)
    assert "car" in str(caught.value) and len(str(caught.value).splitlines()) == 1


@pytest.mark.fault(
    "Masks",
    "a batch of masks: values 0 and 1, red strokes, a JPEG, three labels",
    "three are read as intended and the log says how; the label map fails",
)
def test_what_is_assumed_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("photos", "masks"):
        (tmp_path / name).mkdir()
    mask = shapes(3)
    ways = {
        "labels": (grey(mask, white=1), ".png", "1 was read as white"),
        "strokes": (layer(mask, (255, 0, 0), (255, 255, 255)), ".png", "what is drawn is repainted"),
        "lossy": (grey(mask), ".jpg", "within 48 of black or white were read as that"),
        "exact": (grey(mask), ".png", None),
        "many": (Image.fromarray((np.arange(mask.size).reshape(mask.shape) % 3).astype(np.uint8)), ".png", None),
    }
    for name, (image, suffix, _) in ways.items():
        Image.fromarray(edit_of(*mask.shape).image).save(tmp_path / f"photos/{name}.png")
        image.save(tmp_path / f"masks/{name}{suffix}", **({"quality": 60} if suffix == ".jpg" else {}))
    stages = {"drawn": {"op": "mask_file", "folder": str(tmp_path / "masks")}, "erase": None}
    with caplog.at_level(logging.INFO):
        lines = deliver(tmp_path / "photos", stages, tmp_path / "run")
    said = {
        line["photo"]: [each for each in caplog.messages if each.startswith(f"{line['photo']}: the")] for line in lines
    }
    for line in lines:
        name = line["photo"].removesuffix(".png")
        assert line["status"] == ("failed" if name == "many" else "done"), line["error"]
        words = ways[name][2]
        assert len(said[line["photo"]]) == (words is not None)
        assert words is None or words in said[line["photo"]][0]
    (failed,) = (line["error"] for line in lines if line["status"] == "failed")
    assert "many.png is ambiguous: its brightest pixel is 2 of 255" in failed
