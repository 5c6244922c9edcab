"""The store: what is in it is what it says, or it is made again; and run folders hold themselves without it."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from darkroom.engine.run_job import run_jobs
from darkroom.errors import OutputError
from darkroom.models import Models
from darkroom.provenance.verify import verify
from darkroom.store import Result, Store
from darkroom.system.files import Folder
from support.runs import Cli, ready, run

KEY = "0" * 64
MASKS = {"thing": {"op": "grabcut", "box": [8, 8, 30, 24], "iterations": 1}, "refine": {"op": "refine", "grow": 1}}

_leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
_json = st.recursive(_leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """A recipe without any model, for two photos."""
    (tmp_path / "photos").mkdir()
    for number in range(2):
        pixels = np.full((32, 48, 3), 60 + number, np.uint8)
        pixels[10:22, 12 + number : 26] = (200, 30, 60)
        Image.fromarray(pixels).save(tmp_path / f"photos/{number}.png")
    return {"dataset": {"images": str(tmp_path / "photos")}, "stages": MASKS}


def pictures(folder: Path) -> dict[str, bytes]:
    """Everything that a run has made, by its name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*/*.*g")}


def computed(config: dict, models: Models, folder: Path) -> int:
    """Run, and count what was computed."""
    (done,) = run_jobs([ready(config, models, folder)], Store(folder.parent / ".store"))
    return sum(done.work["computed"].values())


def replaced(path: Path, data: bytes) -> None:
    """Another file of the same name, so that run folders keep theirs."""
    path.unlink()
    path.write_bytes(data)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    replaced(path, bytes(data))


def flip_in_place(path: Path) -> None:
    """All names of the file show it: those in run folders are damaged, too."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(b"\0")


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "flipped": flip,
    "flipped in place": flip_in_place,
    "cut off": lambda path: replaced(path, path.read_bytes()[:-1]),
    "emptied": lambda path: replaced(path, b""),
    "deleted": Path.unlink,
}


@pytest.mark.fault(
    "The store", "files with flipped bits, truncated, emptied or deleted", "moved aside and computed again"
)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_blob_is_put_aside_and_made_again(damage: str, config: dict, models: Models, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    run(config, models, outputs / "first")
    right = pictures(outputs / "first")
    blobs = sorted(path.name for path in (outputs / ".store/blobs").glob("*/*"))
    assert len(right) == 12 and len(blobs) == 8  # a small mask is its own thumbnail
    for name in blobs:
        DAMAGES[damage](outputs / ".store" / Store(outputs / ".store").blob_path(name))
        folder = outputs / f"after_{name[:9]}"
        assert computed(config, models, folder) <= 1
        assert pictures(folder) == right
        assert (outputs / ".store/damaged" / name).is_file() == (damage != "deleted")
    assert computed(config, models, outputs / "last") == 0
    assert pictures(outputs / "last") == right


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"7", b"null", b"\xff", b"[" * 99_999, b'{"image": 1}', b'{"a": 1}']
)
def test_a_damaged_result_is_made_again(text: bytes, config: dict, models: Models, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    run(config, models, outputs / "first")
    for path in (outputs / ".store/results").glob("*/*"):
        path.write_bytes(text)
    assert computed(config, models, outputs / "second") == 4
    assert pictures(outputs / "second") == pictures(outputs / "first")
    assert computed(config, models, outputs / "third") == 0


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_a_result_says_it_is_whole_or_a_miss(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    store = Store(tmp_path_factory.getbasetemp() / "wild")
    blob = store.add_blob(b"some picture", ".png")
    store.put(KEY, Result(image=blob, artifacts={"heat": blob}, seconds=1.5))
    assert store.get(KEY) == Result(image=blob, artifacts={"heat": blob}, seconds=1.5)
    (path,) = store.folder.glob("results/*/*")
    good = json.loads(path.read_bytes())
    names = st.sampled_from([blob, "0" * 64 + ".png", f"../{blob}", blob[:-4], f"{blob}\n"])
    key = data.draw(st.sampled_from(sorted(good)))
    changed = {**good, key: data.draw(_json | names | st.dictionaries(st.text(), names))}
    path.write_bytes(
        data.draw(st.binary() | st.just(json.dumps(changed).encode()) | _json.map(json.dumps).map(str.encode))
    )
    result = store.get(KEY)
    if result is not None:
        assert set(result.blobs()) <= {blob} and isinstance(result.empty, bool)
        assert result.seconds >= 0 and 0 <= result.outside_max_diff <= 255


@given(st.lists(st.binary(max_size=99)), st.sampled_from([".png", ".jpg"]))
def test_what_was_put_in_comes_out(tmp_path_factory: pytest.TempPathFactory, several: list[bytes], suffix: str) -> None:
    store = Store(tmp_path_factory.getbasetemp() / "roundtrip")
    names = [store.add_blob(data, suffix) for data in several]
    assert names == [hashlib.sha256(data).hexdigest() + suffix for data in several]
    assert [Store(store.folder).read_blob(name) for name in names] == several


@pytest.mark.parametrize("name", ["../../mine.png", "mine.png", "/mine.png", "", f"{KEY}.png\n", f"{KEY}.txt"])
def test_nothing_outside_is_named(name: str, tmp_path: Path) -> None:
    store, mine = Store(tmp_path / "outputs/.store"), tmp_path / "mine.png"
    mine.write_bytes(b"my own")
    assert not store.import_blob(Folder(tmp_path), "mine.png", name if name != "/mine.png" else str(mine))
    with pytest.raises(ValueError, match="is no key"):
        store.put(name, Result())
    assert [path.name for path in tmp_path.rglob("*")] == ["mine.png"] and mine.read_bytes() == b"my own"


def test_a_picture_has_one_inode_and_many_names_and_nobody_writes_into_it(
    config: dict, models: Models, tmp_path: Path
) -> None:
    outputs = tmp_path / "outputs"
    for name in ("first", "second"):
        run(config, models, outputs / name)
    blobs = {path.stat().st_ino for path in (outputs / ".store/blobs").glob("*/*")}
    for name in ("first", "second"):
        files = [path for path in (outputs / name).rglob("*/*.*g")]
        assert {path.stat().st_ino for path in files} == blobs
        assert {path.stat().st_mode & 0o777 for path in files} == {0o444}


@pytest.mark.parametrize("links", [True, False])
def test_a_run_folder_holds_itself_whatever_else_is_deleted(
    links: bool, config: dict, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    outputs = tmp_path / "outputs"
    run(config, models, tmp_path / "elsewhere/run")  # the user's key has been made, which takes a link
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    for name in ("first", "second"):
        run(config, models, outputs / name)
    right = pictures(outputs / "first")
    assert all((path.stat().st_nlink > 1) == links for path in (outputs / "second").rglob("*/*.*g"))
    shutil.rmtree(outputs / ".store")
    shutil.rmtree(outputs / "first")
    (outputs / "second").rename(tmp_path / "moved")
    assert pictures(tmp_path / "moved") == right and not verify(tmp_path / "moved").problems


def write_recipe(cli: Cli) -> list[str]:
    """Command line words for masks of noisy photos, whose PNGs are large."""
    (cli.folder / "photos").mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (100, 120, 3), np.uint8)
        Image.fromarray(pixels).save(cli.folder / f"photos/{number:02}.png")
    stages = "stages: {thing: {op: grabcut, box: [20, 20, 90, 80], iterations: 1}}"
    (cli.folder / "masks.yaml").write_text(f"dataset: {{images: photos}}\non_empty: keep\n{stages}\n")
    return ["recipe=masks.yaml", "models=miniature"]


@pytest.mark.fault("The store", "two runs at once", "both finish; nothing is lost")
def test_two_processes_share_a_store(cli: Cli) -> None:
    words = write_recipe(cli)
    both = [cli.start(*words) for _ in range(2)]
    for process in both:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    one, other = cli.run_folders()
    assert pictures(one) == pictures(other) and len(pictures(one)) == 60
    assert not verify(one).problems and not verify(other).problems
    assert not list((cli.folder / "outputs").rglob("*.tmp"))


@pytest.mark.fault("Processes and disks", "a folder without write permission", "one line that names it, exit code 4")
@pytest.mark.parametrize("place", [".store", ".store/blobs", ".store/results"])
def test_a_store_that_cannot_be_written_is_told_in_one_line(place: str, quick_cli: Cli) -> None:
    """A file stands where a folder should be: as good as no permission, which root always has."""
    words = write_recipe(quick_cli)
    blocked = quick_cli.folder / "outputs" / place
    if place != ".store":
        Store(quick_cli.folder / "outputs/.store").create()
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_bytes(b"")
    done = quick_cli(*words)
    assert done.returncode == 4
    (line,) = done.stderr.splitlines()
    assert str(blocked) in line and "cannot be written: " in line


@pytest.mark.fault("Processes and disks", "a full disk", "one line, exit code 4; after a resume nothing is lost")
def test_a_disk_full_at_a_blob_stops_the_run_which_can_be_resumed(cli: Cli) -> None:
    """The largest file that this process may write stands in for a disk without room."""
    words = write_recipe(cli)

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    command = cli.command(*words)
    full = subprocess.run(command, cwd=cli.folder, capture_output=True, text=True, preexec_fn=no_room, timeout=120)
    assert full.returncode == 4
    (line,) = full.stderr.strip().splitlines()
    assert "/.store/blobs/" in line and "cannot be written: File too large" in line
    assert not list(cli.folder.rglob("*.tmp"))
    assert json.loads((cli.run_folder() / "run.json").read_text())["status"] == "stopped"
    assert cli("resume=latest").returncode == 0
    assert not verify(cli.run_folder()).problems and len(pictures(cli.run_folder())) == 60


def test_a_blob_that_goes_while_it_is_linked_is_an_error_and_no_empty_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Folder(tmp_path).link("target.png", Folder(tmp_path), "gone.png")
    assert not list(tmp_path.iterdir())


def test_no_room_for_a_result_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    store = Store(tmp_path / ".store")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"blobs.*cannot be written: No space left on device"):
        store.add_blob(b"some picture", ".png")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert store.get(KEY) is None
