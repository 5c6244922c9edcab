"""TIFF files of results, read back by several readers."""

from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from darkroom.imaging import bands, tiff
from darkroom.imaging.codec import decode_photo
from darkroom.imaging.exif import CaptureMetadata
from darkroom.imaging.tiff import encode_tiff
from support.photo_files import SRGB

METADATA = CaptureMetadata((300.0, 240.0), {"Make": "Nikon", "DateTimeOriginal": "2026:11:20 14:03:22"})


@given(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from([3, 4]), st.sampled_from([np.uint8, np.uint16]), st.data()
)
@settings(max_examples=60, deadline=None)
def test_every_reader_finds_the_same_pixels(
    height: int, width: int, channels: int, depth: type[np.unsignedinteger], data: st.DataObject
) -> None:
    seed, band = data.draw(st.integers(0, 99)), data.draw(st.integers(1, 2000))
    pixels = np.random.default_rng(seed).integers(0, np.iinfo(depth).max + 1, (height, width, channels), depth)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "_PIXELS", band)  # one strip or many
        file = encode_tiff(pixels, SRGB, METADATA, {}, (), b"<xmp/>")
    photo = decode_photo(file)
    deep = (
        photo.pixels16 if depth == np.uint16 else np.dstack([photo.pixels, *([] if channels == 3 else [photo.alpha])])
    )
    assert np.array_equal(deep, pixels) and photo.icc == SRGB and photo.metadata == METADATA
    if channels == 3 or depth == np.uint16:  # OpenCV multiplies 8-bit colours by their alpha
        order = [2, 1, 0, 3][:channels]
        assert np.array_equal(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)[..., order], pixels)
    with Image.open(BytesIO(file)) as image:
        assert image.tag_v2[700] == b"<xmp/>" and image.info["compression"] == "tiff_adobe_deflate"


def test_a_file_of_over_4_gib_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "_MAX_BYTES", 3000)
    with pytest.raises(OverflowError, match="more than 4 GiB"):
        encode_tiff(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8), None, METADATA, {}, (), b"")
