"""Reports are made to be sent away: no page and no sheet says where on this machine anything lies."""

from __future__ import annotations

import html
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from darkroom.report import drawing, sheet, sweep
from darkroom.report.redaction import Redactor
from support.fake_run_folder import data_of
from support.in_process import command_line

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..")
)


class Home:
    """A user's home with photos, masks, tables and a folder that she works in, all with telling names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home/zelda"
        self.here = self.home / "Divorce (private)"
        self.photos = self.home / "My Photos/beach"
        self.masks = root / "vault (old)/masks"
        self.drawn: list[str] = []
        for folder in (self.here / "near", self.photos, self.masks):
            folder.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for folder in (self.here / "near", self.photos):
            for name in ("car.png", "dog one.png", "maskless.png", "broken.png"):
                Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8)).save(folder / name)
            (folder / "broken.png").write_bytes(b"no picture")
        mask = Image.fromarray(np.pad(np.full((8, 8), 255, np.uint8), 8))
        for name in ("car.png", "dog one.png", "near.png"):
            mask.save(self.masks / name)
        Image.new("L", (7, 7)).save(self.masks / "broken.png")

    def recipe(self, dataset: dict[str, Any], folder: str) -> None:
        """Write `mine.yaml`, whose gate flags everything."""
        stages = {
            "mask": {"op": "mask_file", "folder": folder},
            "check": {"op": "gate", "regions": [7, 9], "policy": "flag"},
            "erase": {},
        }
        (self.here / "mine.yaml").write_text(json.dumps({"dataset": dataset, "stages": stages}))

    def betrays(self, text: str) -> list[str]:
        """The absolute paths in a text, or in what it becomes when a browser has read it; and the user's name."""
        forms = [text, html.unescape(text), unquote(text), text.encode().decode("unicode_escape", "replace")]
        forms += [each.replace("\\/", "/").replace("\\\\", "\\") for each in forms]
        lanes = [self.here, self.photos, self.masks]
        telling = {str(path) for lane in lanes for path in (lane, *lane.parents) if len(path.parts) > 2} | {"zelda"}
        return [each for each in telling if any(each in form for form in forms)]


@pytest.fixture
def zelda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = Home(tmp_path)
    monkeypatch.setenv("HOME", str(home.home))
    drawn = drawing.label

    def label(text: str, *rest: Any, **more: Any) -> Image.Image:
        home.drawn.append(text)
        return drawn(text, *rest, **more)

    for module in (drawing, sheet, sweep):
        monkeypatch.setattr(module, "label", label)
    return home


def pages(folder: Path) -> list[Path]:
    found = sorted(folder.glob("outputs/*/index*.html")) + sorted(folder.glob("outputs/*/*/index*.html"))
    assert found
    return found


@pytest.mark.fault(
    "Reports and messages",
    "a run and a sweep below a home folder, with paths in errors, flags, settings and table columns",
    "`index.html` and contact sheet contain no absolute path and no user name; paths are relative to the "
    "current folder or shortened",
)
@pytest.mark.parametrize("where", ["elsewhere", "beside", "table", "sweep"])
def test_no_page_and_no_sheet_betrays_a_place(zelda: Home, where: str) -> None:
    here, masks = zelda.here, str(zelda.masks)
    dataset: dict[str, Any] = {"images": str(zelda.photos)}
    words: list[str] = []
    if where == "beside":
        dataset, masks = {"images": "near"}, str(here / "few masks")
        shutil.copytree(zelda.masks, masks)
    if where == "table":
        rows = [
            {
                "image": name if name.startswith("car") else str(zelda.photos / name),
                "mask": masks,
                "note": f"file://{zelda.photos}/{name}, see {here}:4",
            }
            for name in ("car.png", "dog one.png", "maskless.png", "broken.png", "gone.png")
        ]
        table = zelda.photos / "my list.jsonl"
        table.write_text("".join(json.dumps(each) + "\n" for each in rows) + "{not json\n")
        dataset, masks = {"manifest": str(table)}, "${item.mask}"
    if where == "sweep":
        choices = [str(zelda.photos / "car.png"), str(here / "near/car.png"), str(here / "nowhere.png")]
        words = ["-m", "dataset.images=" + ",".join(f'"{each}"' for each in choices)]
    zelda.recipe(dataset, masks)
    outputs = "outputs" if where != "beside" else str(here / "outputs")
    assert command_line(here, *words, "recipe=mine.yaml", "device=cpu", f"outputs='{outputs}'") in (2, 3)
    told = json.dumps([data_of(page) for page in pages(here)], ensure_ascii=False)
    for text in (*(page.read_text() for page in pages(here)), told, *zelda.drawn):
        assert not zelda.betrays(text), text
    assert any("flagged: " in text for text in zelda.drawn)
    error, column = {
        "elsewhere": ("one mask …/masks/maskless.png (or", None),
        "beside": ("one mask few masks/maskless.png", None),
        "table": ("not JSON: Expecting property name", "file://…/beach/car.png, see .:4"),
        "sweep": ("dataset.images: nowhere.png: no such file", None),
    }[where]
    assert error in told and any(error in text for text in zelda.drawn) and (column or "") in told


