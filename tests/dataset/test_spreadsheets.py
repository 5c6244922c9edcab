"""Tables as spreadsheets of any country write them: one table, however it was saved, gives the same photos."""

from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from PIL import Image

from darkroom.dataset import Dataset
from darkroom.errors import RecipeError, SetupError
from support.in_process import command_line
from support.runs import journal

HEADER = ["image", "point", "seed", "share", "prompt", "note"]
ROWS: list[list[object]] = [
    ["reds\\car.png", "160,180", "7.0", "0,5", 'Wüste, "rot"; heiß', ""],
    ["bus.png", "[12, 34]", "1E+09", "0.25", "海", ""],
    ["bus.png", "20,30", "3", "1", "true", ""],
]
ITEMS = [
    {"point": "160,180", "seed": 7, "share": "0,5", "prompt": 'Wüste, "rot"; heiß', "note": None},
    {"point": [12, 34], "seed": 1_000_000_000, "share": 0.25, "prompt": "海", "note": None},
    {"point": "20,30", "seed": 3, "share": 1, "prompt": True, "note": None},
]


def written(separator: str, end: str = "\r\n", tail: str = "", bare: bool = False) -> str:
    """The table as text; `bare` leaves out empty cells at the end of rows, as Excel does in long tables."""

    def cell(value: object) -> str:
        text = str(value)
        return '"{}"'.format(text.replace('"', '""')) if set(text) & {separator, '"'} else text

    lines = [separator.join(map(cell, row[:-1] if bare and not row[-1] else row)) for row in [HEADER, *ROWS]]
    return end.join(lines) + end + tail


def xlsx(path: Path) -> None:
    book = Workbook()
    book.active.append(HEADER)
    for row in ROWS:
        book.active.append([float(row[2]) if index == 2 else cell or None for index, cell in enumerate(row)])
    book.active.append([None, "  "])
    book.create_sheet("notes").append(["not", "this"])
    book.save(path)


WAYS: dict[str, tuple[str, bytes | Callable[[Path], None]]] = {
    "comma": (".csv", written(",").encode()),
    "semicolon": (".csv", written(";").encode("utf-8-sig")),
    "semicolon, Unix": (".csv", written(";", "\n").encode()),
    "semicolon, named": (".csv", ("sep=;\r\n" + written(";")).encode("utf-8-sig")),
    "empty rows and columns": (".csv", written(";", tail=";;;;;\r\n;;;;;;;;\r\n\r\n;\r\n").encode()),
    "short rows": (".csv", written(";", bare=True).encode()),
    "tab": (".tsv", written("\t").encode()),
    "UTF-16 with tabs, Excel's Unicode text": (".txt", written("\t").encode("utf-16")),
    "UTF-16, big end first": (".csv", b"\xfe\xff" + written(";").encode("utf-16-be")),
    "xlsx": (".xlsx", xlsx),
}


