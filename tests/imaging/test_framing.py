"""Framed pictures: nothing is stretched, pixels at scale 1 stay, and what lies beyond the photo is as asked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from darkroom.errors import PhotoError
from darkroom.imaging.framing import Framing, framed, framed_grey
from support.photo_files import SRGB, swapped_profile

random = np.random.default_rng(0)
PHOTO = random.integers(0, 256, (30, 40, 3), np.uint8)


def around(fill: Any) -> np.ndarray:
    """The photo with a margin of 5 px on every side, as the frame fills it."""
    pixels, alpha = framed(Framing(-5, -5, 1, 50, 40, fill), PHOTO, None)
    assert alpha is None
    return pixels


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_at_scale_1_every_bit_of_the_region_is_the_photos(kind: type) -> None:
    photo = random.integers(0, np.iinfo(kind).max, (30, 40, 3), kind)
    alpha = random.integers(0, np.iinfo(kind).max, (30, 40), kind)
    pixels, share = framed(Framing(7, 3, 1, 20, 25), photo, alpha)
    assert np.array_equal(pixels, photo[3:28, 7:27]) and np.array_equal(share, alpha[3:28, 7:27])


@pytest.mark.parametrize(("width", "height", "scale"), [(300, 500, 0.5), (411, 333, 0.83), (900, 700, 1.9)])
def test_a_circle_stays_a_circle(width: int, height: int, scale: float) -> None:
    rows, columns = np.ogrid[:600, :800]
    disc = np.clip(100 - np.hypot(rows - 290.5, columns - 410.5) + 0.5, 0, 1)
    photo = np.repeat((disc * 255).astype(np.uint8)[..., None], 3, axis=2)
    x, y = 411 - width / 2 / scale, 291 - height / 2 / scale
    pixels, _ = framed(Framing(x, y, scale, width, height), photo, None)
    grey = framed_grey(Framing(x, y, scale, width, height), photo[..., 0])
    for found in (pixels[..., 1] / 255, grey / 255):
        assert found.shape == (height, width)
        across, down = found[height // 2].sum(), found[:, width // 2].sum()
        assert across == pytest.approx(200 * scale, abs=1) and down == pytest.approx(across, abs=1)
        assert np.average(np.arange(width) + 0.5, weights=found.sum(axis=0)) == pytest.approx(width / 2, abs=0.6)


def test_what_lies_beyond_the_photo() -> None:
    edge, mirror, white = around("edge"), around("mirror"), around((255, 255, 255))
    assert np.array_equal(white[5:-5, 5:-5], PHOTO)
    assert np.array_equal(edge, np.pad(PHOTO, ((5, 5), (5, 5), (0, 0)), "edge"))
    assert np.array_equal(mirror, np.pad(PHOTO, ((5, 5), (5, 5), (0, 0)), "reflect"))
    assert (white[:5] == 255).all() and (white[:, -5:] == 255).all()
    far = framed(Framing(-100, -90, 1, 300, 200, "mirror"), PHOTO, None)[0]
    assert np.array_equal(far, np.pad(PHOTO, ((90, 80), (100, 160), (0, 0)), "reflect"))


def test_nothing_beyond_the_photo() -> None:
    pixels, alpha = framed(Framing(-5, -5, 1, 50, 40, "transparent"), PHOTO, None)
    assert (alpha[5:-5, 5:-5] == 255).all() and alpha.sum() == 255 * 30 * 40 and not pixels[alpha == 0].any()
    assert framed(Framing(0, 0, 1, 40, 30, "transparent"), PHOTO, None)[1] is None
    assert (
        framed_grey(Framing(-5, -5, 1, 50, 40, (255, 255, 255)), np.full((30, 40), 255, np.uint8)).sum()
        == 255 * 30 * 40
    )


def test_colours_of_transparent_pixels_do_not_bleed_when_scaled() -> None:
    photo = np.full((40, 40, 3), 200, np.uint8)
    alpha = np.full((40, 40), 255, np.uint8)
    photo[:, 20:], alpha[:, 20:] = (0, 255, 0), 0
    pixels, share = framed(Framing(0, 0, 0.3, 12, 12), photo, alpha)
    assert np.abs(pixels[share > 8].astype(int) - 200).max() <= 1
    deep = framed(Framing(0, 0, 0.3, 12, 12), photo * np.uint16(257), alpha * np.uint16(257))
    assert np.abs(deep[0][share > 8] / 257 - 200).max() < 1 and deep[1].dtype == np.uint16


def test_16_bits_are_scaled_with_16_bits() -> None:
    ramp = np.repeat(np.linspace(1000, 2000, 64).astype(np.uint16)[None, :, None], 3, axis=2).repeat(8, axis=0)
    pixels, _ = framed(Framing(0, 0, 0.5, 32, 4), ramp, None)
    assert len(np.unique(pixels)) == 32 and pixels.min() > 990 and pixels.max() < 2010


@pytest.mark.fault(
    "Run folders", "a frame in a journal that is huge, infinite or far away", "refused before it is made"
)
@pytest.mark.parametrize(
    "numbers",
    [
        (0, 0, 1, 0, 5),
        (0, 0, 1, 10**9, 10**9),
        (0, 0, 1, 20_000, 20_000),
        (0, 0, 1e-9, 100, 100),
        (0, 0, 100, 100, 100),
        (0, 0, 0, 100, 100),
        (0, 0, -1, 100, 100),
        (math.nan, 0, 1, 100, 100),
        (0, 0, math.nan, 100, 100),
        (math.inf, 0, 1, 100, 100),
        (1e12, 0, 1, 100, 100),
        (0.5, 0, 1, 100, 100),
    ],
)
def test_a_geometry_beyond_the_limits_is_refused(numbers: tuple) -> None:
    with pytest.raises(PhotoError, match="frame"):
        Framing(*numbers)


def test_a_colour_is_srgb_and_converted_to_the_photos_profile() -> None:
    framing = Framing(-5, -5, 1, 50, 40, (10, 200, 30))
    plain, swapped = (framed(framing, PHOTO, None, icc)[0] for icc in (SRGB, swapped_profile()))
    assert np.abs(plain[0, 0].astype(int) - (10, 200, 30)).max() <= 1
    assert np.abs(swapped[0, 0].astype(int) - (200, 10, 30)).max() <= 1
    assert np.array_equal(swapped[5:-5, 5:-5], PHOTO)
