"""Several workers write what one worker writes; whatever stops them, what was finished is kept."""

from __future__ import annotations

import errno
import importlib
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.engine.run_job import run_jobs
from darkroom.engine.side_by_side import SideBySide
from darkroom.errors import Cancelled, OutputError, PhotoError, SetupError
from darkroom.models import InpaintRequest
from darkroom.store import Store
from darkroom.system.watching import piece_done, watched
from support.fake_models import FakeModels, FlatDiffusion, LeftHalf
from support.run_content import finished
from support.runs import journal, ready

STAGES = {
    "heat": {"op": "text", "phrase": "a car", "threshold": 0.5},
    "size": {"op": "gate", "regions": [1, 9], "coverage": [0, 0.45], "policy": "skip"},
    "inpaint": {"prompt": ["mars", "snow"], "seed": [1, 2, 3], "steps": 1, "strength": 1, "crop": "regions"},
    "again": {"op": "inpaint", "prompt": "more", "seed": 7, "steps": 1, "strength": 1},
}


class Stripes(LeftHalf):
    """A CLIPSeg that finds one or two stripes, or half of the photo, by the photo's first pixel; at any speed."""

    def heatmaps(self, image: np.ndarray, phrases: Sequence[str]) -> np.ndarray:
        time.sleep(random.random() / 50)
        heat = np.zeros((len(phrases), *image.shape[:2]), np.float32)
        kind = image[0, 0, 0] % 3
        heat[:, :, 4:12] = 1
        heat[:, :, 40:50] = kind > 0
        heat[:, :, 4:40] = kind > 1
        return heat


class Unsteady(FlatDiffusion):
    """A diffusion model that is sometimes slow, and fails for the seed 2 on one photo. Notes who computes."""

    def __init__(self, batch_size: int) -> None:
        super().__init__(batch_size=batch_size)
        self.threads: set[str] = set()

    def inpaint(self, requests: Sequence[InpaintRequest]) -> list[np.ndarray]:
        self.threads.add(threading.current_thread().name)
        time.sleep(random.random() / 50)
        if any(request.seed == 2 and request.image[0, 0, 1] == 104 for request in requests):
            raise PhotoError("no picture")
        return super().inpaint(requests)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Seven photos, among them one that is broken, and two with the same content."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        pixels = np.full((40, 60 + number, 3), 100 + number, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "2.png").write_bytes(b"\x89PNG, but no more of it")
    (folder / "7.png").write_bytes((folder / "3.png").read_bytes())
    return folder


def outputs(photos: Path, workers: int, batch_size: int, name: str, resume: bool = False) -> FakeModels:
    """Run a sweep of two jobs over the photos; returns its models."""
    models = FakeModels(diffusion=Unsteady(batch_size), clipseg=Stripes())
    models.workers = workers
    folder = photos.parent / name
    jobs = [
        ready({"dataset": {"images": str(photos)}, "stages": STAGES | change}, models, folder / f"job{number}")
        for number, change in enumerate(({}, {"again": {**STAGES["again"], "seed": [7, 8]}}))
    ]
    run_jobs([replace(job, begun=resume) for job in jobs], Store(folder / ".store"))
    return models


def content(folder: Path) -> dict:
    """The two run folders, and the names of all blobs in the store."""
    blobs = sorted(path.name for path in (folder / ".store/blobs").rglob("*.*"))
    return {"jobs": [finished(folder / f"job{number}") for number in range(2)], "blobs": blobs}


@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_number_of_workers_changes_no_byte(photos: Path, batch_size: int) -> None:
    one = outputs(photos, 1, batch_size, "one")
    three = outputs(photos, 3, batch_size, "three")
    assert content(photos.parent / "three") == content(photos.parent / "one")
    assert one.diffusion.threads == {"MainThread"} and len(three.diffusion.threads) == 3
    lines = journal(photos.parent / "one/job0")
    assert {line["status"] for line in lines} == {"done", "failed", "skipped"}
    order = [line["photo"] for line in lines]
    assert order == sorted(order) and len(lines) == 42


def test_equal_work_of_two_photos_is_done_once(photos: Path) -> None:
    for path in photos.glob("[0125].png"):
        path.unlink()
    found = [outputs(photos, workers, 1, f"{workers}").diffusion.calls for workers in (1, 3)]
    assert len(found[0]) == len(found[1])