def table(folder: Path, way: str) -> Path:
    suffix, content = WAYS[way]
    path = folder / f"table{suffix}"
    content(path) if callable(content) else path.write_bytes(content)
    for name in ("reds/car.png", "bus.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (240, 200), "grey").save(folder / name)
    return path


@pytest.mark.fault(
    "Tables",
    "one table saved in ten ways: commas, semicolons, tabs, `sep=;`, UTF-16, .xlsx, empty rows and columns",
    "the same photos and values; `reds\\car.png` is found, `7.0` and `1E+09` are whole numbers",
)
@pytest.mark.parametrize("way", WAYS)
def test_a_table_is_the_same_however_it_was_saved(way: str, tmp_path: Path) -> None:
    dataset = Dataset(manifest=str(table(tmp_path, way)))
    dataset.check(HEADER[1:])
    with pytest.raises(RecipeError, match="no column 'promt', did you mean 'prompt'") as caught:
        dataset.check(["promt"])
    assert len(caught.value.problems) == 1
    photos = list(dataset.photos())
    assert [photo.name for photo in photos] == ["reds/car.png", "bus.png", "bus.png"]
    assert [dict(photo.item) for photo in photos] == ITEMS
    assert [type(photo.item["seed"]) for photo in photos] == [int] * 3
    assert [photo.load().pixels.shape for photo in photos] == [(200, 240, 3)] * 3


RECIPE = """
dataset: {manifest: MANIFEST}
stages:
  car: {op: sam, points: "${item.point}"}
  paint: {op: inpaint, prompt: "${item.prompt}", seed: "${item.seed}", steps: 2, strength: "${item.share}"}
"""


@pytest.mark.fault(
    "Tables",
    "cells that do not fit: a point of one number, a seed of 7.5, a share of 3, #N/A, one cell too many",
    "these rows fail, each named with its row and column; the others are done",
)
@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_a_bad_cell_is_named_by_row_and_column(suffix: str, tmp_path: Path) -> None:
    Image.new("RGB", (240, 200), "grey").save(tmp_path / "a.png")
    rows = [
        ["image", "point", "seed", "share", "prompt"],
        ["a.png", "160,180", "7.0", "0,5", "sea"],
        ["a.png", "160", "7", "0,5", "sea"],
        ["a.png", "160,180", "7.5", "0,5", "sea"],
        ["a.png", "160,180", "7", "3", "sea"],
        ["a.png", "160,180", "7", "0,5", "#N/A"],
        ["a.png", "160,180", "7", "0,5", None],
        ["a.png", "160,180", "7", "0,5", "sea", "more"],
        [None] * 5,
        ["a.png", "160,180", "1E+09", "1", "lake"],
    ]
    path = tmp_path / f"table{suffix}"
    if suffix == ".csv":
        path.write_text("\r\n".join(";".join(cell or "" for cell in row) for row in rows))
    else:
        book = Workbook()
        for row in rows:
            book.active.append(row)
        book.save(path)
    (tmp_path / "own.yaml").write_text(RECIPE.replace("MANIFEST", path.name))
    assert command_line(tmp_path, "recipe=own.yaml", "models=miniature", "device=cpu") == 3
    (folder,) = tmp_path.glob("outputs/*_own")
    first, *bad, last = journal(folder)
    assert (first["status"], last["status"]) == ("done", "done")
    assert (first["seed"], last["seed"]) == (7, 1_000_000_000)
    assert [step["strength"] for step in first["settings"] if step["stage"] == "paint"] == [0.5]
    told = [
        "3: car.points (column point): ",
        "4: paint.seed (column seed): ",
        "5: paint.strength (column share): ",
        "6: prompt: the spreadsheet has the error #N/A in this cell",
        "7: paint.prompt (column prompt): ",
        "8: 6 cells for 5 columns",
    ]
    for line, text in zip(bad, told, strict=True):
        where = f"{line['photo']}: {line['error']}".removeprefix("a.png: ")
        assert where.startswith(f"table{suffix}:{text}"), where


def test_numbers_of_pandas_and_dates_of_excel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.jsonl").write_text(json.dumps({"image": "a.png", "point": "160,180", "seed": 7.0}))
    Image.new("RGB", (240, 200)).save(tmp_path / "a.png")
    text = 'dataset: {manifest: m.jsonl}\nstages:\n  box: {op: grabcut, box: "${item.point},200,199", iterations: 1}\n'
    (tmp_path / "own.yaml").write_text(text + '  paint: {op: inpaint, prompt: a, seed: ["${item.seed}"], steps: 2}\n')
    assert command_line(tmp_path, "recipe=own.yaml", "models=miniature", "dry_run=true") == 0
    assert "1 photo, 1 picture\n" in capsys.readouterr().out
    book = Workbook()
    for row in (["image", "day", "time", "sure"], ["a.png", date(2026, 11, 30), datetime(2026, 11, 30, 12, 5), True]):
        book.active.append(row)
    book.save(tmp_path / "m.xlsx")
    (photo,) = Dataset(manifest=str(tmp_path / "m.xlsx")).photos()
    assert photo.item == {"day": "2026-11-30", "time": "2026-11-30T12:05:00", "sure": True}


def test_a_name_with_a_backslash_that_exists_is_taken_as_it_is(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2)).save(tmp_path / "a\\b.png")
    (tmp_path / "m.csv").write_text("image\na\\b.png\n")
    (photo,) = Dataset(manifest=str(tmp_path / "m.csv")).photos()
    assert photo.name == "a\\b.png" and photo.load().pixels.shape == (2, 3, 3)


