"""Decoding: every file gives upright 8-bit RGB or one clear line. Encoding: what goes in comes out."""

from __future__ import annotations

import hashlib
import os
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from darkroom.errors import PhotoError
from darkroom.imaging import heif
from darkroom.imaging.codec import decode_photo, read_photo
from darkroom.imaging.png import encode_png
from darkroom.imaging.unreadable import MAX_PIXELS
from support.photo_files import SRGB, blocks, noise16, png, png16, saved, tiff16

heif.register()  # so that `saved` can write it


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    return png(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), bytes(100))


def profile(space: bytes, pcs: bytes, kind: bytes, tag: bytes, content: bytes) -> bytes:
    """An ICC profile with a single table."""
    tags = struct.pack(">I", 2) + b"wtpt" + struct.pack(">II", 156, 20) + tag + struct.pack(">II", 176, len(content))
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061)
    header = bytearray(128)
    header[8:24] = b"\x02\x40\0\0" + kind + space + pcs
    header[36:40] = b"acsp"
    header[68:80] = white[8:]
    header[0:4] = struct.pack(">I", 176 + len(content))
    return bytes(header) + tags + white + content


def grey_profile(gamma: float) -> bytes:
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    return profile(b"GRAY", b"XYZ ", b"mntr", b"kTRC", curve)


def cmyk_profile() -> bytes:
    """In this press cyan ink is black, and the other inks leave the paper white."""
    ramp = bytes(range(256))
    lab = b"".join((b"\xff\x80\x80", b"\x00\x80\x80")[corner >> 3] for corner in range(16))
    matrix = struct.pack(">9i", *(65536 * (each in (0, 4, 8)) for each in range(9)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + lab + ramp * 3
    return profile(b"CMYK", b"Lab ", b"prtr", b"A2B0", table)


def is_srgb(icc: bytes) -> bool:
    return "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(icc)))


STORED = {  # how the same upright picture lies in the file, for each EXIF orientation
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("format", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("TIFF", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 95}, 12),
        ("AVIF", {"quality": 95}, 12),
        ("HEIF", {"quality": 95}, 12),
    ],
)
def test_orientation_is_applied_once(format: str, options: dict, tolerance: int, orientation: int) -> None:
    upright = blocks()
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](upright))
    picture = decode_photo(saved(stored, format, exif=exif.tobytes(), **options))
    assert picture.pixels.shape == upright.shape
    # A lossy file blurs the edges between blocks; elsewhere colours must be where they were.
    wrong = np.abs(picture.pixels.astype(int) - upright).max(axis=2) > tolerance
    assert wrong.mean() <= (0.15 if tolerance else 0)
    assert picture.format == format


def test_transparency_turns_with_the_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = np.dstack([blocks(), np.tile(np.arange(80, dtype=np.uint8), (48, 1))])
    picture = decode_photo(saved(np.ascontiguousarray(np.rot90(upright)), exif=exif))
    assert np.array_equal(picture.pixels, upright[:, :, :3])
    assert np.array_equal(picture.alpha, upright[:, :, 3])