def test_the_commands_of_a_page_work_where_the_run_was_started(zelda: Home) -> None:
    zelda.recipe({"images": "near"}, str(zelda.masks))
    assert command_line(zelda.here, "recipe=mine.yaml", "device=cpu") == 3
    (page,) = pages(zelda.here)
    data = data_of(page)
    run = page.parent
    assert data["folder"] == f"outputs/{run.name}"
    command = next(each["reproduce"] for each in data["pictures"] if "reproduce" in each)
    assert command_line(zelda.here, *shlex.split(command)[2:]) == 0


def test_a_run_that_lies_elsewhere_is_called_by_its_name(zelda: Home) -> None:
    zelda.recipe({"images": "near/car.png"}, str(zelda.masks))
    assert command_line(zelda.here, "recipe=mine.yaml", "device=cpu", f"outputs='{zelda.root}/out'") == 0
    (page,) = zelda.root.glob("out/*/index.html")
    (picture,) = data_of(page)["pictures"]
    assert data_of(page)["folder"] == page.parent.name and not zelda.betrays(page.read_text())
    assert picture["reproduce"] == f"python run.py reproduce={page.parent.name}/{picture['result']}"


@pytest.fixture
def redactor(zelda: Home, monkeypatch: pytest.MonkeyPatch) -> Redactor:
    monkeypatch.chdir(zelda.here)
    return Redactor([{"config": {"stages": {"mask": {"folder": "/srv/top secret"}}, "dataset": {"images": "/photos"}}}])


def test_what_a_path_is_called(redactor: Redactor, zelda: Home) -> None:
    home = str(zelda.home)
    for text, expected in {
        f"{zelda.here}/near/car.png: damaged": "near/car.png: damaged",
        f"see {zelda.here}.": "see ..",
        f"{zelda.here}2/x.png": "…/Divorce (private)2/x.png",
        f"one mask {home}/masks/x y.png (or .jpg)": "one mask …/masks/x y.png (or .jpg)",
        f"'{home}'": "'…'",
        f"{home}/x.png, {home}y/x.png": "…/x.png, …/x.png",
        f"failed:\\n{home}/a/b/c.png": "failed:\\n…/b/c.png",
        "/srv/top secret/in here/x.png": "…/top secret/in here/x.png",
        "/photos/car.png and /photos": "…/car.png and …/photos",
        "/home/bob/x.png /Users/bob/Pictures/a/x.png": "…/x.png …/a/x.png",
        r"C:\Users\bob\x.png": "…/x.png",
        "file:///data/bob/a/x.png": "file://…/a/x.png",
        "/media/bob/x.png:4: row": "…/x.png:4: row",
        "a/b, ../a/b/c, ~/a/b/c, https://example.com/a/b, and/or, w/ 24/35 mm, /imagine a car": None,
    }.items():
        assert redactor.redact(text) == (text if expected is None else expected)
    assert redactor.redact({f"{home}/k": [1, None, {"a": f"{home}/x"}]}) == {"…/k": [1, None, {"a": "…/x"}]}


@example(names=["..."], rest=[], around=("0", "0"))
@given(names=st.lists(NAMES, min_size=1, max_size=5), rest=st.lists(NAMES, max_size=3), around=st.tuples(NAMES, NAMES))
def test_a_recorded_folder_never_shows(names: list[str], rest: list[str], around: tuple[str, str]) -> None:
    folder = "/data/" + "/".join(names)
    redactor = Redactor([{"config": {"stages": {"mask": {"folder": folder}}}}])
    text = f"{around[0]} {'/'.join([folder, *rest])} {around[1]}"
    assert "/data/" not in redactor.redact(text).replace(f"{around[0]} ", "", 1).replace(f" {around[1]}", "")


def test_titles_keep_their_words() -> None:
    assert Redactor([]).redact("car_on_mars sweep · 4 pictures, f/2.8 1/60 s") == (
        "car_on_mars sweep · 4 pictures, f/2.8 1/60 s"
    )
    assert not re.search("…", Redactor([]).redact("<b>bold</b> a // b"))