def test_spaces_around_a_path_are_no_part_of_it_unless_of_the_name(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2)).save(tmp_path / "b.png ", "PNG")
    (tmp_path / "m.csv").write_text("image;note\n a.png ;\nb.png ;\n")
    assert [photo.name for photo in Dataset(manifest=str(tmp_path / "m.csv")).photos()] == ["a.png", "b.png "]


def test_text_that_is_broken_costs_its_row(tmp_path: Path) -> None:
    lines = ["image;prompt\r\n", "a.png;sea\r\n", "b.png;\ud800\r\n", "c.png;hill\r\n", "d.png;end"]
    data = "".join(lines).encode("utf-16-le", "surrogatepass")
    (tmp_path / "m.csv").write_bytes(b"\xff\xfe" + data[:-1])  # half a letter is missing, too
    rows = [photo.problem or photo.name for photo in Dataset(manifest=str(tmp_path / "m.csv")).photos()]
    bad = "not UTF-8 text: in Excel, save as `CSV UTF-8` or .xlsx"
    assert rows == ["a.png", bad, "c.png", bad]


def sheet(path: Path, rows: str, before: str = "", encoding: str = "utf-8") -> None:
    """A workbook whose sheet holds this XML."""
    Workbook().save(path)
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    data = f'<worksheet xmlns="{space}"><sheetData>{rows}</sheetData></worksheet>'
    zipped(path, parts_of(path) | {"xl/worksheets/sheet1.xml": f"{before}{data}".encode(encoding)})


