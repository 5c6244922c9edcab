"""Nothing finished is lost: whatever stops a run, and wherever, `resume=` makes of it what it would have become."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from runs import ROOT, journal

from pipeline.record.verify import verify

SEEDS = [[3, 4]]  # one run; `kill_points.py` has the rest of its recipe
SWEEP = [[3], [4]]  # a sweep of two runs
SOME_FAILED = 3  # one of the three photos is broken
_DRAWN = ("run.log", "contact_sheet.png", "index.html")  # they tell the time of the run


class Driver:
    """A process of `kill_points.py` that works in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.outputs = folder / "outputs"
        self._folder = folder
        draw_photos(folder / "photos")
        command = [sys.executable, str(ROOT / "tests/kill_points.py")]
        environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""}  # no threads; no git, which is slow
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)

    def start(self, folder: str, seeds: Sequence[Sequence[int]], at: int | None = None) -> SimpleNamespace:
        """Run below the outputs folder; SIGKILL comes at a point, if at all."""
        return self._ask(folder=folder, seeds=seeds, at=at, signal=signal.SIGKILL)

    def resume(self, place: str, at: int | None = None, number: int = signal.SIGKILL) -> SimpleNamespace:
        """Resume; a signal comes at a point, if at all."""
        return self._ask(
            words=[f"resume={place}", *(["outputs=outputs"] if place == "latest" else [])], at=at, signal=number
        )

    def clear(self, copy_of: Path | None = None) -> None:
        """Begin anew with no outputs, or with a copy that has the same hard links."""
        shutil.rmtree(self.outputs, ignore_errors=True)
        if copy_of:
            subprocess.run(["cp", "-a", copy_of, self.outputs], check=True)

    def end(self) -> None:
        self._process.communicate()

    def _ask(self, **asked: Any) -> SimpleNamespace:
        self._process.stdin.write(json.dumps({"cwd": str(self._folder), **asked}) + "\n")
        self._process.stdin.flush()
        answer = SimpleNamespace(**json.loads(self._process.stdout.readline()))
        assert "Traceback" not in answer.output, answer.output
        return answer


def draw_photos(folder: Path) -> None:
    """Two that grabcut can do with, and a broken one between them."""
    folder.mkdir()
    for name, grey in (("0.png", 60), ("2.png", 90)):
        pixels = np.full((24, 32, 3), grey, np.uint8)
        pixels[6:18, 8:24] = (200, 30, grey)
        Image.fromarray(pixels).save(folder / name)
    (folder / "1.png").write_bytes(b"\x89PNG, but no more of it")


