"""`results.name`: pictures get the names that a template gives; a run in which two would share one is refused."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from darkroom.dataset import Photo
from darkroom.planning.plan import Step
from darkroom.record.result_names import result_name
from darkroom.stages.inpaint import Inpaint
from darkroom.system.file_names import is_portable
from support.in_process import CliInProcess
from support.runs import journal

STEP = Step(1, "paint", "inpaint", Inpaint(prompt="x", seed=7), "prompt2-seed7", ())
DRAWN = "  drawn: {op: mask_file, folder: masks}\n  erase:\n"


def name(template: str, photo: str, **item: object) -> str:
    return result_name(template, Photo(Path("/photos") / photo, photo, item), [STEP])


@pytest.mark.parametrize(
    ("template", "photo", "result"),
    [
        ("${folder}/${stem}_${seed}", "Tag 1/Müller.jpg", "Tag 1/Müller_7"),
        ("${stem}_${seed}_${variant}", "отпуск/море.png", "море_7_prompt2-seed7"),
        ("${folder}_${stem}.${suffix}", "写真.WEBP", "写真.webp"),
        ("${prompt}/${item.sku}-${item.price}", "a.jpg", "2/AB_12-7"),
        ("${stem}-${folder}", "../../elsewhere/a.jpg", "a-elsewhere"),
        ("${folder}/${stem}", "/home/me/private/a.jpg", "private/a"),
        ("${stem}/./.${stem}.", "a.jpg", "a/_a"),
        ("${folder}/${stem}", "v1.2/shots.png/con.jpg", "v1.2/shots_png/_con"),
        ("${stem}", "10:30 <b>.jpg", "10_30 _b_"),
        ("${stem}", unicodedata.normalize("NFD", "Müller.jpg"), unicodedata.normalize("NFC", "Müller")),
    ],
)
def test_a_template_names_a_picture(template: str, photo: str, result: str) -> None:
    assert name(template, photo, sku="AB/12", price=7) == result


_text = st.text(st.sampled_from('ab./\\ :~_-é海😀\n\u202e\udcff\0"'), max_size=200)


@pytest.mark.fault(
    "Photos",
    "`results.name` with columns and names that hold `..`, slashes, null characters, devices, 600 bytes",
    "every name stays inside `results/`, and every system allows it",
)
@given(_text, _text | st.sampled_from(["con", "NUL.png", "..", "a" * 300]), _text)
@settings(max_examples=500, deadline=None)
def test_a_result_stays_in_its_folder_whatever_is_in_names_and_columns(before: str, stem: str, column: str) -> None:
    photo = Photo(Path("/photos/x.jpg"), f"{before}/{stem}x.jpg", {"c": column + "c"})
    found = result_name("${folder}/${stem}/${item.c}", photo, [STEP])
    assert not found.startswith("/") and len(PurePosixPath(found).parts) <= 23
    for part in found.split("/"):
        assert is_portable(part) and len(part.encode()) <= 151 and part.isprintable() and not part.startswith(".")


@pytest.fixture
def cli(tmp_path: Path) -> CliInProcess:
    """Two photos of one name in two folders and a mask for each; a table of them with a column `sku`."""
    for folder in ("one", "two"):
        for root in ("photos", "masks"):
            (tmp_path / root / folder).mkdir(parents=True)
        Image.new("RGB", (40, 30), "green" if folder == "one" else "red").save(tmp_path / "photos" / folder / "a.jpg")
        mask = Image.new("L", (40, 30))
        mask.paste(255, (10, 10, 20, 20))
        mask.save(tmp_path / "masks" / folder / "a.png")
    (tmp_path / "r.yaml").write_text(f"dataset: {{images: photos}}\nstages:\n{DRAWN}")
    (tmp_path / "photos/t.csv").write_text("image,sku\none/a.jpg,A 1\ntwo/a.jpg,a 1\none/a.jpg,\n")
    (tmp_path / "t.yaml").write_text(f"dataset: {{manifest: photos/t.csv}}\nstages:\n{DRAWN}")
    return CliInProcess(tmp_path)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["recipe=r.yaml", "results.name=${stem}"], "one/a.jpg and two/a.jpg would both be results/a; add ${folder}, "),
        (["recipe=t.yaml", "results.name=${item.sku}"], "t.csv:2 and t.csv:3 would both be results/a 1; add "),
        (["recipe=t.yaml", "results.name=${item.sky}"], "no column 'sky', did you mean 'sku'?"),
        (["recipe=r.yaml", "results.name=${stem}${item.sku}"], "no column 'sku', valid: stem, folder, caption, date"),
        (["recipe=r.yaml", "results.name=${stem}_${seed}"], "the picture has no seed"),
        (["recipe=r.yaml", "results.name=photo"], "results.name: 'photo' should be a template with ${folder}, "),
        (["recipe=r.yaml", "results.name=${stam}"], "results.name: '${stam}' should be a template with "),
        (["recipe=r.yaml", "results.name=${stem"], "results.name"),
        (["recipe=r.yaml", "results.name=/tmp/x/${stem}"], "'/tmp/x/${stem}' should be a path inside results/: "),
        (["recipe=r.yaml", "results.name='../../${stem}'"], "'../../${stem}' should be a path inside results/: "),
        (["recipe=r.yaml", "results.name='C:/${stem}'"], "'C:/${stem}' should be a path inside results/: "),
        (["recipe=r.yaml", "results.name=7"], "results.name: 7 should be a "),
    ],
)
def test_a_template_that_cannot_name_all_pictures_is_one_line_before_a_run_and_in_a_dry_run(
    cli: CliInProcess, words: list[str], error: str
) -> None:
    for more in ((), ("dry_run=true",)):
        done = cli(*words, *more)
        assert done.returncode == 2 and error in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
        assert not (cli.folder / "outputs").exists()


def test_results_have_the_names_of_the_template(cli: CliInProcess) -> None:
    words = ["recipe=r.yaml", "results.name=${folder}/${stem}_new_${variant}", "results.what=[picture,cutout]"]
    assert cli(*words).returncode == 0
    run = cli.run_folder()
    names = {"one/a_new.png", "one/a_new.cutout.png", "two/a_new.png", "two/a_new.cutout.png"}
    assert {path.relative_to(run / "results").as_posix() for path in (run / "results").rglob("*.png")} == names
    assert [line["delivered"] for line in journal(run)] == ["results/one/a_new.png", "results/two/a_new.png"]
    assert cli(f"verify={run}").returncode == 0
    assert cli(f"reproduce={run}/results/two/a_new.png").returncode == 0


def test_a_row_without_the_column_costs_that_row(cli: CliInProcess) -> None:
    (cli.folder / "photos/t.csv").write_text("image,sku\none/a.jpg,A1\ntwo/a.jpg,\n")
    words = ["recipe=t.yaml", "results.name=${item.sku}"]
    reason = "t.csv:3: results.name: the column 'sku' should be a text or number; got None"
    assert f"cannot be made: two/a.jpg: {reason}" in cli(*words, "dry_run=true").stdout
    assert cli(*words).returncode == 3
    done, failed = journal(cli.run_folder())
    assert done["delivered"] == "results/A1.png" and failed["error"] == reason


def test_a_resume_gives_no_finished_name_to_another_photo(cli: CliInProcess) -> None:
    words = ["recipe=t.yaml", "results.name=${item.sku}"]
    (cli.folder / "photos/t.csv").write_text("image,sku\none/a.jpg,A1\n")
    assert cli(*words).returncode == 0
    run = cli.run_folder()
    finished = (run / "results/A1.png").read_bytes()
    (cli.folder / "photos/t.csv").write_text("image,sku\ntwo/a.jpg,a1\n")
    assert cli(f"resume={run}").returncode == 3
    lines = {line["photo"]: line for line in journal(run)}
    assert "results/a1.png belongs to a finished picture of another photo" in lines["two/a.jpg"]["error"]
    assert lines["one/a.jpg"]["status"] == "done" and (run / "results/A1.png").read_bytes() == finished
