"""PNG rows: exact, readable by others, and the same bytes whether or not they were shared."""

from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from darkroom.imaging import png_rows
from darkroom.imaging.png import encode_png, png_file
from darkroom.imaging.png_rows import compress_rows

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 6))
SHAPES = SIZES | SIZES.map(lambda size: (*size, 3))
FEW = st.integers(0, 3) | st.integers(0, 255)  # ties between the neighbours, and wrapping differences


@pytest.mark.parametrize("rows", [1, 2, 32])
@given(SHAPES.flatmap(lambda shape: arrays(np.uint8, shape, elements=FEW)), st.data())
def test_other_libraries_read_the_same_pixels(rows: int, pixels: np.ndarray, data: st.DataObject) -> None:
    alpha = data.draw(st.none() | arrays(np.uint8, pixels.shape[:2])) if pixels.ndim == 3 else None
    given = pixels.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png_rows, "_ROWS", rows)
        file = encode_png(pixels, alpha=alpha)
    expected = pixels if alpha is None else np.dstack([pixels, alpha])
    assert np.array_equal(pixels, given)
    with Image.open(BytesIO(file)) as image:
        assert np.array_equal(np.asarray(image), expected)
    read = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    order = {2: ..., 3: (..., [2, 1, 0]), 4: (..., [2, 1, 0, 3])}[expected.shape[2] if expected.ndim == 3 else 2]
    assert np.array_equal(read.reshape(expected.shape)[order], expected)


@given(st.integers(1, 80), st.sampled_from([np.uint8, np.uint16]), st.booleans(), st.data())
def test_sharing_rows_changes_no_byte(height: int, kind: type, transparent: bool, data: st.DataObject) -> None:
    photo = np.random.default_rng(height).integers(0, 256, (height, 5, 3)).astype(kind)
    alpha = np.full((height, 5), 99, np.uint8) if transparent and kind is np.uint8 else None
    picture, filled = photo.copy(), None if alpha is None else alpha.copy()
    picture[data.draw(st.integers(0, height - 1)), 2, 1] ^= 1
    if filled is not None:
        filled[data.draw(st.integers(0, height - 1)), 3] = 255
    shared = compress_rows(picture, filled, compress_rows(photo, alpha))
    assert png_file(shared) == encode_png(picture, alpha=filled)
    other_size = compress_rows(picture[:, :4], None, compress_rows(photo))
    assert png_file(other_size) == encode_png(picture[:, :4])


def test_equal_rows_are_not_compressed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (320, 40, 3), np.uint8)
    rows = compress_rows(photo)
    picture = photo.copy()
    picture[100:110] = 0
    compressed = []
    band = png_rows._band
    monkeypatch.setattr(png_rows, "_band", lambda samples: compressed.append(len(samples)) or band(samples))
    assert png_file(compress_rows(picture, like=rows)) == encode_png(picture)
    assert compressed == [32, *[32] * 10]  # one band of the shared ones, and then all


def test_several_threads_give_the_same_bytes_in_the_same_order() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (400, 30, 3), np.uint8)
    alone = encode_png(pixels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png_rows, "_LARGE", 0)
        patch.setattr(png_rows, "usable_cores", lambda: 3)
        assert encode_png(pixels) == alone
