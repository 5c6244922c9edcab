"""What a person takes away: `results/` of a run folder, in the format asked for, and of 16 bits where the photo is."""

from __future__ import annotations

import json
import logging
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.imaging.codec import read_photo
from darkroom.imaging.png import encode_png
from darkroom.provenance.verify import verify
from support.in_process import LEFT, command_line, deliver
from support.photo_files import SRGB, noise16, png16, tiff16
from support.runs import CAR, pixels


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "results").iterdir())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def test_16_bits_are_kept_outside_the_mask_however_many_passes(photos: Path, tmp_path: Path) -> None:
    (photos / "a.png").write_bytes(encode_png(noise16(3), icc=SRGB))
    (photos / "b.tif").write_bytes(tiff16(noise16(4), 6, extra=2))
    (photos / "c.png").write_bytes(png16(noise16(1)))
    stages = {"left": LEFT, "once": {"op": "erase"}, "paint": {"op": "inpaint", "prompt": "x", "seed": 7}}
    for line in deliver(photos, stages, tmp_path / "run"):
        assert line["status"] == "done", line["error"]
        photo, result = read_photo(photos / line["photo"]), read_photo(tmp_path / "run" / line["delivered"])
        mask = pixels(tmp_path / "run" / line["mask"])
        assert (mask == 0).any() and (mask == 255).any() and result.icc == photo.icc
        assert np.array_equal(result.pixels16[mask == 0], photo.pixels16[mask == 0])
        assert (result.pixels16[mask == 255][:, :3] == 7 * 257).all()
        assert (result.pixels16[mask == 255][:, 3:] == 65_535).all()
        assert (tmp_path / "run" / line["result"]).samefile(tmp_path / "run" / line["delivered"])
    assert not verify(tmp_path / "run").problems


def test_verify_sees_the_lowest_of_16_bits(photos: Path, tmp_path: Path) -> None:
    (photos / "a.png").write_bytes(png16(noise16(3)))
    (line,) = deliver(photos, {"left": LEFT, "erase": None}, tmp_path / "run")
    deep = read_photo(tmp_path / "run" / line["result"]).pixels16
    deep[-1, -1, 0] ^= 1
    changed = encode_png(deep)
    for path in (line["result"], line["delivered"]):
        (tmp_path / "run" / path).unlink()
        (tmp_path / "run" / path).write_bytes(changed)
        line["files"][path] = sha256(changed).hexdigest()
    (tmp_path / "run/journal.jsonl").write_text(json.dumps(line) + "\n")
    assert "outside the mask differ by 1 " in "".join(verify(tmp_path / "run").problems)


@pytest.mark.parametrize(("format", "suffix"), [("jpeg", "jpg"), ("webp", "webp")])
def test_a_format_that_is_asked_for(format: str, suffix: str, photos: Path, tmp_path: Path) -> None:
    smooth = np.tile(np.linspace(60, 200, 48).astype(np.uint8)[:, None, None], (1, 64, 3))
    alpha = np.full((48, 64), 255, np.uint8)
    alpha[:, 60:] = 0
    (photos / "day 1").mkdir()
    (photos / "day 1/clear sky.png").write_bytes(encode_png(smooth, alpha=alpha, icc=SRGB))
    stages = {"left": LEFT, "inpaint": {"prompt": ["mars", "a ☃ in snow"], "seed": 180}}
    lines = deliver(photos, stages, tmp_path / "run", format=format, quality=95)
    assert names(tmp_path / "run") == [f"day 1__clear sky.prompt{n}.{suffix}" for n in (1, 2)]
    for line in lines:
        exact = read_photo(tmp_path / "run" / line["result"])
        with Image.open(tmp_path / "run" / line["delivered"]) as image:
            exif = image.getexif().get_ifd(0x8769)
            assert image.info["icc_profile"] == SRGB and image.format.lower() == format
            shown = np.asarray(image.convert("RGBA")).astype(int)
        kind, text = exif[0x9286][:8], exif[0x9286][8:].decode("utf-16-be")
        assert kind == b"UNICODE\0" and text.startswith(f"{line['prompt']}\nSteps: 30") and "Seed: 180" in text
        assert json.loads(exif[0x927C])["photo"] == line["digest"]
        assert np.abs(shown[:, :56, :3] - exact.pixels[:, :56]).mean() < 3
        if format == "webp":
            assert np.array_equal(shown[..., 3], alpha)
        else:
            assert (shown[:, 62:, :3] > 245).all()  # paper, where nothing covers it
    assert not verify(tmp_path / "run").problems
    again = deliver(photos, stages, tmp_path / "again", format=format, quality=95)
    assert [line["files"] for line in again] == [line["files"] for line in lines]
    smaller = deliver(photos, stages, tmp_path / "smaller", format=format, quality=40)
    for line, less in zip(lines, smaller, strict=True):
        sizes = [(tmp_path / "run" / line["delivered"]), (tmp_path / "smaller" / less["delivered"])]
        assert sizes[0].stat().st_size > sizes[1].stat().st_size
        assert less["files"][less["result"]] == line["files"][line["result"]]


