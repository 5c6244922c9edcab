"""A resume adds: whatever has happened to photos, masks, tables and folder since, no finished picture is lost."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.provenance.verify import verify
from support.in_process import command_line
from support.runs import journal

DRAWN = ("run.json", "journal.jsonl", "run.log", "index.html", "contact_sheet.jpg")  # written anew by every attempt
STAGES = """
stages:
  drawn: {{op: mask_file, folder: {folder}}}
  refine: {{grow: 1}}
  erase:
"""


class World:
    """A folder with photos, masks for them, a table and recipes; one of them has been run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("photos", "vm"):
            (root / folder).mkdir(parents=True)
        for number, name in enumerate(("car.jpg", "car.png", "dog.png")):
            pixels = np.random.default_rng(number).integers(60, 200, (40, 60, 3), np.uint8)
            Image.fromarray(pixels).save(root / "photos" / name)
        for name in ("car", "dog"):
            draw_mask(root / f"vm/{name}.png", 10)
        rows = "".join(f"photos/{name},vm\n" for name in ("car.jpg", "car.png", "dog.png"))
        (root / "table.csv").write_text(f"image,m\n{rows}")
        (root / "folder.yaml").write_text("dataset: {images: photos}\n" + STAGES.format(folder="vm"))
        (root / "manifest.yaml").write_text("dataset: {manifest: table.csv}\n" + STAGES.format(folder='"${item.m}"'))

    @property
    def run(self) -> Path:
        (run,) = self.root.glob("outputs/*_*")
        return run

    def start(self, recipe: str, finished: bool) -> None:
        """Run a recipe; unless it is to be finished, leave it as if it had been killed before its last picture."""
        # A table's photos lie below the masks' folder by the names that it gives them.
        if recipe == "manifest":
            shutil.copytree(self.root / "vm", self.root / "vm/photos")
        assert command_line(self.root, f"recipe={recipe}.yaml") == 0
        if not finished:
            lines = (self.run / "journal.jsonl").read_text().splitlines(keepends=True)
            (self.run / "journal.jsonl").write_text("".join(lines[:-1]) + lines[-1][:40])
            for path in json.loads(lines[-1])["files"]:
                (self.run / path).unlink()
            facts = json.loads((self.run / "run.json").read_text())
            (self.run / "run.json").write_text(json.dumps({**facts, "status": "running"}))

    def files(self) -> dict[str, bytes]:
        """All that the run folder holds of pictures, and of anybody else's."""
        files = (path for path in self.run.rglob("*") if path.is_file() and path.name not in DRAWN)
        return {path.relative_to(self.run).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def draw_mask(path: Path, left: int) -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, left : left + 20] = 255
    Image.fromarray(mask).save(path)