def test_batches_are_as_full_as_they_can_be(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(7):
        Image.fromarray(np.full((40, 60, 3), number, np.uint8)).save(folder / f"{number}.png")
    models = FakeModels(diffusion=Unsteady(batch_size=3))
    models.workers = 3
    stages = {"heat": STAGES["heat"], "inpaint": {"prompt": "mars", "steps": 1, "strength": 1}}
    job = ready({"dataset": {"images": str(folder)}, "stages": stages}, models, tmp_path / "run")
    run_jobs([job], Store(tmp_path / ".store"))
    assert sorted(models.diffusion.calls) == [1, 3, 3]


@pytest.mark.parametrize("after", [3, 20, 60])
def test_a_full_disk_stops_all_workers_and_a_resume_finishes(
    photos: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs(photos, 1, 1, "one")
    counted, original = iter(range(after)), os.fsync

    def fsync(file: int) -> None:
        if next(counted, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(file)

    with monkeypatch.context() as patched, pytest.raises(OutputError, match="No space left on device"):
        patched.setattr(os, "fsync", fsync)
        outputs(photos, 3, 1, "full")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("darkroom-")]
    outputs(photos, 3, 1, "full", resume=all((photos.parent / f"full/job{n}/run.json").exists() for n in (0, 1)))
    assert content(photos.parent / "full")["jobs"] == content(photos.parent / "one")["jobs"]


def give_all(workers: SideBySide[int, int], work: Callable[[int], int], number: int) -> None:
    for unit in range(number):
        workers.give(unit, work)


def test_an_error_stops_the_others_at_their_next_step_and_keeps_what_is_done() -> None:
    begun, failed = threading.Event(), threading.Event()

    def work(unit: int) -> int:
        if unit == 0:
            begun.wait(10)
            failed.set()
            raise SetupError("no weights")
        begun.set()
        failed.wait(10)
        if unit == 1:
            return 1
        while True:
            time.sleep(0.001)
            piece_done(1, 2)

    with SideBySide[int, int](3) as workers:
        give_all(workers, work, 4)
        assert not workers.has_room
        with pytest.raises(SetupError, match="no weights"):
            while True:
                assert workers.next() == (1, 1)
        kept = workers.stop()
    assert kept in ([], [(1, 1)])


def test_the_watcher_is_called_in_its_own_thread_and_can_cancel() -> None:
    seen: list[tuple[int, int]] = []

    def watch(step: int, steps: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        seen.append((step, steps))
        if step:
            raise Cancelled("enough")

    def work(unit: int) -> int:
        while True:
            time.sleep(0.001)
            piece_done(3, 20)

    with pytest.raises(Cancelled, match="enough"), watched(watch), SideBySide[int, int](2) as workers:
        give_all(workers, work, 2)
        workers.next()
    assert seen[-1] in ((3, 20), (6, 20))


def test_an_interruption_reaches_workers_that_report_no_steps() -> None:
    begun, cleaned = threading.Barrier(3), list[int]()

    def work(unit: int) -> int:
        try:
            begun.wait(10)
            while True:
                time.sleep(0.001)
        finally:
            cleaned.append(unit)

    with SideBySide[int, int](2) as workers:
        give_all(workers, work, 3)
        begun.wait(10)
        assert workers.stop(at_once=True) == []
    assert sorted(cleaned) == [0, 1]


@pytest.mark.fault(
    "Processes and disks",
    "Ctrl-C while several workers import the same module",
    "the import ends first: a thread that is interrupted in it leaves the module locked, and the others would hang",
)
def test_an_interruption_does_not_hit_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "import time\nfor _ in range(300):\n    time.sleep(0.001)\nEND = True\n"
    (tmp_path / "takes_time.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    begun, ends = threading.Barrier(3), list[bool]()

    def work(_: int) -> int:
        begun.wait(10)
        ends.append(importlib.import_module("takes_time").END)
        while True:
            time.sleep(0.001)

    with SideBySide[int, int](2) as workers:
        give_all(workers, work, 3)
        begun.wait(10)
        time.sleep(0.1)
        assert workers.stop(at_once=True) == []
    assert ends == [True, True]
