"""Run folders and stores that somebody else has prepared: nothing outside is read, written or deleted."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.imaging.png import encode_png
from darkroom.provenance.verify import verify
from darkroom.system.files import Folder
from support.in_process import command_line
from support.runs import Cli, journal, pixels

RECIPE = """
dataset: {images: photos}
stages:
  thing: {op: grabcut, box: [8, 8, 30, 24], iterations: 1}
  refine: {grow: 1}
  erase: {radius: [RADIUS]}
""".replace("[RADIUS]", "3")

SOME_FAILED, CANNOT_WRITE = 3, 4


class World:
    """A folder with a run of two photos, and documents of the user's beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.documents = root / "documents"
        self.documents.mkdir()
        for name in ("thesis.txt", "private.png", "results.html"):
            (self.documents / name).write_bytes(b"mine: " + name.encode())
        (root / "photos").mkdir()
        for number in range(2):
            draw_photo(root / f"photos/{number}.png", number)
        (root / "mine.yaml").write_text(RECIPE)
        self.make()

    def make(self, *words: str) -> Path:
        """Run the recipe; returns the run folder."""
        before = set(self.root.glob("outputs/*_*"))
        assert command_line(self.root, *words, "recipe=mine.yaml", "models=miniature") == 0
        (self.run,) = set(self.root.glob("outputs/*_*")) - before
        return self.run

    def edit_lines(self, change: Callable[[dict], object]) -> None:
        lines = journal(self.run)
        for line in lines:
            change(line)
        (self.run / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def edit_facts(self, folder: Path, **facts: object) -> None:
        path = folder / "run.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))

    def state(self) -> dict[str, tuple[bytes, float]]:
        """The user's documents: content and time of change."""
        files = (path for path in self.documents.rglob("*"))
        return {path.name: (path.read_bytes(), path.stat().st_mtime) for path in files}


def draw_photo(path: Path, number: int) -> None:
    scene = np.full((32, 48, 3), 60 + number, np.uint8)
    scene[10:22, 12 + number : 26] = (200, 30, 60)
    Image.fromarray(scene).save(path)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    before = world.state()
    yield world
    assert world.state() == before


def replace(path: Path, target: Path) -> None:
    """A link in the place of a file or folder."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to(target)


@pytest.mark.fault("Run folders", "`run.log` is a link to a user's file, also in a sweep", "refused, not written")
@pytest.mark.parametrize("sweep", [False, True])
def test_a_log_that_is_a_link_is_not_written(sweep: bool, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    run = world.make("-m", "stages.refine.grow=1,2") if sweep else world.run
    replace(run / "run.log", world.documents / "thesis.txt")
    first = run / "0_mine" if sweep else run
    world.edit_facts(first, status="running", settled={}, warnings=["x\nevil line\n"])
    if sweep:
        told = json.loads((run / "sweep.json").read_text())
        told["jobs"][0]["status"] = "running"
        (run / "sweep.json").write_text(json.dumps(told))
    for place in (run, "latest"):
        capsys.readouterr()
        code = command_line(world.root, f"resume={place}")
        told = "run.log: cannot be written: it is a link, or lies behind one; not followed"
        assert code == CANNOT_WRITE and told in capsys.readouterr().err


@pytest.mark.fault("Run folders", "`run.log` is a hard link to a user's file", "refused, not written")
def test_a_log_that_has_a_second_name_is_not_written(world: World) -> None:
    (world.run / "run.log").unlink()
    (world.run / "run.log").hardlink_to(world.documents / "thesis.txt")
    assert command_line(world.root, f"resume={world.run}") == CANNOT_WRITE


@pytest.mark.fault(
    "Run folders", "folders of a run that are links to the user's folders", "not entered; no file changes"
)
@pytest.mark.parametrize("folder", ["0", "results", "thumbnails", "thumbnails/0", ".hydra"])
@pytest.mark.parametrize("killed", [False, True])
def test_folders_that_are_links_are_not_entered(folder: str, killed: bool, world: World) -> None:
    replace(world.run / folder, world.documents)
    if killed:
        (world.run / "journal.jsonl").write_text("")
    for words in (
        f"resume={world.run}",
        f"reproduce={world.run}",
        f"verify={world.run}",
        "store=report",
        "store=prune",
    ):
        assert command_line(world.root, words) in (0, SOME_FAILED, CANNOT_WRITE)


@pytest.mark.fault("Run folders", "a journal that names a user's files behind a link, or by any path", "not deleted")
@pytest.mark.parametrize("path", ["x/thesis.txt", "../../documents/thesis.txt", "{root}/documents/thesis.txt"])
def test_what_a_journal_names_outside_is_not_deleted(path: str, world: World) -> None:
    (world.run / "x").symlink_to(world.documents)
    digest = hashlib.sha256(b"mine: thesis.txt").hexdigest()
    path = path.format(root=world.root)
    world.edit_lines(lambda line: line["files"].update({path: digest}))
    for words in (f"resume={world.run}", f"verify={world.run}", "store=report", "store=prune"):
        command_line(world.root, words)
    assert (world.documents / "thesis.txt").is_file()


@pytest.mark.fault(
    "Run folders", "thumbnails that are links, pipes, devices or huge", "shown as missing; nothing hangs"
)
@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "bomb", "text"])
def test_thumbnails_that_are_something_else_are_not_drawn(kind: str, world: World) -> None:
    path = world.run / "thumbnails/0/0_photo.jpg"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "bomb":
        Image.new("L", (20_000, 5_000)).save(path, "PNG")
    elif kind == "text":
        path.write_text("no picture")
    else:
        path.symlink_to(world.documents / "private.png")
    assert command_line(world.root, f"resume={world.run}") == 0


@pytest.mark.fault("Reports and messages", "a foreign, damaged or endless `run.json` among one's own", "ignored")
@pytest.mark.parametrize(
    "content", [b"{}", b"[]", b"7", b"\xff", b"[" * 99_999, b'{"name": "mine", "models": 7}', None]
)
def test_a_strangers_run_beside_ones_own_is_passed_over(content: bytes | None, world: World) -> None:
    folder = world.root / "outputs/2099-01-01_00-00-00-000_mine"
    folder.mkdir()
    if content is None:
        os.mkfifo(folder / "run.json")
    else:
        (folder / "run.json").write_bytes(content)
    world.edit_facts(world.run, work={"computed": {"erase": 10**30}, "seconds": 5}, totals=[1e999])
    (world.root / "mine.yaml").write_text(RECIPE.replace("grow: 1", "grow: 2"))
    world.make()
    assert command_line(world.root, "recipe=mine.yaml", "models=miniature", "dry_run=true") == 0


@pytest.mark.fault(
    "The store", "folders of the store that are links to the user's folders", "nothing behind them is removed"
)
@pytest.mark.parametrize("place", ["blobs/zz", "results/zz", "damaged", "blobs"])
def test_links_in_a_store_are_not_followed(place: str, world: World) -> None:
    for number in range(3):  # files of the names that a store gives
        name = hashlib.sha256(bytes([number])).hexdigest()
        (world.documents / f"{name}.png").write_bytes(b"mine")
        (world.documents / f"{name}.json").write_bytes(b"mine")
    before = world.state()
    replace(world.root / "outputs/.store" / place, world.documents)
    for words in ("store=report", "store=prune"):
        assert command_line(world.root, words) == 0
        assert world.state() == before
    for path in world.documents.glob("*n"):  # as they were, for the fixture
        if path.suffix in (".json",) or len(path.stem) == 64:
            path.unlink()
    for path in world.documents.glob("*.png"):
        if len(path.stem) == 64:
            path.unlink()


@pytest.mark.fault("The store", "`.store` is a link, or another program's folder", "refused; nothing in it changes")
@pytest.mark.parametrize("link", [True, False])
def test_a_folder_that_is_no_store_is_neither_used_nor_emptied(
    link: bool, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    store, other = world.root / "outputs/.store", world.root / "project"
    shutil.rmtree(store)
    for name in ("blobs/ab/x.png", "results/ab/x.json", "index.db", "damaged/y"):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_bytes(b"another program's")
    store.symlink_to(other) if link else other.rename(store)
    before = sorted(path.relative_to(store) for path in store.rglob("*"))
    for words, code in ((["store=prune"], (2, 4)), (["recipe=mine.yaml", "models=miniature"], (4,))):
        assert command_line(world.root, *words) in code
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert ".store: is a link" in line if link else ".store: is not a store of Darkroom" in line
    assert sorted(path.relative_to(store) for path in store.rglob("*")) == before


def forge(world: World, op: int) -> None:
    """Change the picture that a step of the first photo made everywhere, together with its entry in the store."""
    store = world.root / "outputs/.store"
    step = journal(world.run)[0]["steps"][op]
    entry = store / f"results/{step['key'][:2]}/{step['key']}.json"
    content = json.loads(entry.read_bytes())
    result = json.loads(content["result"])
    kind = "image" if result["image"] else "mask"
    data = encode_png(np.full((32, 48, 3) if kind == "image" else (32, 48), 99, np.uint8))
    result[kind] = hashlib.sha256(data).hexdigest() + ".png"
    blob = store / f"blobs/{result[kind][:2]}/{result[kind]}"
    blob.parent.mkdir(exist_ok=True)
    blob.write_bytes(data)
    entry.write_text(json.dumps({**content, "result": json.dumps(result, sort_keys=True)}))


@pytest.mark.fault("The store", "an entry changed together with its picture, at any stage", "computed again")
@pytest.mark.parametrize("op", [0, 1, 2, 3])
def test_a_forged_entry_is_computed_again_and_heals(op: int, world: World) -> None:
    first = world.run
    right = {line["result"]: pixels(first / line["result"]) for line in journal(first)}
    forge(world, op)
    again = world.make()
    for line in journal(again):
        assert line["status"] == "done" and (pixels(again / line["result"]) == right[line["result"]]).all()
    assert not verify(again).problems
    facts = json.loads((world.make() / "run.json").read_text())
    assert not facts["work"]["computed"]


@pytest.mark.fault("The store", "a mask replaced in a run folder, and the folder resumed", "no other run sees it")
def test_what_a_run_folder_lends_never_reaches_the_store(world: World) -> None:
    right = {line["result"]: pixels(world.run / line["result"]) for line in journal(world.run)}
    lines = journal(world.run)
    forged = encode_png(np.full((32, 48), 255, np.uint8) * (np.arange(48) < 40))
    for line in lines:
        path = line["steps"][2]["mask"]
        (world.run / path).unlink()
        (world.run / path).write_bytes(forged)
        line["files"][path] = hashlib.sha256(forged).hexdigest()
        line["status"], line["result"], line["delivered"] = "failed", None, None
    (world.run / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    shutil.rmtree(world.root / "outputs/.store")
    assert command_line(world.root, f"resume={world.run}") == 0
    assert (pixels(world.run / "0/2_refine_mask.png") == pixels(world.run / "1/2_refine_mask.png")).all()  # lent
    again = world.make()
    assert {line["result"]: line["status"] for line in journal(again)} == dict.fromkeys(right, "done")
    for name, wanted in right.items():
        assert (pixels(again / name) == wanted).all()


@pytest.mark.fault("The store", "a well-formed store written by another user", "all of it is ignored")
def test_a_store_of_somebody_else_counts_for_nothing(
    quick_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (quick_cli.folder / "photos").mkdir()
    draw_photo(quick_cli.folder / "photos/0.png", 0)
    (quick_cli.folder / "mine.yaml").write_text(RECIPE)
    words = ("recipe=mine.yaml", "models=miniature")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "somebody"))
    assert "computed: 1 grabcut, 1 refine, 1 erase" in quick_cli(*words).stdout
    assert "computed: nothing" in quick_cli(*words).stdout
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "somebody else"))
    assert "computed: 1 grabcut, 1 refine, 1 erase; reused: nothing" in quick_cli(*words).stdout


@pytest.mark.fault(
    "Resuming",
    "a run folder with pictures changed outside the mask, and a journal that matches",
    "whatever depends on them is computed again",
)
def test_a_picture_in_a_run_folder_that_breaks_the_contract_is_not_built_on(world: World) -> None:
    (world.root / "mine.yaml").write_text(RECIPE + "  again: {op: erase, radius: 5}\n")
    run = world.make()
    shutil.rmtree(world.root / "outputs/.store")
    lines = journal(run)
    forged = encode_png(np.full((32, 48, 3), 99, np.uint8))
    path = lines[1]["steps"][3]["image"]
    (run / path).unlink()
    (run / path).write_bytes(forged)
    lines[1]["files"][path] = hashlib.sha256(forged).hexdigest()
    lines[1]["status"], lines[1]["result"], lines[1]["delivered"] = "failed", None, None
    (run / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    world.edit_facts(run, status="running")
    assert command_line(world.root, f"resume={run}") == 0
    assert [line["status"] for line in journal(run)] == ["done"] * 2 and not verify(run).problems
    assert (run / path).read_bytes() != forged


@pytest.mark.fault(
    "Resuming", "a run folder that says what a frame measured, with numbers of its own", "the frame is measured again"
)
def test_a_frame_in_a_run_folder_is_measured_again(world: World) -> None:
    (world.root / "mine.yaml").write_text(RECIPE + "  frame: {aspect: '1:1', share: 0.9}\n")
    run = world.make()
    right = {line["delivered"]: pixels(run / line["delivered"]) for line in journal(run)}
    shutil.rmtree(world.root / "outputs/.store")
    lines = journal(run)
    for line in lines:
        line["steps"][4] |= {"mask": line["steps"][2]["mask"], "figures": {"x": 1e300}}
        (run / line["delivered"]).unlink()
    (run / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert command_line(world.root, f"resume={run}") == 0
    for name, wanted in right.items():
        assert (pixels(run / name) == wanted).all()


@pytest.mark.fault(
    "Run folders", "unknown weights, line breaks in names, wrong types in `run.json`", "one line of error"
)
@pytest.mark.parametrize(
    "change",
    [
        {"config": []},
        {"config": {"stages": {"a": 7}}},
        {"config": {"dataset": {"images": ["/nowhere", 7]}}},
        {"settled": {"models": {"sam": "/tmp/x\ny"}}},
        {"settled": {"device": 7}},
        {"models": {"weights": {"sam": 7}}},
        {"started": "yesterday"},
        {"overrides": "x"},
        {"totals": {"done": -1}},
        {"name": None},
    ],
)
def test_a_run_json_of_wrong_types_is_one_line(change: dict, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.edit_facts(world.run, **change)
    for command in ("resume", "reproduce"):
        capsys.readouterr()
        code = command_line(world.root, f"{command}={world.run}")
        err = capsys.readouterr().err
        assert code in (0, 2) and "Traceback" not in err and len(err.splitlines()) <= 4


def test_without_openat_the_same_paths_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where every part of a path is looked at before a file is opened."""
    from darkroom.system import files

    monkeypatch.setattr(files, "_HAS_OPENAT", False)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/secret").write_bytes(b"secret")
    folder = Folder(tmp_path / "run")
    folder.write("a/b.txt", b"text")
    folder.link("a/c.txt", folder, "a/b.txt")
    (folder.root / "link").symlink_to(tmp_path / "out")
    (folder.root / "l.txt").symlink_to(tmp_path / "out/secret")
    assert folder.read("a/c.txt") == b"text" and folder.has("a/b.txt") and not folder.has("link/secret")
    for path in ("link/secret", "l.txt", "../out/secret", str(tmp_path / "out/secret")):
        for action in (folder.read, folder.remove, folder.append, lambda path: folder.write(f"{path}/x", b"")):
            with pytest.raises(OSError, match=r"not followed|within the folder|Not a directory"):
                action(path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["secret"]


@pytest.mark.fault("Sweeps", "one damaged `run.json` among the runs of a sweep", "that run fails; the others continue")
def test_a_damaged_run_of_a_sweep_costs_itself(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = world.make("-m", "stages.refine.grow=1,2")
    (sweep / "0_mine/run.json").write_text("{")
    for command in ("resume", "verify", "reproduce"):
        capsys.readouterr()
        assert command_line(world.root, f"{command}={sweep}") == SOME_FAILED
        output = "".join(capsys.readouterr())
        assert "0_mine/run.json: is damaged" in output and "Traceback" not in output
    assert [line["status"] for line in journal(sweep / "1_mine")] == ["done"] * 2


def test_a_key_is_kept_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from darkroom.store.seal import is_sealed, seal

    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(Path, "hardlink_to", no_links)
    mark = seal("text")
    assert len((tmp_path / "darkroom/store.key").read_bytes()) == 32 and is_sealed("text", mark)
    assert [path.name for path in (tmp_path / "darkroom").iterdir()] == ["store.key"]