def finished(folder: Path) -> dict[str, Any]:
    """All that a finished run folder holds, save for times and places. Everything in it is whole."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    lines = [json.loads(line) for line in files.pop("journal.jsonl").splitlines()]
    for line in lines:
        for timed in (line, *line["steps"]):
            timed.pop("seconds")
        line["path"] = Path(line["path"]).name
    facts = json.loads(files.pop("run.json"))
    facts = {key: facts[key] for key in ("name", "status", "overrides", "totals", "dataset_fingerprint")}
    assert not verify(folder).problems
    return {**files, **dict.fromkeys(_DRAWN, _DRAWN[0] in files), "journal": lines, "facts": facts}


def works(*parts: SimpleNamespace) -> list[tuple]:
    """What was computed, one by one, in order."""
    return [tuple(each) for part in parts for batch in part.batches for each in batch]


def check_work(parts: Sequence[SimpleNamespace], whole: SimpleNamespace) -> None:
    """Together they have computed everything, and twice only what was in work when a part was killed."""
    assert set(works(*parts)) == set(works(whole))
    for number, part in enumerate(parts):
        again = set(works(part)) & set(works(*parts[number + 1 :]))
        assert again <= {tuple(each) for each in (part.batches or [[]])[-1]}


@pytest.fixture(scope="module")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Driver]]:
    both = [Driver(tmp_path_factory.mktemp(f"driver{number}")) for number in range(2)]
    yield both
    for driver in both:
        driver.end()


@pytest.fixture
def driver(drivers: list[Driver]) -> Driver:
    drivers[0].clear()
    return drivers[0]


@pytest.fixture(scope="module")
def whole(drivers: list[Driver]) -> SimpleNamespace:
    """An uninterrupted run: `content`, and what the driver told of it."""
    drivers[0].clear()
    told = drivers[0].start("run", SEEDS)
    assert told.code == SOME_FAILED, told.output
    content = finished(drivers[0].outputs / "run")
    assert [line["status"] for line in content["journal"]] == ["done", "done", "failed", "failed", "done", "done"]
    return SimpleNamespace(**vars(told), content=content)


@pytest.fixture(scope="module")
def half(drivers: list[Driver], whole: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The outputs folder of a run that was killed in the middle of the last photo: `outputs`, and what was told."""
    drivers[0].clear()
    told = drivers[0].start("run", SEEDS, at=whole.points * 3 // 4)
    kept = tmp_path_factory.mktemp("half") / "outputs"
    drivers[0].outputs.rename(kept)
    assert len(journal(kept / "run")) == 4 and told.batches
    return SimpleNamespace(**vars(told), outputs=kept)


def at_every_point(drivers: Sequence[Driver], points: Sequence[int], check: Callable[[Driver, int], None]) -> None:
    """Check with all drivers side by side."""

    def check_share(number: int) -> None:
        for point in points[number :: len(drivers)]:
            try:
                check(drivers[number], point)
            except AssertionError as error:
                raise AssertionError(f"hit at point {point}") from error

    with ThreadPoolExecutor() as pool:
        list(pool.map(check_share, range(len(drivers))))


def finish(driver: Driver, killed: SimpleNamespace, whole: SimpleNamespace) -> None:
    """What was killed is resumed, or started again where nothing had begun; and it is as if nothing had been."""
    folder = driver.outputs / "run"
    if (folder / "run.json").is_file():
        last = driver.resume("outputs/run")
    else:
        assert driver.resume("outputs/run").code == 2
        folder = driver.outputs / "again"
        last = driver.start("again", SEEDS)
    assert last.code == SOME_FAILED, last.output
    assert finished(folder) == whole.content
    check_work([killed, last], whole)


def test_killed_at_any_point_a_run_is_finished_as_if_nothing_had_been(
    drivers: list[Driver], whole: SimpleNamespace
) -> None:
    def check(driver: Driver, point: int) -> None:
        driver.clear()
        killed = driver.start("run", SEEDS, at=point)
        assert killed.code == -signal.SIGKILL
        finish(driver, killed, whole)

    assert whole.points > 200
    at_every_point(drivers, range(1, whole.points + 1), check)


@pytest.mark.parametrize("number, code", [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_killed_or_interrupted_at_any_point_a_resume_can_be_resumed(
    number: int, code: int, drivers: list[Driver], whole: SimpleNamespace, half: SimpleNamespace
) -> None:
    def check(driver: Driver, point: int) -> None:
        driver.clear(half.outputs)
        hit = driver.resume("outputs/run", at=point, number=number)
        assert hit.code == code, hit.output
        last = driver.resume("outputs/run")
        assert last.code == SOME_FAILED, last.output
        assert finished(driver.outputs / "run") == whole.content
        check_work([half, hit, last], whole)

    drivers[0].clear(half.outputs)
    points = drivers[0].resume("outputs/run").points
    assert points > 100
    at_every_point(drivers, range(1, points + 1), check)


@given(points=st.lists(st.integers(1, 200), min_size=3, max_size=6))
@settings(max_examples=15, deadline=None)
def test_killed_again_and_again_a_run_still_comes_to_its_end(
    drivers: list[Driver], whole: SimpleNamespace, half: SimpleNamespace, points: list[int]
) -> None:
    driver = drivers[0]
    driver.clear(half.outputs)
    parts = [half, *(driver.resume("outputs/run", at=point) for point in points), driver.resume("outputs/run")]
    assert parts[-1].code == SOME_FAILED
    assert finished(driver.outputs / "run") == whole.content
    check_work(parts, whole)


def test_a_killed_sweep_is_finished_by_resuming_the_latest(drivers: list[Driver]) -> None:
    driver = drivers[0]
    driver.clear()
    whole = driver.start("sweep", SWEEP)
    jobs = ("0_kill", "1_kill")
    contents = [finished(driver.outputs / "sweep" / job) for job in jobs]
    assert [line["seed"] for content in contents for line in content["journal"]] == [None] * 6

    def check(driver: Driver, point: int) -> None:
        driver.clear()
        killed = driver.start("sweep", SWEEP, at=point)
        last, folder = driver.resume("latest"), driver.outputs / "sweep"
        if not all((folder / job / "run.json").is_file() for job in jobs):
            assert not killed.batches  # it had not begun with any picture
            last, folder = driver.start("z_again", SWEEP), driver.outputs / "z_again"
        assert last.code == SOME_FAILED, last.output
        assert [finished(folder / job) for job in jobs] == contents
        assert {path.name for path in folder.iterdir()} == {*jobs, *_DRAWN, "sweep.json"}
        told = json.loads((folder / "sweep.json").read_bytes())
        assert [(job["folder"], job["status"]) for job in told["jobs"]] == [(job, "failed") for job in jobs]
        check_work([killed, last], whole)

    at_every_point(drivers, range(1, whole.points + 1, 5), check)
