"""Thumbnails: size, colour, transparency, and that the same pixels give the same bytes."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from darkroom.imaging.thumbnails import mask_thumbnail, photo_thumbnail


def flat(colour: tuple[int, int, int], width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


@pytest.mark.parametrize(
    ("size", "small"),
    [((1536, 1024), (480, 320)), ((1024, 1536), (384, 576)), ((300, 200), (300, 200)), ((9000, 3), (480, 1))],
)
def test_fits_its_box_and_is_never_enlarged(size: tuple[int, int], small: tuple[int, int]) -> None:
    photo, mask = photo_thumbnail(flat((9, 99, 199), *size), None, None), mask_thumbnail(np.zeros(size[::-1], np.uint8))
    assert opened(photo).size == opened(mask).size == small
    assert (opened(photo).format, opened(photo).mode) == ("JPEG", "RGB")
    assert (opened(mask).format, opened(mask).mode) == ("PNG", "L")


def test_fine_colours_survive() -> None:
    stripes = flat((0, 0, 255), 64, 64)
    stripes[:, ::2] = 255, 0, 0
    shown = np.asarray(opened(photo_thumbnail(stripes, None, None))).astype(int)
    assert np.abs(shown - stripes).max() < 40  # halved colour resolution would make all of it purple


def test_wide_gamut_is_shown_in_srgb_and_a_broken_profile_is_ignored() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"tmp.").replace(b"bXYZ", b"rXYZ").replace(b"tmp.", b"bXYZ")
    red = flat((255, 0, 0), 90, 60)
    assert opened(photo_thumbnail(red, None, swapped)).getpixel((9, 9)) == pytest.approx((0, 0, 255), abs=4)
    assert opened(photo_thumbnail(red, None, b"broken" * 40)).getpixel((9, 9)) == pytest.approx((255, 0, 0), abs=4)


def test_transparency_shows_as_paper() -> None:
    alpha = np.full((60, 90), 255, np.uint8)
    alpha[:, 45:] = 0
    small = opened(photo_thumbnail(flat((0, 0, 0), 90, 60), alpha, None))
    assert small.getpixel((10, 30)) == pytest.approx((0, 0, 0), abs=4)
    assert small.getpixel((80, 30)) == pytest.approx((251, 250, 248), abs=4)


def test_same_pixels_same_bytes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (700, 500, 3), np.uint8)
    assert photo_thumbnail(pixels, pixels[..., 0], None) == photo_thumbnail(pixels.copy(), pixels[..., 0], None)
    assert mask_thumbnail(pixels[..., 0]) == mask_thumbnail(pixels[..., 0].copy())