GREYS16 = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_is_not_clipped(format: str) -> None:
    picture = decode_photo(saved(GREYS16, format))
    assert picture.mode.startswith("I;16")
    assert np.array_equal(picture.pixels, np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2))


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_of_16_bits_none_is_lost(format: str, channels: int, orientation: int) -> None:
    upright = noise16(channels)
    stored = np.ascontiguousarray(STORED[orientation](upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    if format == "PNG":
        picture = decode_photo(png16(stored, eXIf=exif.tobytes().removeprefix(b"Exif\0\0")))
    else:
        picture = decode_photo(tiff16(stored, orientation, extra=2 if channels == 4 else None))
    assert np.array_equal(picture.pixels16, upright)
    assert np.array_equal(picture.pixels, upright[..., :3] >> 8)
    assert picture.alpha is None if channels == 3 else np.array_equal(picture.alpha, upright[..., 3] >> 8)
    again = decode_photo(encode_png(picture.pixels16, icc=SRGB, texts={"parameters": "IDAT"}))
    assert np.array_equal(again.pixels16, upright) and again.icc == SRGB


def test_what_else_has_16_bits() -> None:
    grey, both = noise16(1), noise16(2)
    assert np.array_equal(decode_photo(png16(grey)).pixels16, np.dstack([grey] * 3))
    assert np.array_equal(decode_photo(png16(both)).pixels16, np.dstack([both[..., :1]] * 3 + [both[..., 1]]))
    colours = noise16(3)
    clear = decode_photo(png16(colours, tRNS=colours[3, 4].astype(">u2").tobytes()))
    assert np.argwhere(clear.alpha == 0).tolist() == [[3, 4]] and clear.pixels16[3, 4, 3] == 0
    padded = decode_photo(tiff16(noise16(4), extra=0))  # the fourth channel means nothing
    assert padded.alpha is None and np.array_equal(padded.pixels16, noise16(4)[..., :3])
    for reduced in (tiff16(noise16(4), extra=1), tiff16(noise16(4), photometric=5)):  # premultiplied; CMYK
        picture = decode_photo(reduced)
        assert picture.bits == 16 and picture.pixels16 is None and picture.pixels.dtype == np.uint8
    profiled = decode_photo(saved(GREYS16, icc_profile=grey_profile(1.0)))
    assert profiled.bits == 16 and profiled.pixels16 is None


def test_every_grey_and_palette_mode() -> None:
    grey = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    bilevel = grey.point(lambda value: 255 * (value > 99)).convert("1")
    for image in (grey, bilevel, grey.convert("P"), Image.fromarray(blocks()).quantize(8)):
        assert np.array_equal(decode_photo(saved(image)).pixels, np.asarray(image.convert("RGB")))
        assert decode_photo(saved(image)).alpha is None
    with_alpha = Image.merge("LA", [grey, grey.rotate(90)])
    picture = decode_photo(saved(with_alpha))
    assert np.array_equal(picture.pixels[..., 0], np.asarray(grey))
    assert np.array_equal(picture.alpha, np.asarray(grey.rotate(90)))


def test_transparent_colours_become_alpha_and_keep_their_rgb() -> None:
    palette = Image.fromarray(blocks()).quantize(8)
    corner = palette.getpixel((0, 0))
    for image, key in ((palette, corner), (Image.fromarray(blocks()), (240, 230, 10))):
        picture = decode_photo(saved(image, transparency=key))
        assert picture.alpha[0, 0] == 0
        assert picture.alpha[-1, -1] == 255
        assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))
    picture = decode_photo(saved(GREYS16, transparency=int(GREYS16[0, 5])))
    assert np.argwhere(picture.alpha == 0).tolist() == np.argwhere(picture.pixels16[..., 3] == 0).tolist() == [[0, 5]]


def test_cmyk_goes_through_its_profile() -> None:
    inks = Image.new("CMYK", (40, 40), (255, 0, 0, 0))
    plain = decode_photo(saved(inks, "JPEG", quality=95))
    assert plain.pixels[20, 20].tolist() == pytest.approx([0, 255, 255], abs=6)
    converted = decode_photo(saved(inks, "TIFF", icc_profile=cmyk_profile()))
    assert converted.pixels[20, 20].max() < 40  # cyan is black on this press
    assert plain.icc is None
    assert is_srgb(converted.icc)
    broken = decode_photo(saved(inks, "TIFF", icc_profile=cmyk_profile()[:150]))
    assert broken.pixels[20, 20].tolist() == [0, 255, 255]


def test_grey_profile_is_used_up() -> None:
    grey = Image.new("L", (4, 4), 128)
    picture = decode_photo(saved(grey, icc_profile=grey_profile(1.0)))
    assert picture.pixels[0, 0].tolist() == pytest.approx([188] * 3, abs=2)  # linear half is sRGB 188
    assert is_srgb(picture.icc)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_rgb_profile_comes_through_bit_for_bit(format: str) -> None:
    wide = bytearray(SRGB)
    wide[24:36] = b"\x07\xea\x00\x0b\x00\x14\x00\x0e\x00\x03\x00\x16"  # another creation date: no default profile
    picture = decode_photo(saved(blocks(), format, icc_profile=bytes(wide)))
    assert picture.icc == bytes(wide)
    result = encode_png(picture.pixels, icc=picture.icc)
    assert Image.open(BytesIO(result)).info["icc_profile"] == bytes(wide)


def test_phone_jpeg_with_a_second_picture_inside() -> None:
    image = Image.fromarray(blocks())
    data = saved(image, "MPO", save_all=True, append_images=[image.resize((20, 12))], quality=95)
    picture = decode_photo(data)
    assert picture.format == "MPO"
    assert picture.pixels.shape == (48, 80, 3)


