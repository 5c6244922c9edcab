"""Huge photos: refused before they are decoded, or worked on within a stated multiple of what they take decoded."""

from __future__ import annotations

import json
import struct
import subprocess
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from darkroom.errors import PhotoError
from darkroom.imaging import bands, compositing, seam
from darkroom.imaging.bands import by_bands
from darkroom.imaging.codec import decode_photo
from darkroom.imaging.crops import Crop
from darkroom.imaging.edit import Edit
from darkroom.imaging.png import encode_png
from darkroom.imaging.unreadable import MAX_DECODED
from support.runs import Cli, journal

MULTIPLE = {8: 8, 16: 3.5}  # of the decoded bytes, with this recipe; docs/datasets.md has those of the worst
OTHERS = 250_000_000  # what Python, the libraries and a small photo take
RECIPE = """
dataset: {images: PHOTO}
stages:
  thing: {op: grabcut, box: [0.4, 0.4, 0.6, 0.6], units: fraction, iterations: 1, working_size: 128}
  rough: {op: mask_file, folder: masks}
  both: {op: combine, mask: thing}
  refine: {grow: 3, feather: 6, fill_holes: true, min_area: 50}
  gate: {coverage: [0, 1]}
  erase:
"""


def noisy(height: int, width: int) -> np.ndarray:
    """A picture that compresses badly, (H, W, 3) uint8."""
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (height // 100, width // 100, 3), np.uint8)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return large ^ random.integers(0, 8, (1, width, 3), np.uint8)


def photo(bits: int) -> bytes:
    """12 megapixels with transparency."""
    colours = noisy(3000, 4000)
    alpha = np.full(colours.shape[:2], 255, np.uint8)
    alpha[:1000] = colours[:1000, :, 0]
    if bits == 8:
        return encode_png(colours, alpha=alpha)
    return encode_png(np.dstack([colours, alpha]) * np.uint16(257))


@pytest.mark.fault(
    "Photos",
    "12 megapixels with 8 and 16 bits and transparency, and a mask of noise",
    "memory stays within 8 and 3.5 times the decoded photo",
)
@pytest.mark.parametrize("bits", [8, pytest.param(16, marks=pytest.mark.slow)])
def test_memory_stays_within_a_multiple_of_the_decoded_photo(cli: Cli, bits: int) -> None:
    (cli.folder / "huge.png").write_bytes(photo(bits))
    (cli.folder / "masks").mkdir()
    noise = np.zeros((3000, 4000), np.uint8)
    noise[100:200] = (np.random.default_rng(1).random((100, 4000)) < 0.5) * 255
    (cli.folder / "masks/huge.png").write_bytes(encode_png(noise))
    (cli.folder / "own.yaml").write_text(RECIPE.replace("PHOTO", "huge.png"))
    # From a shell: a process begins with the peak of the one that has started it, and this one's is high.
    command = ["sh", "-c", '"$@"; exit $?', "sh", *cli.command("recipe=own.yaml", "models=miniature")]
    done = subprocess.run(command, cwd=cli.folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = cli.run_folder()
    peak = json.loads((folder / "run.json").read_text())["work"]["peak_memory"]
    decoded = 4000 * 3000 * (4 if bits == 8 else 12)
    assert peak - OTHERS < MULTIPLE[bits] * decoded, f"{(peak - OTHERS) / decoded:.1f} times"
    (line,) = journal(folder)
    assert line["status"] == "done" and line["outside_max_diff"] == 0


def header(width: int, height: int, bits: int, colour: int) -> bytes:
    """A PNG that claims a size, and ends soon: whoever decodes it is told that it is cut off."""
    parts = [b"IHDR" + struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0), b"IDAT" + zlib.compress(bytes(9))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts
    )


@pytest.mark.fault(
    "Photos",
    "a 16-bit PNG of 160 megapixels, which can be 1 MB",
    "refused before decoding, with its size and the memory it would take",
)
def test_what_is_too_large_decoded_is_refused_unread() -> None:
    with pytest.raises(PhotoError) as caught:
        decode_photo(header(16_000, 10_000, 16, 2))
    told = "16000 x 10000 px in 3 channels of 16 bits take 1.4 GB decoded, more than 1 GB"
    assert str(caught.value) == told
    with pytest.raises(PhotoError, match=r"in 4 channels of 16 bits take 1\.2 GB decoded"):
        decode_photo(header(10_000, 10_000, 16, 6))
    assert MAX_DECODED > 102_000_000 * 9 and MAX_DECODED > 170_000_000 * 4  # cameras of medium format pass


@pytest.mark.fault("Masks", "a mask far larger than its photo", "refused from its header, without decoding")
def test_a_mask_of_another_size_is_not_decoded(tmp_path: Path) -> None:
    from darkroom.stages.mask_file import read_mask

    (tmp_path / "mask.png").write_bytes(header(4000, 3000, 8, 2))
    with pytest.raises(PhotoError, match="is 4000 x 3000 px, but the photo is 40 x 30 px"):
        read_mask(tmp_path / "mask.png", (40, 30))


SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(SIZES.flatmap(lambda size: st.tuples(arrays(np.uint8, (*size, 3)), arrays(np.uint8, (*size, 3)))), st.data())
def test_bands_change_nothing(pictures: tuple[np.ndarray, np.ndarray], data: st.DataObject) -> None:
    """Every result is the same in one piece and row by row."""
    one, other = pictures
    size = one.shape[:2]
    alpha = data.draw(arrays(np.uint8, size, elements=st.sampled_from([0, 1, 128, 255])))
    opacity = data.draw(st.none() | arrays(np.uint8, size))
    crop = Crop(0, 0, size[1], size[0], size[1], size[0])

    def results() -> list:
        pasted = compositing.paste(one, alpha, crop, other, opacity)
        edit = Edit(one, other, repainted=alpha)
        masked = edit.with_mask(alpha / np.float32(200)).mask
        step = seam.seams([one, other], alpha > 0)
        return [
            *(pasted.tolist(), masked.tolist(), edit.outside_max_diff(), step and np.round(step, 6).tolist()),
            compositing.fill_alpha(alpha, other[..., 0]).tolist(),
            compositing.flatten(one, alpha).tolist(),
            compositing.inward_ramp(alpha, 2).tolist(),
            by_bands(lambda part: part + 1, one).tolist(),
            encode_png(one * np.uint16(257)),
        ]

    whole = results()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "_PIXELS", 1)
        by_rows = results()
    assert by_rows[:-1] == whole[:-1]
    assert np.array_equal(decode_photo(by_rows[-1]).pixels16, decode_photo(whole[-1]).pixels16)
    outside = np.abs(one.astype(int) - other)[alpha == 0]
    assert whole[2] == outside.max(initial=0)


@given(SIZES.flatmap(lambda size: arrays(np.uint16, (*size, 3)) | arrays(np.uint16, (*size, 4))))
def test_a_png_of_16_bits_comes_back(pixels: np.ndarray) -> None:
    picture = decode_photo(encode_png(pixels))
    assert np.array_equal(picture.pixels16, pixels) and np.array_equal(picture.pixels, pixels[..., :3] >> 8)
    with Image.open(BytesIO(encode_png(pixels))) as image:
        image.verify()