def unmount(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def rename_column(world: World) -> None:
    table = world.root / "table.csv"
    table.write_text(table.read_text().replace("image,m\n", "image,masks\n"))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def edit(path: Path) -> None:
    Image.new("RGB", (60, 40), (200, 10, 10)).save(path)


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def retouch(world: World) -> None:
    """As an editor saves: another file of the name. The shared mask too."""
    for name in ("results/dog.png", "dog/2_refine_mask.png", "dog/0_photo.png"):
        path = world.run / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        edit(path)


def leave_files_of_ones_own(world: World) -> None:
    for name in (".x.tmp", "notes.txt", "dog/.~lock.png", "dog/mine.png", "results/album/mine.png", "thumbnails/t.db"):
        (world.run / name).parent.mkdir(exist_ok=True)
        (world.run / name).write_bytes(b"my own")


REFUSED, FINE, SOME_FAILED = 2, 0, 3
CHANGES: dict[str, tuple[Callable[[World], object], int, int, str]] = {
    # name: what happens, exit code for a finished run, for one that was killed, and what is said
    "the mask folder is moved away": (lambda w: (w.root / "vm").rename(w.root / "x"), REFUSED, REFUSED, "no such fold"),
    "the mask folder is unmounted": (lambda w: unmount(w.root / "vm"), REFUSED, REFUSED, "holds no"),
    "the photos are unmounted": (lambda w: unmount(w.root / "photos"), REFUSED, REFUSED, "photos"),
    "a mask is deleted": (lambda w: (w.root / "vm/dog.png").unlink(), FINE, SOME_FAILED, "vm/dog.png was changed"),
    "a mask is drawn anew": (lambda w: draw_mask(w.root / "vm/dog.png", 30), FINE, FINE, "vm/dog.png was changed"),
    "a photo is cut off": (lambda w: truncate(w.root / "photos/dog.png"), FINE, SOME_FAILED, "dog.png: has"),
    "a photo cannot be read": (
        lambda w: become_a_folder(w.root / "photos/car.png"), FINE, FINE, "of this attempt: car~png/3_erase.png",
    ),
    "a photo is edited in place": (lambda w: edit(w.root / "photos/dog.png"), FINE, FINE, "dog.png: has changed since"),
    "one of two photos of a name is archived": (
        lambda w: (w.root / "photos/car.jpg").rename(w.root / "x.jpg"), FINE, FINE, "attempt: car~jpg/3_erase.png",
    ),
    "a photo is added": (lambda w: edit(w.root / "photos/car.webp"), FINE, FINE, "picture 3 of 4: car.webp: done"),
    "a photo is added beside one of its name": (
        lambda w: edit(w.root / "photos/dog.jpg"), FINE, FINE, "picture 3 of 4: dog.jpg: done",
    ),
    "results are retouched": (retouch, FINE, SOME_FAILED, "results/dog.png: has changed since it was written; left"),
    "own files lie in the folder": (leave_files_of_ones_own, FINE, FINE, "picture 3 of 3: dog.png: done"),
}  # fmt: skip


@pytest.mark.fault(
    "Resuming",
    "masks or photos moved, unmounted, edited, truncated, archived or added; results edited; files of one's own",
    "no finished picture and no other file changes; the log says what was left alone, or the resume is refused",
)
@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_whatever_has_changed_a_resume_only_adds(
    change: str, finished: bool, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    happen, code, code_if_killed, told = CHANGES[change]
    world.start("folder", finished)
    happen(world)
    files, done = world.files(), [line for line in journal_of(world) if line["status"] == "done"]
    capsys.readouterr()
    found = command_line(world.root, f"resume={world.run}")
    output = "".join(capsys.readouterr())
    assert found == (code if finished else code_if_killed), output
    if finished or code == REFUSED or "dog.png" not in told:  # the dog was not finished when it was killed
        assert told in output
    after = world.files()
    assert {path: after.get(path) for path in files} == files
    lines = journal_of(world)
    assert all(line in lines for line in done)
    assert "Traceback" not in output


def journal_of(world: World) -> list[dict]:
    """The whole lines of the journal."""
    text = (world.run / "journal.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


@pytest.mark.fault("Resuming", "a renamed column of the table", "refused; nothing changes")
@pytest.mark.parametrize("finished", [True, False])
def test_a_renamed_column_is_refused(finished: bool, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.start("manifest", finished)
    rename_column(world)
    files, text = world.files(), (world.run / "journal.jsonl").read_bytes()
    assert command_line(world.root, f"resume={world.run}") == REFUSED
    assert "no column 'm'" in capsys.readouterr().err
    assert world.files() == files and (world.run / "journal.jsonl").read_bytes() == text


@pytest.mark.fault(
    "Tables", "relative paths in a column, from another folder", "they are relative to the table's folder"
)
def test_paths_out_of_a_column_begin_at_the_table(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    unmount(elsewhere / "vm") if (elsewhere / "vm").exists() else (elsewhere / "vm").mkdir()
    world.start("manifest", finished=True)
    before = world.files()
    assert command_line(elsewhere, f"resume={world.run}") == FINE
    assert world.files() == before
    for words in ([f"recipe={world.run}/recipe.yaml"], [f"recipe={world.root}/manifest.yaml"]):
        assert command_line(elsewhere, *words, f"outputs={elsewhere}/{len(words)}") == FINE
    assert command_line(elsewhere, f"reproduce={world.run}") == FINE


@pytest.mark.fault("Resuming", "another mask folder in the table", "finished pictures stay; the log says why")
def test_what_the_table_says_otherwise_now_does_not_replace_what_is_done(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.start("manifest", finished=True)
    shutil.copytree(world.root / "vm", world.root / "other")
    draw_mask(world.root / "other/photos/dog.png", 30)
    table = world.root / "table.csv"
    table.write_text(table.read_text().replace("dog.png,vm", "dog.png,other"))
    files, lines = world.files(), journal(world.run)
    assert command_line(world.root, f"resume={world.run}") == SOME_FAILED
    told = "dog/1_drawn_mask.png would change, but it belongs to a finished picture; start a new run"
    assert told in "".join(capsys.readouterr())
    assert world.files() == files and all(line in journal(world.run) for line in lines)


@pytest.mark.fault("Resuming", "a photo whose missing masks are back", "the failed pictures are made, the others stay")
def test_what_had_failed_is_made_once_it_can_be(world: World) -> None:
    (world.root / "vm/dog.png").rename(world.root / "dog.png")
    assert command_line(world.root, "recipe=folder.yaml") == SOME_FAILED
    (world.root / "dog.png").rename(world.root / "vm/dog.png")
    assert command_line(world.root, f"resume={world.run}") == FINE
    assert [line["status"] for line in journal(world.run)] == ["done"] * 3
    assert not verify(world.run).problems


VARIANTS = """
dataset: {images: photos/dog.png}
stages:
  drawn: {op: mask_file, folder: vm}
  inpaint: {prompt: mars, seed: [0, 1], steps: 1, strength: 1}
"""


@pytest.mark.fault(
    "Resuming", "a mask that changes between two pictures of a photo", "the second fails; the first stays"
)
def test_a_variant_that_cannot_be_added_is_no_success(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    (world.root / "two.yaml").write_text(VARIANTS)
    assert command_line(world.root, "recipe=two.yaml", "models=miniature") == FINE
    first, second = journal(world.run)
    (world.run / "journal.jsonl").write_text(json.dumps(first) + "\n")
    for path in second["files"].keys() - first["files"].keys():
        (world.run / path).unlink()
    draw_mask(world.root / "vm/dog.png", 30)
    assert command_line(world.root, f"resume={world.run}") == SOME_FAILED
    lines = journal(world.run)
    assert lines[0] == first and lines[1]["status"] == "failed" and len(lines) == 2
    assert "belongs to a finished picture" in lines[1]["error"]


@pytest.mark.fault("Resuming", "a photo three times in a table, once with a bad value", "each row keeps its own folder")
def test_rows_of_one_photo_keep_their_folders(world: World) -> None:
    rows = "".join(f"photos/dog.png,{grow}\n" for grow in ("bad", 1, 2))
    (world.root / "rows.csv").write_text(f"image,grow\n{rows}")
    stages = STAGES.format(folder="vm").replace("grow: 1", 'grow: "${item.grow}"')
    (world.root / "rows.yaml").write_text("dataset: {manifest: rows.csv}\n" + stages)
    shutil.copytree(world.root / "vm", world.root / "vm/photos")
    assert command_line(world.root, "recipe=rows.yaml") == SOME_FAILED
    before = journal(world.run)
    assert [line["status"] for line in before] == ["failed", "done", "done"]
    assert command_line(world.root, f"resume={world.run}") == SOME_FAILED
    assert journal(world.run) == before
    assert len({line["folder"] for line in before}) == 3


@pytest.mark.fault(
    "Resuming",
    "a kill between a picture's files and its journal line, then a changed mask",
    "the run removes its own unfinished files",
)
def test_files_of_a_killed_picture_are_not_in_its_way(world: World) -> None:
    world.start("folder", finished=True)
    lines = (world.run / "journal.jsonl").read_text().splitlines(keepends=True)
    (world.run / "journal.jsonl").write_text("".join(lines[:-1]))  # the files of the last are there, its line is not
    draw_mask(world.root / "vm/dog.png", 30)
    assert command_line(world.root, f"resume={world.run}") == FINE
    assert not verify(world.run).problems and len(journal(world.run)) == 3


@pytest.mark.fault("Resuming", "a photo replaced by one in another format", "the new one is made beside the old one")
def test_a_photo_in_another_format_gets_a_folder_of_its_own(world: World) -> None:
    world.start("folder", finished=True)
    (world.root / "photos/dog.png").unlink()
    edit(world.root / "photos/dog.bmp")
    assert command_line(world.root, f"resume={world.run}") == FINE
    assert {line["photo"]: line["folder"] for line in journal(world.run)}["dog.bmp"] == "dog~2"
    assert not verify(world.run).problems


@pytest.mark.fault(
    "Resuming",
    "a photo of the same name in another format appears beside one that is done",
    "it gets a folder and a result of its own; those of the first keep their names and bytes",
)
@pytest.mark.parametrize("added", ["dog.jpg", "dog.webp", "DOG.bmp"])
def test_a_second_photo_of_a_name_takes_nothing_from_the_first(world: World, added: str) -> None:
    world.start("folder", finished=True)
    before = world.files()
    edit(world.root / "photos" / added)
    draw_mask(world.root / f"vm/{Path(added).stem}.png", 10)
    assert command_line(world.root, f"resume={world.run}") == FINE
    after = world.files()
    assert {path: after[path] for path in before} == before
    folders = {line["photo"]: (line["folder"], line["delivered"]) for line in journal(world.run)}
    assert folders["dog.png"] == ("dog", "results/dog.png") and len(set(folders.values())) == 4
    assert folders[added][0].startswith(f"{Path(added).stem}~") and not verify(world.run).problems


@pytest.mark.fault("Run folders", "an output folder that contains files", "refused before anything is written")
def test_a_run_begins_in_a_folder_of_its_own(tmp_path: Path) -> None:
    from darkroom.errors import OutputError
    from darkroom.record.record import claim_folder

    for name in ("recipe.yaml", "journal.jsonl", "results/mine.png", "run.json"):
        folder = tmp_path / name.replace("/", "_")
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"my own")
        with pytest.raises(OutputError, match=f"holds {name} already; a run begins in a folder of its own"):
            claim_folder(folder, {"recipe.yaml": "name: x\n"})
        assert (folder / name).read_bytes() == b"my own" and len(list(folder.rglob("*.*"))) == 1
    os.makedirs(tmp_path / "new/empty")  # noqa: PTH103
    claim_folder(tmp_path / "new/empty", {})