def test_heic_with_several_pictures_gives_the_main_one() -> None:
    small, alpha = Image.fromarray(blocks(64, 64)), Image.fromarray(np.full((48, 80), 99, np.uint8))
    main = Image.fromarray(blocks())
    main.putalpha(alpha)
    picture = decode_photo(saved(small, "HEIF", save_all=True, append_images=[main], primary_index=1, quality=-1))
    assert picture.pixels.shape == (48, 80, 3) and (picture.alpha == 99).all() and picture.bits == 8
    again = saved(small, "AVIF").replace(b"ftypavif", b"ftypmif1", 1)  # the same container, other contents
    assert decode_photo(again).format == "AVIF"


def frames(format: str) -> bytes:
    first, second = (Image.fromarray(np.roll(blocks(), shift, axis=1)) for shift in (0, 9))
    return saved(first, format, save_all=True, append_images=[second])


BAD = {
    "empty": (b"", "empty"),
    "html": (b"\n<!DOCTYPE html><title>404</title>", "text"),
    "noise": (bytes(range(256)) * 4, "known format"),
    "heic header only": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a damaged HEIC file"),
    "half HEIC": (saved(blocks(), "HEIF")[:-90], "a damaged HEIC file|decoded"),
    "camera raw": (saved(blocks(), "TIFF", tiffinfo={254: 1}), "begins with a small preview, as camera raw does"),
    "photoshop": (b"8BPS\0\1" + bytes(40), "a Photoshop file; save it as PNG or TIFF"),
    "video": (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "looks like a video"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "known format"),
    "ppm": (saved(blocks(), "PPM"), "known format"),
    **{f"half {each}": (saved(blocks(), each)[:-90], "decoded") for each in ("PNG", "JPEG", "WEBP", "TIFF", "GIF")},
    "png header only": (saved(blocks())[:40], "decoded|known format"),
    "bomb": (png_header(30_000, 30_000), "megapixels"),
    "just too large": (png_header(MAX_PIXELS // 1000, 1001), "megapixels"),
    "lie": (png_header(300, 300), "decoded"),
    **{f"moving {each}": (frames(each), "2 pictures") for each in ("GIF", "PNG", "WEBP", "TIFF", "AVIF")},
    "float": (saved(Image.new("F", (4, 4), 0.5), "TIFF"), "type F"),
    "32 bit": (saved(Image.new("I", (4, 4), 70000), "TIFF"), "type I"),
    "lab": (saved(Image.new("LAB", (4, 4)), "TIFF"), "type LAB"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_cost_one_line(name: str) -> None:
    data, reason = BAD[name]
    with pytest.raises(PhotoError, match=reason) as failure:
        decode_photo(data)
    assert len(str(failure.value).splitlines()) == 1
    assert failure.value.__cause__ is None


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    for name, reason in (("pipe.png", "not a file"), ("", "not a file"), ("gone.png", "No such"), ("loop.png", "link")):
        with pytest.raises(PhotoError, match=reason):
            read_photo(tmp_path / name)
    with pytest.raises(PhotoError, match="no such file"):
        read_photo(Path("a\0b.png"))


def test_digest_is_of_the_file(tmp_path: Path) -> None:
    data = saved(blocks(), "JPEG")
    (tmp_path / "photo.jpg").write_bytes(data)
    assert read_photo(tmp_path / "photo.jpg").digest == hashlib.sha256(data).hexdigest()


@given(st.dictionaries(st.sampled_from(["parameters", "darkroom", "Comment"]), st.text()))
def test_texts_come_back(texts: dict[str, str]) -> None:
    data = encode_png(blocks(4, 6), texts=texts)
    assert data == encode_png(blocks(4, 6), texts=texts)
    with Image.open(BytesIO(data)) as image:
        image.load()
        assert image.text == texts


def test_text_chunks_are_what_other_tools_read() -> None:
    data = encode_png(blocks(4, 6), texts={"parameters": "café\nSteps: 30", "darkroom": "火星", "x": "bad \udce9 name"})
    assert b"tEXtparameters\0caf\xe9\nSteps: 30" in data
    assert b"iTXtdarkroom\0\0\0\0\0" + "火星".encode() in data
    assert rb"bad \udce9 name" in data


@pytest.mark.parametrize("with_alpha", [False, True])
def test_pixels_come_back(with_alpha: bool) -> None:
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 256, (33, 17, 3), np.uint8)
    alpha = rng.integers(0, 256, (33, 17), np.uint8) if with_alpha else None
    picture = decode_photo(encode_png(pixels, alpha=alpha, icc=SRGB))
    assert np.array_equal(picture.pixels, pixels)
    assert np.array_equal(picture.alpha, alpha) if with_alpha else picture.alpha is None
    assert picture.icc == SRGB
    assert np.array_equal(decode_photo(encode_png(pixels[..., 0])).pixels[..., 2], pixels[..., 0])
