"""One bad row of a table costs its photo: it is named with line, column and reason, and the others are made."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from support.in_process import command_line
from support.runs import ROOT, journal

CAR = str(ROOT / "examples/car.png")
BOX = """
dataset: {manifest: photos.jsonl}
on_empty: keep
stages:
  box: {op: grabcut, box: "${item.box}", iterations: 1}
  erase:
"""
PAINT = """
dataset: {manifest: photos.jsonl}
stages:
  car: {op: sam, points: [[330, 300]]}
  mars: {op: inpaint, steps: 2, prompt: "${item.text}", prompt_syntax: SYNTAX}
"""
GOOD = json.dumps({"image": CAR, "box": [200, 250, 460, 400]})


def column(value: str) -> str:
    """A row of JSON whose column holds this, as it is written."""
    return f'{{"image": {json.dumps(CAR)}, "box": {value}}}'


def image(name: str) -> str:
    return json.dumps({"image": name, "box": [200, 250, 460, 400]})


BAD = {
    column(f"[{'9' * 400}, 1]"): "box[0]: not a finite number",
    column("[1e999, 1]"): "box[0]: not a finite number",
    column("[NaN, 1]"): "box[0]: not a finite number",
    column("9" * 5000): "box: not a finite number",
    column("[" * 30 + "]" * 30): "nested more than 20 deep",
    column("[" * 100_000): "nested more than 20 deep",
    column('"\\ud800"'): "box: half of a surrogate pair",
    column('"\\udce4"'): "not UTF-8 text",
    column("[1e300, 1e300, 1e301, 1e301]"): "outside",
    column("1e300"): "box",
    image("."): "image: .: is a folder",
    image("/"): "image: /: is a folder",
    image("folder"): "a folder, not a file",
    image(".."): "a folder, not a file",
    image("pipe"): "a pipe or device, not a file",
    image("/dev/zero"): "a pipe or device, not a file",
    image("x" * 5000): "longer than a path can be",
    image("x/" * 3000): "longer than a path can be",
    image("a\0b"): "no such file can exist",
}


def strictly_read(folder: Path) -> list[dict]:
    """The journal, where NaN and Infinity are no JSON."""
    lines = (folder / "journal.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=lambda name: pytest.fail(name)) for line in lines]


@pytest.mark.fault(
    "Tables",
    "cells that no recipe can use (5,000 digits, 1e999, NaN, lists 30 deep), images that are folders, pipes or devices",
    "that row fails, named with line, column and reason; the other rows are finished and reported",
)
def test_a_bad_cell_costs_its_row(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "own.yaml").write_text(BOX)
    (tmp_path / "photos.jsonl").write_text("\n".join([GOOD, *BAD, GOOD]))
    assert command_line(tmp_path, "recipe=own.yaml", "models=miniature", "dry_run=true") == 0
    assert command_line(tmp_path, "recipe=own.yaml", "models=miniature") == 3
    (folder,) = tmp_path.glob("outputs/*_own")
    first, *bad, last = strictly_read(folder)
    assert first["status"] == last["status"] == "done"
    for number, (line, reason) in enumerate(zip(bad, BAD.values(), strict=True), 2):
        assert line["status"] == "failed" and reason in line["error"], (reason, line["error"][:200])
        if reason.startswith(("box", "image", "nested", "not UTF-8")):
            assert f"photos.jsonl:{number}" in (line["photo"], line["error"].partition(": ")[0])
    assert (folder / "index.html").is_file() and (folder / "contact_sheet.jpg").is_file()


def test_cells_of_csv_that_are_no_values(tmp_path: Path) -> None:
    rows = ['"[1e999, 1, 2, 3]"', '"[NaN, 1, 2, 3]"', "1e999", "9" * 400, "NaN", "1e999 things", "[[[", "Infinity"]
    (tmp_path / "own.yaml").write_text(BOX.replace("jsonl", "csv"))
    text = [f'image,box\n{CAR},"[200, 250, 460, 400]"', *(f"{CAR},{cell}" for cell in rows)]
    (tmp_path / "photos.csv").write_text("\n".join(text))
    assert command_line(tmp_path, "recipe=own.yaml", "models=miniature") == 3
    (folder,) = tmp_path.glob("outputs/*_own")
    good, *bad = strictly_read(folder)
    assert good["status"] == "done"
    assert [line["photo"] for line in bad[:4]] == [f"photos.csv:{number}" for number in (3, 4, 5, 6)]
    assert all("not a finite number" in line["error"] for line in bad[:4])
    assert [line["item"]["box"] for line in bad[4:]] == rows[4:]  # texts, which are no boxes


@pytest.mark.fault(
    "Tables",
    "a prompt in row 2 that compel cannot parse",
    "that photo fails, named with row, prompt and reason; if all rows are bad, the run is refused before it starts",
)
def test_a_prompt_that_compel_cannot_read_costs_its_photo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["red desert", "a (red:1.4) car", '("a", "b").blend(1)', "blue sea"]
    rows = [json.dumps({"image": CAR, "text": text}) for text in texts]
    (tmp_path / "own.yaml").write_text(PAINT.replace("SYNTAX", "compel"))
    words = ("recipe=own.yaml", "models=miniature")
    (tmp_path / "photos.jsonl").write_text("\n".join(rows[1:3]))
    assert command_line(tmp_path, *words) == 2
    assert not list(tmp_path.glob("outputs/*"))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0].startswith("own.yaml: stages.mars.prompt: ")
    assert {line[-16:] for line in lines} == {"(photos.jsonl:1)", "(photos.jsonl:2)"}
    (tmp_path / "photos.jsonl").write_text("\n".join(rows))
    assert command_line(tmp_path, *words, "dry_run=true") == 0
    assert f"  cannot be made: {CAR}: photos.jsonl:2: stages.mars.prompt: (red:1.4) is " in capsys.readouterr().out
    assert command_line(tmp_path, *words) == 3
    (folder,) = tmp_path.glob("outputs/*_own")
    done, web, broken, last = journal(folder)
    assert done["status"] == last["status"] == "done"
    assert web["error"].startswith("photos.jsonl:2: stages.mars.prompt: (red:1.4) is how web UIs write a weight")
    assert web["error"].endswith("; in 'a (red:1.4) car'")
    assert broken["error"].startswith("photos.jsonl:3: stages.mars.prompt: ") and "mismatched" in broken["error"]
    assert broken["error"].endswith('; in \'("a", "b").blend(1)\'')


def test_a_warning_names_the_rows_that_it_comes_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = "a desert of red sand with rocks, dunes and craters, a dusty sky above, two moons, " * 2
    rows = [json.dumps({"image": CAR, "text": text}) for text in ("snow", *[long + "at dusk"] * 5, long + "at dawn")]
    (tmp_path / "photos.jsonl").write_text("\n".join(rows))
    (tmp_path / "own.yaml").write_text(PAINT.replace("SYNTAX", "plain"))
    assert command_line(tmp_path, "recipe=own.yaml", "models=miniature", "dry_run=true") == 0
    dusk, dawn = [line for line in capsys.readouterr().out.splitlines() if "too long" in line]
    assert dusk.endswith("(photos.jsonl:2, photos.jsonl:3, photos.jsonl:4 and 2 more)")
    assert dawn.endswith("(photos.jsonl:7)")
