"""Workers in this process, without Ray: what they answer, and what becomes of it here."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from darkroom.cluster.messages import Done, Lost, Setup, Work
from darkroom.cluster.numerics import numerics
from darkroom.cluster.plan import Task
from darkroom.cluster.probe import probe, renames_hold
from darkroom.cluster.runner import ClusterRunner
from darkroom.cluster.worker import Worker
from darkroom.engine.run_job import run_jobs
from darkroom.engine.start import Started
from darkroom.errors import OutputError
from darkroom.provenance.housekeeping import prune
from darkroom.store import Store
from darkroom.system.files import Folder
from support.fake_models import FakeModels
from support.runs import journal, ready, run

STAGES = {"text": {"phrase": "left", "threshold": 0.5}, "inpaint": {"prompt": ["a", "b"], "seed": [3, 4]}}


class PoolHere:
    """Does every task at once, in this process."""

    batches = 1

    def __init__(self, size: int, setup: Setup) -> None:
        self.size = size
        self.work = Work()
        self.place = (worker := Worker()).begin(setup)
        self.tasks: list[Task] = []
        self._worker = worker
        self._done: deque[tuple[Task, Done | Lost]] = deque()

    def has_room(self) -> bool:
        return True

    def submit(self, task: Task, lend: Any) -> None:
        self.tasks.append(task)
        done = self._worker.run(task.shares, lend(task.shares, self.place.shares_store))
        self.work.add(done.work)
        self._done.append((task, done))

    def wait(self) -> Iterator[tuple[Task, Done | Lost]]:
        while self._done:
            yield self._done.popleft()


def run_on_workers(folder: Path, photos: Path, size: int, seen: Path | None = None, begun: bool = False) -> Any:
    """Run on a worker, which may see the store elsewhere; returns the journal and the pool."""
    models, pools = FakeModels(), []

    @contextmanager
    def start(settings: Any, store: Store, kinds: Sequence[Any]) -> Iterator[Started]:
        with probe(store) as key:
            expected = numerics(models, kinds, ())
            setup = Setup(FakeModels, kinds, (), expected, seen or store.folder, key)
            pools.append(PoolHere(size, setup))
            yield Started(ClusterRunner(models, store, pools[0]), dict)

    job = ready({"dataset": {"images": str(photos)}, "stages": STAGES, "on_empty": "fail"}, models, folder)
    run_jobs([replace(job, begun=begun)], Store(folder.parent / ".store"), start=start)
    return journal(folder), pools[0]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for name in "ab":
        Image.new("RGB", (32, 24), {"a": "red", "b": "blue"}[name]).save(tmp_path / f"photos/{name}.png")
    return tmp_path / "photos"


def bare(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    for line in lines:
        for timed in (line, *line["steps"]):
            timed.pop("seconds")
    return list(lines)


@pytest.mark.parametrize("size", [1, 2, 3, 16])
def test_however_the_work_is_divided_the_journal_is_the_same(tmp_path: Path, photos: Path, size: int) -> None:
    (tmp_path / "local").mkdir()
    config = {"dataset": {"images": str(photos)}, "stages": STAGES, "on_empty": "fail"}
    expected = run(config, FakeModels(), tmp_path / "local/run")
    found, pool = run_on_workers(tmp_path / "ray/run", photos, size)
    assert bare(found) == bare(expected) and len(found) == 8
    masks = 2 if size > 2 else 0  # are made first, where the pictures of a photo are divided
    assert len(pool.tasks) == {1: 2, 2: 2, 3: 4, 16: 8}[size] + masks


@pytest.mark.fault(
    "Ray", "a machine that does not see the store, or has another key", "its results are sent and stored"
)
def test_a_worker_without_the_store_sends_its_files(tmp_path: Path, photos: Path) -> None:
    found, pool = run_on_workers(tmp_path / "run", photos, 2, seen=tmp_path / "nowhere/.store")
    assert not pool.place.shares_store and [line["status"] for line in found] == ["done"] * 8
    assert not (tmp_path / "nowhere").exists()
    store = Store(tmp_path / ".store")
    assert all(store.get(step["key"]) for line in found for step in line["steps"])


def test_a_store_of_its_own_does_not_grow_without_limit(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = run_on_workers(tmp_path / "shared/run", photos, 2)
    monkeypatch.setattr("darkroom.cluster.worker._OWN_BYTES", 0)
    for number in range(6):
        Image.new("RGB", (32, 24), (number, 9, 9)).save(photos / f"c{number}.png")
    found, pool = run_on_workers(tmp_path / "own/run", photos, 2, seen=tmp_path / "nowhere/.store")
    assert bare(found)[: len(expected)] == bare(expected) and len(found) == 32
    store, own = Store(tmp_path / "own/.store"), pool._worker._store
    assert all(store.get(step["key"]) for line in found for step in line["steps"])
    assert 0 < len(list(own.entries())) < len(list(store.entries())) / 4  # those of the last task


def test_a_worker_without_the_store_computes_nothing_that_the_store_has(tmp_path: Path, photos: Path) -> None:
    expected, _ = run_on_workers(tmp_path / "first", photos, 2)
    found, pool = run_on_workers(tmp_path / "second", photos, 2, seen=tmp_path / "nowhere/.store")
    assert not pool.place.shares_store and found == expected
    assert not pool.work.computed and pool.work.reused == {"text": 2, "inpaint": 8}


@pytest.mark.parametrize("seen", ["", "nowhere/.store"])
@pytest.mark.fault("Ray", "the store is deleted before a run is resumed", "the masks of the run folder are used")
def test_resumed_without_the_store_the_masks_of_the_run_folder_are_used(
    tmp_path: Path, photos: Path, seen: str
) -> None:
    complete, _ = run_on_workers(tmp_path / "run", photos, 2)
    lines = (tmp_path / "run/journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "run/journal.jsonl").write_bytes(b"".join(lines[:-1]))
    shutil.rmtree(tmp_path / ".store")
    where = {"seen": tmp_path / seen} if seen else {}
    found, pool = run_on_workers(tmp_path / "run", photos, 2, **where, begun=True)
    assert bare(found) == bare(complete)
    assert pool.work.computed == {"inpaint": 1} and pool.work.reused == {"text": 1}
    assert not any(Store(tmp_path / ".store").get(step["key"]) for step in found[-1]["steps"])  # nothing proves them


@pytest.mark.fault("Ray", "a machine whose weights or libraries differ", "it is refused, with one line")
@pytest.mark.parametrize(
    ("weights", "other", "problem"),
    [
        ("other", {}, "models.inpaint: weights is other, not one"),
        ("one", {"torch": "2.0.1"}, "torch is 2."),
        ("one", {"the source code of Darkroom": "0123"}, "the source code of Darkroom is "),
        ("one", {"the GPU": "NVIDIA H200"}, "the GPU is missing, not NVIDIA H200"),
        ("one", {"instructions of the processor": "SSE"}, "instructions of the processor is "),
    ],
)
def test_a_machine_that_differs_is_refused(tmp_path: Path, weights: str, other: dict[str, str], problem: str) -> None:
    expected = {**numerics(FakeModels("one"), ["inpaint"], ()), **other}
    place = Worker().begin(Setup(lambda: FakeModels(weights), ["inpaint"], (), expected, tmp_path, ""))
    assert len(place.problems) == 1 and place.problems[0].startswith(problem)


@pytest.mark.fault("Ray", "`store=prune` on a file system where locks or renames do not hold", "refused")
def test_without_locks_or_renames_nothing_is_pruned(tmp_path: Path) -> None:
    store = Store(tmp_path / ".store")
    store.create()
    store.mark_unsafe()
    with pytest.raises(OutputError, match="locks or renames do not hold"):
        list(prune(tmp_path))


class Shop(Folder):
    """A file system that keeps only whole copies: replacing a file removes it first."""

    def write(self, path: str, data: bytes, mode: int | None = None) -> None:
        with suppress(OSError):
            self.remove(path)
        time.sleep(0.01)
        super().write(path, data, mode)


class Copier(Folder):
    """A file system that replaces a file by writing into it."""

    def write(self, path: str, data: bytes, mode: int | None = None) -> None:
        with (self.root / path).open("wb", buffering=0) as file:
            file.write(data[:10])
            time.sleep(0.01)
            file.write(data[10:])


@pytest.mark.parametrize(("kind", "hold"), [(Folder, True), (Shop, False), (Copier, False)])
def test_a_file_system_that_does_not_replace_files_at_once_is_found_out(
    tmp_path: Path, kind: type[Folder], hold: bool
) -> None:
    assert renames_hold(kind(tmp_path)) is hold
    assert not list(tmp_path.iterdir())