def parts_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(path: Path, parts: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in parts.items():
            new.writestr(name, content)


def text_cell(place: str, text: str) -> str:
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


HOSTILE = {
    "rows": ("<row r='1'>" + text_cell("A1", "image") + "</row><row r='99999999999'/>", "more than 1,048,576 rows"),
    "columns": ("<row r='1'>" + text_cell("ZZZ1", "image") + "</row>", "more than 1,000 columns"),
    "size": ("<!--" + " " * 100_000_001 + "-->", "more than 100 MB unpacked"),
    "XML": ("<row r='1'><c", "cannot be read as .xlsx: ParseError"),
    "entities": ("&lol;", "cannot be read as .xlsx"),
}


@pytest.mark.fault(
    "Tables",
    "hostile .xlsx files: 100 GB of rows, too many columns, 100 MB of blanks in 100 KB, broken XML, unknown entities",
    "refused before the run, in one line",
)
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_workbooks_are_refused(kind: str, tmp_path: Path) -> None:
    rows, reason = HOSTILE[kind]
    sheet(tmp_path / "m.xlsx", rows)
    with pytest.raises(RecipeError) as caught:
        Dataset(manifest=str(tmp_path / "m.xlsx")).check()
    (line,) = caught.value.problems
    assert reason in line and line.startswith(f"dataset.manifest: {tmp_path}/m.xlsx: ")


@pytest.mark.fault(
    "Tables",
    "an .xlsx file with entities that grow, in UTF-8 or UTF-16, in the sheet or in another part",
    "refused before the run, in one line, before any entity is expanded",
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_not_expanded(encoding: str, tmp_path: Path) -> None:
    path, bomb = tmp_path / "m.xlsx", '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    sheet(path, f"<row r='1'>{text_cell('A1', 'image')}</row><row r='2'>{text_cell('A2', '&b;')}</row>", bomb, encoding)
    with pytest.raises(RecipeError, match=r"m\.xlsx: xl/worksheets/sheet1\.xml has a document type declaration"):
        Dataset(manifest=str(path)).check()
    xlsx(path)
    parts = parts_of(path)
    old = parts["xl/workbook.xml"].decode().partition("?>")[2]
    zipped(path, parts | {"xl/workbook.xml": f"<!--x-->{bomb}{old}".encode(encoding)})
    with pytest.raises(RecipeError, match=r"xl/workbook\.xml has a document type declaration"):
        Dataset(manifest=str(path)).check()


def test_formulas_count_with_their_saved_value_only(tmp_path: Path) -> None:
    link, unsaved = (
        '<f>HYPERLINK("a.png")</f>',
        "a formula without a saved value: open the table in a spreadsheet program",
    )
    rows = [
        text_cell("A1", "image") + text_cell("B1", "note"),
        f'<c r="A2">{link}</c>',
        f'<c r="A3" t="str">{link}<v>a.png</v></c><c r="B3" t="str"><f>""</f><v></v></c>',
        text_cell("A4", "b.png") + '<c r="B4"><f>1+1</f><v/></c>',
        '<c r="A5"><v>7.5</v></c>',
        text_cell("A6", "#N/A"),
    ]
    sheet(tmp_path / "m.xlsx", "".join(f"<row r='{number}'>{row}</row>" for number, row in enumerate(rows, start=1)))
    first, good, second, number, error = Dataset(manifest=str(tmp_path / "m.xlsx")).photos()
    assert first.name == "m.xlsx:2" and first.problem and first.problem.startswith(f"image: {unsaved}")
    assert (good.name, good.item) == ("a.png", {"note": None})
    assert second.problem and second.problem.startswith(f"note: {unsaved}")
    assert number.problem == "image: should be the path of a photo, as text; got 7.5"
    assert error.problem == "image: the spreadsheet has the error #N/A in this cell"


def test_no_line_holds_a_huge_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    huge, path = "x" * 3_000_000, tmp_path / "m.xlsx"
    Image.new("RGB", (240, 200), "grey").save(tmp_path / "a.png")
    good = ["a.png", "160,180", "7", "1", "sea"]
    bad = [["a.png", huge], ["a.png", "1,1", huge], [huge], ["a.png", "1,1", "1", huge], ["a.png", *["1"] * 3, huge]]
    table = [HEADER[:5], good, *bad]
    rows = "".join(f"<row>{''.join(text_cell('', text) for text in row)}</row>" for row in table)
    sheet(path, rows.replace(' r=""', ""))
    (tmp_path / "own.yaml").write_text(RECIPE.replace("MANIFEST", path.name))
    assert command_line(tmp_path, "recipe=own.yaml", "models=miniature", "device=cpu") == 3
    captured = capsys.readouterr()
    lines = (captured.out + captured.err).splitlines()
    assert any("longer than a path can be: xxxx" in line for line in lines), [line[:300] for line in lines]
    assert max(map(len, lines)) < 700, [line[:900] for line in lines if len(line) >= 700]


PIECES = [b'"', b";", b"\n", b"\0", b"\xff\xfe", b"1e999", b'<c r="XFD9"/>', b'<row r="-5">', b"&#0;", b"9" * 400]


@settings(max_examples=60, deadline=None)
@given(way=st.sampled_from(sorted(WAYS)), data=st.data())
def test_damaged_tables_end_in_rows_or_in_one_line(way: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = table(Path(folder), way)
        damaged = path.read_bytes() if path.suffix != ".xlsx" else parts_of(path)["xl/worksheets/sheet1.xml"]
        for _ in range(data.draw(st.integers(1, 5))):
            place = data.draw(st.integers(0, len(damaged)))
            piece = data.draw(st.sampled_from(PIECES) | st.binary(max_size=4))
            damaged = damaged[:place] + piece + damaged[place + data.draw(st.integers(0, 9)) :]
        if path.suffix == ".xlsx":
            zipped(path, parts_of(path) | {"xl/worksheets/sheet1.xml": damaged})
        else:
            path.write_bytes(damaged)
        with suppress(RecipeError):
            assert all(photo.problem or photo.name for photo in Dataset(manifest=str(path)).photos())


def test_a_missing_package_is_named_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    xlsx(tmp_path / "m.xlsx")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(SetupError, match=r"m\.xlsx: \.xlsx needs openpyxl: pip install .*\[xlsx\]"):
        Dataset(manifest=str(tmp_path / "m.xlsx")).check()