def test_what_a_format_cannot_hold_stays_a_png(photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.new("RGB", (16_400, 8)).save(photos / "long.png")
    with caplog.at_level(logging.WARNING):
        (line,) = deliver(photos, {"left": LEFT, "erase": None}, tmp_path / "run", format="webp")
    assert line["status"] == "done" and line["delivered"] == "results/long.png"
    assert "long: kept as PNG: does not fit into a webp file: " in caplog.text


def test_masks_are_delivered_where_nothing_is_repainted_and_photos_that_are_kept(photos: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "green").save(photos / "a.png")
    (line,) = deliver(photos, {"left": LEFT, "invert": None}, tmp_path / "masks", format="jpeg")
    assert line["delivered"] == "results/a.png"
    assert (pixels(tmp_path / "masks/results/a.png")[:, 20:] == 255).all()
    stages = {"left": LEFT, "refine": {"grow": -25}, "erase": None}
    (line,) = deliver(photos, stages, tmp_path / "kept", on_empty="keep")
    assert line["status"] == "done" and np.array_equal(
        pixels(tmp_path / "kept/results/a.png"), pixels(photos / "a.png")
    )
    (line,) = deliver(photos, stages, tmp_path / "skipped", on_empty="skip")
    assert line["delivered"] is None and not (tmp_path / "skipped/results").exists()


def test_no_two_pictures_share_a_name(photos: Path, tmp_path: Path) -> None:
    seeds = {"car.png": "[1, 2]", "car_seed1.png": "1", "CAR.png": "1", "results.png": "1", "car.seed1.png": "[1]"}
    for name in seeds:
        Image.new("RGB", (40, 30), "green").save(photos / name)
    rows = "".join(f'{name},"{seed}"\n' for name, seed in seeds.items())
    (photos / "m.csv").write_text(f"image,seed\n{rows}")
    stages = {"left": LEFT, "inpaint": {"prompt": "x", "seed": "${item.seed}"}}
    delivered = [line["delivered"] for line in deliver(photos / "m.csv", stages, tmp_path / "run")]
    assert len(delivered) == len({each.lower() for each in delivered}) == len(names(tmp_path / "run")) == 6
    assert all(path.startswith("results/car-") for path in delivered[:2]), "CAR.png lies beside it"
    assert delivered[2] == "results/car_seed1.png"


def test_the_command_line_delivers_resumes_and_reproduces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["recipe=car_on_mars", "models=miniature", "stages.inpaint.seed=[0,1]", "stages.inpaint.steps=2"]
    assert command_line(tmp_path, *words, f"dataset.images={CAR}", "results.format=jpeg", "results.quality=80") == 0
    (run,) = tmp_path.glob("outputs/*_car_on_mars")
    assert f"results:       {run}/results\n" in capsys.readouterr().out
    whole = {path.name: path.read_bytes() for path in (run / "results").iterdir()}
    assert sorted(whole) == ["car.seed0.jpg", "car.seed1.jpg"]
    (run / "results/car.seed1.jpg").unlink()
    assert command_line(tmp_path, f"verify={run}") == 3
    assert command_line(tmp_path, f"resume={run}") == 0
    assert {path.name: path.read_bytes() for path in (run / "results").iterdir()} == whole
    assert command_line(tmp_path, f"verify={run}") == 0
    assert command_line(tmp_path, f"reproduce={run}/results/car.seed1.jpg") == 0
    assert "1 of 1 pictures identical" in capsys.readouterr().out
