"""Digests of unchanged files are remembered, and a dry run with them says what it says without them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from darkroom.config.jobs import Job
from darkroom.dataset import Photo, digests
from darkroom.imaging import codec
from darkroom.session.dry_run import dry_run
from darkroom.session.session import run
from darkroom.store import Store, listing
from darkroom.store import digests as stored
from darkroom.store.digests import FILE, remembered_digests
from support.fake_models import FakeModels
from support.in_process import job

OLD = 1_000_000_000


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that have been read; every file counts as old enough."""
    monkeypatch.setattr(stored, "_FRESH", -60_000_000_000)
    paths: list[Path] = []
    original = codec.photo_digest

    def counted(path: Path) -> str:
        paths.append(path)
        return original(path)

    monkeypatch.setattr(codec, "photo_digest", counted)
    return paths


def look(store: Store, *paths: Path) -> list[str]:
    """The digests of photos, as one run finds them."""
    with remembered_digests(store, save=True):
        return [Photo(path, path.name).digest() for path in paths]


def test_each_unchanged_file_is_read_once(tmp_path: Path, read: list[Path]) -> None:
    paths = [tmp_path / f"{number}.jpg" for number in range(20)]
    for number, path in enumerate(paths):
        path.write_bytes(b"%d" % number)
    store = Store(tmp_path / "outputs/.store")
    store.create()
    assert look(store, *paths[:10]) == [digest(path) for path in paths[:10]]
    assert look(store, *paths) == [digest(path) for path in paths]
    assert read == paths
    paths[3].rename(moved := tmp_path / "moved.jpg")
    look(store, moved)
    assert read in ([*paths], [*paths, moved]), "a renamed file may be read again, because its status changed"


@pytest.mark.fault("Photos", "a photo changes, but keeps its size and its date", "its content is read again")
@pytest.mark.skipif(os.name == "nt", reason="Windows has no date of status")
def test_a_changed_file_of_the_same_size_and_date_is_read_again(tmp_path: Path, read: list[Path]) -> None:
    (path := tmp_path / "a.jpg").write_bytes(b"first")
    os.utime(path, ns=(OLD, OLD))
    store = Store(tmp_path / "outputs/.store")
    store.create()
    look(store, path)
    path.write_bytes(b"other")
    os.utime(path, ns=(OLD, OLD))
    assert look(store, path) == [digest(path)]
    assert len(read) == 2


def test_a_file_that_has_just_changed_is_not_remembered(tmp_path: Path) -> None:
    (path := tmp_path / "a.jpg").write_bytes(b"first")
    store = Store(tmp_path / "outputs/.store")
    store.create()
    look(store, path)
    assert not (store.folder / FILE).exists()


@pytest.mark.fault("The store", "somebody else writes digests into the store", "they are not used")
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"0" * 64 + data[64:],
        lambda data: b"\xff" * 64 + data[64:],
        lambda data: data[:-1],
        lambda data: b"",
    ],
)
def test_digests_without_the_users_seal_are_not_used(tmp_path: Path, read: list[Path], damage) -> None:
    (path := tmp_path / "a.jpg").write_bytes(b"first")
    store = Store(tmp_path / "outputs/.store")
    store.create()
    look(store, path)
    file = store.folder / FILE
    file.write_bytes(damage(file.read_bytes()))
    assert look(store, path) == [digest(path)] and len(read) == 2


def test_what_another_process_remembers_is_kept(tmp_path: Path, read: list[Path]) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode())
    store = Store(tmp_path / "outputs/.store")
    store.create()
    with remembered_digests(store, save=True):
        Photo(tmp_path / "a", "a").digest()
        with remembered_digests(Store(store.folder), save=True):
            Photo(tmp_path / "b", "b").digest()
    read.clear()
    look(store, tmp_path / "a", tmp_path / "b")
    assert not read


def test_a_dry_run_says_the_same_with_remembered_digests_and_listed_results(
    tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads only the photos that are new, and opens no more entries than it may."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
    heat = {"op": "text", "phrase": "a car"}

    def recipe(name: str, **more: object) -> Job:
        config = {"dataset": {"images": str(folder)}, "stages": {"heat": heat, **more}}
        return job(tmp_path / f"outputs/{name}", config, models)

    models, store = FakeModels(), Store(tmp_path / "outputs/.store")
    run([recipe("first")], on_screen=False)
    assert len(read) == 6
    Image.new("RGB", (8, 8), (99, 0, 0)).save(folder / "new.png")
    (folder / "gone.png").symlink_to("nowhere")
    shutil.copy(folder / "1.png", folder / "twin.png")
    read.clear()
    changed = recipe("changed", wide={"op": "refine", "grow": 2})
    quick = dry_run([changed], store).text
    assert sorted(path.name for path in read) == ["gone.png", "new.png", "twin.png"]
    (store.folder / FILE).unlink()
    assert dry_run([changed], store).text == quick and len(read) == 3 + 9
    assert re.search(r"text +1 to compute +6 in the store", quick) and "gone.png: cannot be read" in quick

    opened: list[str] = []
    has = Store.has
    monkeypatch.setattr(Store, "has", lambda self, key: opened.append(key) or has(self, key))
    monkeypatch.setattr(listing, "_FEW", 2)
    monkeypatch.setattr(listing, "VERIFIED", 5)
    listed = dry_run([changed], store).text.splitlines()
    assert len(opened) == 5
    assert [line for line in listed if not line.startswith("  in the store: ")] == quick.splitlines()


def test_without_a_memory_every_file_is_read(tmp_path: Path, read: list[Path]) -> None:
    (path := tmp_path / "a.jpg").write_bytes(b"first")
    assert digests.photo_digest(path) == digests.photo_digest(path) and len(read) == 2
