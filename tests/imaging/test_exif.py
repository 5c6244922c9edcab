"""What a photo's file says of the photo: a result repeats it, but for places and what identifies people's things."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from darkroom.imaging.codec import decode_photo
from darkroom.imaging.delivery_formats import convert_png
from darkroom.imaging.exif import MAX_TEXT, CaptureMetadata
from darkroom.imaging.png import encode_png
from support.in_process import CliInProcess
from support.photo_files import blocks, noise16, png16, saved
from support.runs import journal

TEXTS = {
    "Make": "Nikon",
    "Model": "D70",
    "DateTime": "2026:11:29 21:15:00",
    "Artist": "Zoë Müller",
    "Copyright": "© 2026 Zoë Müller, an editor",
    "DateTimeOriginal": "2026:11:20 14:03:22",
    "OffsetTime": "+01:00",
    "OffsetTimeOriginal": "-07:00",
    "SubsecTime": "48",
    "SubsecTimeOriginal": "481",
    "LensMake": "Nikon",
    "LensModel": "18-70 mm ƒ/3.5-4.5",
}
OUTER = {"Make": 0x10F, "Model": 0x110, "DateTime": 0x132, "Artist": 0x13B, "Copyright": 0x8298}
INNER = {
    **{"DateTimeOriginal": 0x9003, "OffsetTime": 0x9010, "OffsetTimeOriginal": 0x9011, "SubsecTime": 0x9290},
    **{"SubsecTimeOriginal": 0x9291, "LensMake": 0xA433, "LensModel": 0xA434},
}
SECRETS = {0xA430: b"Owner", 0xA431: b"SERIAL-1", 0xA435: b"SERIAL-2", 0x927C: b"MAKER", 0x9286: b"ASCII\0\0\0COMMENT"}

Entry = tuple[int, int, int, bytes]  # tag, type, count, value


def ascii_of(tag: int, text: bytes) -> Entry:
    return tag, 2, len(text) + 1, text + b"\0"


def block(order: str = "<", dpi: tuple[int, int] = (300, 240), orientation: int = 1, **changed: bytes) -> bytes:
    """An EXIF block as cameras write it, with a place, a serial number and a thumbnail."""
    texts = {name: text.encode() for name, text in TEXTS.items()} | changed
    texts["Copyright"] = texts["Copyright"].replace(b", ", b"\0")
    outer = [ascii_of(tag, texts[name]) for name, tag in OUTER.items()]
    inner = [ascii_of(tag, texts[name]) for name, tag in INNER.items()]
    outer.append((0x112, 3, 1, struct.pack(f"{order}H", orientation)))
    outer += [
        (tag, 5, 1, struct.pack(f"{order}II", value * 10, 10)) for tag, value in zip((0x11A, 0x11B), dpi, strict=True)
    ]
    outer.append((0x128, 3, 1, struct.pack(f"{order}H", 2)))
    inner += [(tag, 7, len(value), value) for tag, value in SECRETS.items()]
    gps = [ascii_of(1, b"N"), (2, 5, 3, struct.pack(f"{order}6I", 52, 1, 31, 1, 12, 1)), ascii_of(0x1D, b"2026:11:20")]

    def directory(entries: list[Entry], start: int) -> bytes:
        rows, beyond, place = b"", b"", start + 2 + 12 * len(entries) + 4
        for tag, kind, count, value in sorted(entries):
            at = struct.pack(f"{order}I", place + len(beyond))
            rows += struct.pack(f"{order}HHI", tag, kind, count) + (value.ljust(4, b"\0") if len(value) <= 4 else at)
            beyond += value if len(value) > 4 else b""
        return struct.pack(f"{order}H", len(entries)) + rows + bytes(4) + beyond

    def pointer(tag: int, to: int) -> Entry:
        return tag, 4, 1, struct.pack(f"{order}I", to)

    end = 8 + len(directory([*outer, pointer(0x8769, 0), pointer(0x8825, 0)], 8))
    places = end, end + len(directory(inner, end))
    whole = directory([*outer, pointer(0x8769, places[0]), pointer(0x8825, places[1])], 8)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8)
    return head + whole + directory(inner, places[0]) + directory(gps, places[1])


def facts_in(path: Path) -> tuple[tuple[float, float] | None, dict[int, object], dict[int, object], set[int]]:
    """What another reader finds: resolution, outer and inner EXIF entries, and the directories that there are."""
    with Image.open(path) as image:
        image.load()
        exif = image.getexif()
        dpi = image.info.get("dpi") or tuple(float(exif[tag]) for tag in (0x11A, 0x11B))
        return dpi, dict(exif), dict(exif.get_ifd(0x8769)), set(exif) & {0x8825, 0x8769, 0x927C, 0xA005}


PHOTOS = {
    "a.jpg": saved(blocks(), "JPEG", exif=b"Exif\0\0" + block()),
    "b.jpg": saved(blocks(), "JPEG", exif=b"Exif\0\0" + block(">", (240, 300), orientation=6), dpi=(240, 300)),
    "c.png": saved(blocks(), exif=block(">"), dpi=(300, 240)),
    "d.webp": saved(blocks(), "WEBP", exif=b"Exif\0\0" + block()),
    "e.png": png16(noise16(4), pHYs=struct.pack(">IIB", 11811, 9449, 1), eXIf=block()),
}


@pytest.mark.fault(
    "Photos",
    "photos with resolution, date, camera, lens and author, and with GPS, serial numbers, owner and maker notes",
    "results in every format keep the former and drop the latter",
)
@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff"])
def test_results_repeat_what_is_known_of_the_photo(format: str, tmp_path: Path) -> None:
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    for name, data in PHOTOS.items():
        (tmp_path / "photos" / name).write_bytes(data)
        height, width = decode_photo(data).pixels.shape[:2]
        mask = np.zeros((height, width), np.uint8)
        mask[5:9, 3:9] = 255
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name[0]}.png")
    (tmp_path / "r.yaml").write_text(
        "dataset: {images: photos}\nstages:\n  drawn: {op: mask_file, folder: masks}\n  erase:\n"
    )
    cli = CliInProcess(tmp_path)
    done = cli("recipe=r.yaml", f"results.format={format}")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = journal(cli.run_folder())
    assert len(lines) == len(PHOTOS)
    for line in lines:
        assert Path(line["delivered"]).suffix == {"jpeg": ".jpg", "tiff": ".tif"}.get(format, f".{format}")
        for path in {line["delivered"], line["result"], line["source"]}:
            data = (cli.run_folder() / path).read_bytes()
            dpi, outer, inner, directories = facts_in(cli.run_folder() / path)
            assert np.abs(np.array(dpi) - (300, 240)).max() < 0.01, path
            found = {name: outer[tag] for name, tag in OUTER.items()} | {
                name: inner[tag] for name, tag in INNER.items()
            }
            assert {name: text.encode("latin-1").decode() for name, text in found.items()} == TEXTS
            assert directories == {0x8769} and 0x112 not in outer
            notes = {0x927C} if path.endswith((".jpg", ".webp", ".tif")) else set()
            assert set(inner) == set(INNER.values()) | notes
            assert not any(secret in data for secret in SECRETS.values())


def test_a_photo_that_says_nothing_gets_nothing_said() -> None:
    data = encode_png(blocks())
    assert decode_photo(data).metadata == CaptureMetadata()
    assert b"eXIf" not in data and b"pHYs" not in data
    assert decode_photo(saved(blocks(), "JPEG")).metadata == CaptureMetadata()
    assert decode_photo(saved(blocks(), "TIFF")).metadata == CaptureMetadata()
    assert (
        decode_photo(saved(blocks(), "JPEG", exif=b"Exif\0\0" + block(dpi=(0, 0)))).metadata.dpi is None
    )  # not 72, a guess
    converted = convert_png(data, "jpeg", 90)
    assert decode_photo(converted).metadata == CaptureMetadata()


def rational(*values: int) -> bytes:
    return block().replace(struct.pack("<II", 3000, 10), struct.pack("<II", *values))


HOSTILE = {
    "nothing": b"",
    "no header": b"MM\0+garbage",
    "a directory that is its own child": block().replace(
        struct.pack("<HHI", 0x8769, 4, 1), struct.pack("<HHI", 0x8769, 4, 1)
    )[: block().index(struct.pack("<HHI", 0x8769, 4, 1)) + 8]
    + struct.pack("<I", 8)
    + block()[block().index(struct.pack("<HHI", 0x8769, 4, 1)) + 12 :],
    "cut off": block()[:150],
    "65535 entries": b"II*\0\x08\0\0\0\xff\xff" + block()[10:],
    "a rational of nothing": rational(0, 0),
    "an infinite rational": rational(1, 0),
    "four billion dpi": rational(2**32 - 1, 1),
    "a long author": block(Artist=b"A" * (MAX_TEXT + 1)),
    "escape characters": block(
        Artist=b"\x1b[2J\x1b]0;x\x07", Model=b"a\nb", LensModel=b"\xc2\x9b31m", Make=b"\xe2\x80\xae"
    ),
    "dates that are none": block(DateTime=b"    :  :     :  :  ", DateTimeOriginal=b"yesterday", OffsetTime=b"Z"),
    "numbers as text": block().replace(struct.pack("<HH", 0x10F, 2), struct.pack("<HH", 0x10F, 4)),
    "text as resolution": block().replace(struct.pack("<HH", 0x11A, 5), struct.pack("<HH", 0x11A, 2)),
    "an orientation of text": block().replace(struct.pack("<HH", 0x112, 3), struct.pack("<HH", 0x112, 2)),
    "an orientation that does not exist": block(orientation=99),
}


def near(dpi: tuple[float, float] | None) -> object:
    """A PNG counts pixels by the metre, a JPEG whole ones by the inch."""
    return dpi and pytest.approx(dpi, abs=0.51)


def assert_harmless(exif: bytes) -> None:
    """Photos with this EXIF block are decoded, and results repeat what is left of it."""
    for format, block in {"PNG": exif, "JPEG": b"Exif\0\0" + exif, "WEBP": b"Exif\0\0" + exif}.items():
        picture = decode_photo(saved(blocks(), format, exif=block))
        assert sorted(picture.pixels.shape) == [3, 48, 80]
        assert all(text.isprintable() and len(text) <= MAX_TEXT for text in picture.metadata.texts.values())
        result = encode_png(picture.pixels, metadata=picture.metadata)
        for data in (result, convert_png(result, "jpeg", 90), convert_png(result, "webp", 90)):
            again = decode_photo(data).metadata
            assert again.texts == picture.metadata.texts and again.dpi == near(picture.metadata.dpi)


@pytest.mark.fault(
    "Photos",
    "EXIF blocks that are damaged, circular, claim huge values, or contain control characters",
    "the photo is edited; the suspicious metadata is dropped",
)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_exif_costs_facts_only(name: str) -> None:
    assert_harmless(HOSTILE[name])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_damage_to_an_exif_block_costs_a_photo(data: st.DataObject) -> None:
    damaged = bytearray(block(data.draw(st.sampled_from("<>")), orientation=data.draw(st.integers(1, 8))))
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(8, len(damaged) - 1), st.integers(0, 255)), min_size=1)
    ):
        damaged[place] = value
    assert_harmless(bytes(damaged))


def test_what_is_left_out_is_only_what_is_wrong() -> None:
    texts = decode_photo(saved(blocks(), exif=HOSTILE["escape characters"])).metadata.texts
    assert set(TEXTS) - set(texts) == {"Artist", "Model", "LensModel", "Make"}
    assert decode_photo(saved(blocks(), exif=HOSTILE["a rational of nothing"])).metadata.dpi is None
    assert set(TEXTS) == set(decode_photo(saved(blocks(), exif=HOSTILE["an infinite rational"])).metadata.texts)
    texts = decode_photo(saved(blocks(), exif=HOSTILE["dates that are none"])).metadata.texts
    assert set(TEXTS) - set(texts) == {"DateTime", "DateTimeOriginal", "OffsetTime"}
    latin = decode_photo(saved(blocks(), exif=block(Artist="Zoë".encode("latin-1")))).metadata.texts
    assert latin["Artist"] == "Zoë"


def test_16_bit_and_tiff_files_say_it_too() -> None:
    tiff = BytesIO()
    exif = Image.Exif()
    exif[0x10F], exif[0x13B] = "Nikon", "Zoe"
    exif[0x112] = 6
    Image.fromarray(blocks()).save(tiff, "TIFF", exif=exif, dpi=(240, 300))
    picture = decode_photo(tiff.getvalue())
    assert picture.metadata == CaptureMetadata((300.0, 240.0), {"Make": "Nikon", "Artist": "Zoe"})
    deep = decode_photo(PHOTOS["e.png"])
    again = decode_photo(encode_png(deep.pixels16, metadata=deep.metadata, texts={"parameters": "IDAT"}))
    assert again.metadata == deep.metadata == CaptureMetadata((300.0, 240.0), TEXTS) and np.array_equal(
        again.pixels16, deep.pixels16
    )
