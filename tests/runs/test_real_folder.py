"""A folder as people have it, with a table from a European Excel and drawn masks, goes through one recipe."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.imaging.codec import read_photo
from support.real_folder import SYSTEM_FILES, File, ball, files, mask_name, put, put_file, size_of, table
from support.runs import Cli, journal

QUICK = "  erase:\n"
SLOW = '  paint: {op: inpaint, prompt: "red desert", seed: [1, 2], steps: 2}\n'
RECIPE = """
dataset: {manifest: Liste.csv}
stages:
  drawn: {op: mask_file, file: "${item.maske}", resize: true}
  refine: {grow: "${item.rand}", feather: 2}
"""


def build(folder: Path, listed: list[File]) -> None:
    for number, file in enumerate(listed):
        put_file(folder, file, number)
    for name in SYSTEM_FILES:
        put(folder / "Fotos", name, b"\xff\xd8system")
    (folder / "Liste.csv").write_bytes(table(listed))


def run(cli: Cli, ending: str, *words: str) -> tuple[Path, list[dict], str]:
    (cli.folder / "auftrag.yaml").write_text(RECIPE + ending)
    done = cli("recipe=auftrag.yaml", "models=miniature", "device=cpu", *words)
    assert done.returncode == 3, done.stderr
    folder = max(cli.folder.glob("outputs/*_auftrag"))
    return folder, journal(folder), done.stdout


def check(listed: list[File], lines: list[dict], folder: Path) -> None:
    """Every file is done, or named with its reason; a finished one is changed where its mask is and nowhere else."""
    assert [line["photo"] for line in lines] == [f"Fotos/{file.name}" for file in listed]
    for number, (file, line) in enumerate(zip(listed, lines, strict=True)):
        if file.problem:
            assert line["status"] == "failed" and file.problem in line["error"], (file.name, line["error"])
            continue
        assert line["status"] == "done" and line["outside_max_diff"] == 0, (file.name, line["error"])
        result, photo = read_photo(folder / line["delivered"]), read_photo(Path(line["path"]))
        assert result.pixels.shape[1::-1] == size_of(number) and (result.bits, result.icc) == (photo.bits, photo.icc)
        inside, mask = np.asarray(ball(*size_of(number))) > 0, np.asarray(Image.open(folder / line["mask"]))
        assert (mask[inside] == 255).mean() > 0.97 and (mask > 127).sum() < 2 * inside.sum(), file.name
        changed = (result.pixels != photo.pixels).any(axis=2)
        assert changed[inside].mean() > 0.5 and not changed[mask == 0].any(), file.name


@pytest.mark.fault(
    "Photos",
    "a folder of 60 mixed files (HEIC, rotated, CMYK, 16 bits, transparent, screenshots, strays, broken) with a table"
    " from a European Excel and masks drawn in six ways",
    "every file is done or named with its reason; with one photo renamed and one added, all names stay, and one photo"
    " is computed",
)
def test_a_folder_as_people_have_it(cli: Cli) -> None:
    listed = files()
    assert len(listed) == 60
    build(cli.folder, listed)
    first, lines, _ = run(cli, QUICK)
    check(listed, lines, first)
    assert cli(f"verify={first}").returncode == 0

    renamed, added = File("Kamera/Miller_01.jpg", listed[17].content), File("Handy/IMG_9.HEIC", listed[0].content)
    old = listed[17].name
    (cli.folder / "Fotos" / old).rename(cli.folder / "Fotos" / renamed.name)
    put_file(cli.folder, added, 60)
    again = [added, *(renamed if file.name == old else file for file in listed)]
    head, *rows = (cli.folder / "Liste.csv").read_bytes().splitlines(keepends=True)
    (name,) = (row for row in rows if "Müller_01.jpg".encode() in row)
    rows[rows.index(name)] = name.replace("Fotos\\Kamera\\Müller".encode(), b"Fotos\\Kamera\\Miller")
    (cli.folder / "Liste.csv").write_bytes(b"".join([head, table([added]).splitlines(keepends=True)[1], *rows]))
    second, more, _ = run(cli, QUICK)
    assert [line["photo"] for line in more] == [f"Fotos/{file.name}" for file in again]
    before, after = ({line["photo"]: (line["folder"], line["delivered"]) for line in each} for each in (lines, more))
    kept = before.keys() - {f"Fotos/{old}"}
    assert {photo: after[photo] for photo in kept} == {photo: before[photo] for photo in kept}
    assert all(after[f"Fotos/{file.name}"][1] for file in (renamed, added))
    work = json.loads((second / "run.json").read_text())["work"]
    assert work["computed"] == {"mask_file": 2, "refine": 1, "erase": 1}  # the mask that is a photo is tried again


def test_the_folder_without_its_table(cli: Cli) -> None:
    """Photos are found by suffix, strays counted by kind, and masks found by their names."""
    listed = files()
    build(cli.folder, listed)
    words = ("dataset.manifest=null", "dataset.images=Fotos", "stages.refine.grow=1")
    masks = ("stages.drawn.file=null", "stages.drawn.folder=Masken", "stages.drawn.suffix=_Maske")
    counts = Counter(Path(file.name).with_suffix("") for file in listed)
    usable = [file for file in listed if not file.problem and counts[Path(file.name).with_suffix("")] == 1]
    for file in usable:
        mask = cli.folder / "Masken" / mask_name(file)
        mask.rename(mask.with_name(f"{Path(file.name).stem}_Maske{mask.suffix}"))
    _, lines, said = run(cli, QUICK, *words, *masks, "limit=50")
    assert "skipped 7 files: 2 camera raw (.cr2, .nef), 1 layered (.psd), 1 other picture format (.pdf), " in said
    assert "1 side-car (.aae), 1 text or table (.txt), 1 video (.mov); " in said
    assert "50 of 53 photos are taken, by dataset.only, dataset.exclude or limit" in said
    done = {line["photo"] for line in lines if line["status"] == "done"}
    assert done == {file.name for file in usable} & {line["photo"] for line in lines} and len(done) > 20
    phones = [line["photo"].removeprefix("Handy/") for line in lines if line["photo"].startswith("Handy/IMG")]
    assert phones == ["IMG_2.HEIC", "IMG_10.HEIC", "IMG_11.heif", "IMG_12.HEIC", "IMG_E13.HEIC"]
    assert not [line for line in lines if "eaDir" in line["photo"] or "._" in line["photo"]]


@pytest.mark.slow  # test_a_folder_as_people_have_it goes the same way without diffusion
def test_a_folder_as_people_have_it_is_repainted(cli: Cli) -> None:
    listed = files()
    build(cli.folder, listed)
    folder, lines, _ = run(cli, SLOW, "results.what=[picture,cutout,mask]")
    done = [line for line in lines if line["status"] == "done"]
    assert len(done) == 2 * sum(not file.problem for file in listed)
    assert {line["photo"] for line in lines} == {f"Fotos/{file.name}" for file in listed}
    assert cli(f"verify={folder}").returncode == 0
