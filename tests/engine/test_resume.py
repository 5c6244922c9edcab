"""Nothing finished is lost: whatever stops a run, and wherever, `resume=` makes of it what it would have become."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from darkroom.models import Models
from darkroom.provenance.verify import verify
from darkroom.record.run_log import run_log
from darkroom.system.files import Folder
from darkroom.system.locks import locked
from support.in_process import CliInProcess
from support.run_content import DRAWN, finished
from support.runs import ROOT, Cli, environment, journal, masks_only, run

SEEDS = [[3, 4, 5]]  # one run; `kill_points.py` has the rest of its recipe, and paints two in a batch
SWEEP = [[3], [4]]  # a sweep of two runs
SOME_FAILED = 3  # one of the two photos is broken


class Driver:
    """A process of `kill_points.py` that works in a folder of its own."""

    def __init__(self, folder: Path, photos: int = 2) -> None:
        self.outputs = folder / "outputs"
        self._folder = folder
        draw_photos(folder / "photos", photos)
        command = [sys.executable, str(ROOT / "tests/support/kill_points.py")]
        env = environment(OMP_NUM_THREADS="1", PATH="")  # without git, which is slow
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=env)

    def start(
        self, folder: str, seeds: Sequence[Sequence[int]], at: int | None = None, workers: int = 1
    ) -> SimpleNamespace:
        """Run below the outputs folder; SIGKILL comes at a point, if at all."""
        return self._ask(folder=folder, seeds=seeds, at=at, signal=signal.SIGKILL, workers=workers)

    def resume(self, place: str, at: int | None = None, number: int = signal.SIGKILL) -> SimpleNamespace:
        """Resume; a signal comes at a point, if at all."""
        return self._ask(words=[f"resume={place}"], at=at, signal=number)

    def clear(self, copy_of: Path | None = None, links: bool = True) -> None:
        """Begin anew with no outputs, or with a copy that has the same hard links; from here on with or without."""
        self._links = links
        shutil.rmtree(self.outputs, ignore_errors=True)
        if copy_of:
            subprocess.run(["cp", "-a", copy_of, self.outputs], check=True)

    def end(self) -> None:
        self._process.communicate()

    def _ask(self, **asked: Any) -> SimpleNamespace:
        self._process.stdin.write(json.dumps({"cwd": str(self._folder), "links": self._links, **asked}) + "\n")
        self._process.stdin.flush()
        answer = SimpleNamespace(**json.loads(self._process.stdout.readline()))
        assert "Traceback" not in answer.output, answer.output
        return answer


def draw_photos(folder: Path, number: int) -> None:
    """A broken one, and others that grabcut can do with."""
    folder.mkdir()
    (folder / "0.png").write_bytes(b"\x89PNG, but no more of it")
    for each in range(1, number):
        pixels = np.full((24, 32, 3), 60, np.uint8)
        pixels[6:18, 8:24] = (200, 30 * each, 60)
        Image.fromarray(pixels).save(folder / f"{each}.png")


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
    assert [line["status"] for line in content["journal"]] == ["failed"] * 3 + ["done"] * 3
    assert [len(batch) for batch in told.batches] == [1, 1, 2, 1]
    return SimpleNamespace(**vars(told), content=content)


@pytest.fixture(scope="module")
def half(drivers: list[Driver], whole: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The outputs folder of a run that was killed while it made the third of its three pictures; what was told."""
    drivers[0].clear()
    told = drivers[0].start("run", SEEDS, at=whole.begun[-1] + 1)
    kept = tmp_path_factory.mktemp("half") / "outputs"
    drivers[0].outputs.rename(kept)
    assert len(journal(kept / "run")) == 5 and told.batches == whole.batches
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


@pytest.mark.fault(
    "Resuming",
    "`kill -9` at every point where a run writes",
    "after a resume, the folder equals that of an uninterrupted run, byte for byte",
)
@pytest.mark.parametrize(
    "links, every",
    [
        pytest.param(True, 20, marks=pytest.mark.sample),
        pytest.param(False, 60, marks=pytest.mark.sample),
        pytest.param(True, 1, marks=pytest.mark.slow),
        pytest.param(False, 12, marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_point_a_run_is_finished_as_if_nothing_had_been(
    links: bool, every: int, drivers: list[Driver], whole: SimpleNamespace
) -> None:
    def check(driver: Driver, point: int) -> None:
        driver.clear(links=links)
        killed = driver.start("run", SEEDS, at=point)
        assert killed.code == -signal.SIGKILL
        finish(driver, killed, whole)

    drivers[0].clear(links=links)
    points = drivers[0].start("run", SEEDS).points
    assert points > 100 and ((drivers[0].outputs / "run/1/0_photo.png").stat().st_nlink > 1) == links
    at_every_point(drivers, range(1, points + 1, every), check)


@pytest.mark.parametrize("every", [pytest.param(48, marks=pytest.mark.sample), pytest.param(6, marks=pytest.mark.slow)])
def test_the_same_command_again_computes_what_is_missing(
    every: int, drivers: list[Driver], whole: SimpleNamespace
) -> None:
    def check(driver: Driver, point: int) -> None:
        driver.clear()
        killed, again = driver.start("run", SEEDS, at=point), driver.start("again", SEEDS)
        assert finished(driver.outputs / "again") == whole.content
        check_work([killed, again], whole)

    at_every_point(drivers, range(1, whole.points + 1, every), check)


@pytest.mark.fault(
    "Resuming", "`kill -9` or Ctrl-C at every point where a resume writes", "it can be resumed again, to the same bytes"
)
@pytest.mark.parametrize(
    "number, code, every",
    [
        pytest.param(signal.SIGKILL, -9, 10, marks=pytest.mark.sample),
        pytest.param(signal.SIGINT, 130, 20, marks=pytest.mark.sample),
        pytest.param(signal.SIGKILL, -9, 1, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, 2, marks=pytest.mark.slow),
    ],
)
def test_killed_or_interrupted_at_any_point_a_resume_can_be_resumed(
    number: int, code: int, every: int, drivers: list[Driver], whole: SimpleNamespace, half: SimpleNamespace
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
    assert points > 50
    at_every_point(drivers, range(1, points + 1, every), check)


@pytest.mark.fault(
    "Resuming",
    "`kill -9` and then Ctrl-C while several workers are at work",
    "after a resume, the folder equals that of an uninterrupted run with one worker, byte for byte",
)
@pytest.mark.parametrize(
    "every", [pytest.param(80, marks=pytest.mark.sample), pytest.param(20, marks=pytest.mark.slow)]
)
def test_killed_with_several_workers_a_run_comes_to_the_bytes_of_one_worker(
    every: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    driver, workers = Driver(tmp_path_factory.mktemp("several"), photos=4), 3
    driver.clear()
    whole = driver.start("run", SEEDS)
    expected = finished(driver.outputs / "run")

    def check(driver: Driver, point: int) -> None:
        driver.clear()
        parts = [driver.start("run", SEEDS, at=point, workers=workers)]
        assert parts[0].code == -signal.SIGKILL
        parts.append(driver.resume("outputs/run", at=9, number=signal.SIGINT))
        assert parts[1].code == 130 and parts[1].output.endswith("interrupted; finished pictures are kept\n")
        parts.append(driver.resume("outputs/run"))
        assert parts[2].code == SOME_FAILED, parts[2].output
        assert finished(driver.outputs / "run") == expected
        for number, part in enumerate(parts):
            again = set(works(*parts[number + 1 :]))
            lost = [batch for batch in part.batches if again & {tuple(each) for each in batch}]
            assert len(lost) <= workers + 2  # in work, waiting for a worker, and on its way into the store
        assert set(works(*parts)) == set(works(whole))

    try:
        at_every_point([driver], range(30, whole.points - 60, every), check)
    finally:
        driver.end()


@pytest.mark.slow  # that a resume which was killed can be resumed is checked above
@given(points=st.lists(st.integers(1, 70), min_size=3, max_size=6))
@settings(max_examples=8, deadline=None)
def test_killed_again_and_again_a_run_still_comes_to_its_end(
    drivers: list[Driver], whole: SimpleNamespace, half: SimpleNamespace, points: list[int]
) -> None:
    driver = drivers[0]
    driver.clear(half.outputs)
    parts = [half, *(driver.resume("outputs/run", at=point) for point in points), driver.resume("outputs/run")]
    assert parts[-1].code == SOME_FAILED
    assert finished(driver.outputs / "run") == whole.content
    check_work(parts, whole)


@pytest.mark.fault("Sweeps", "a sweep killed at any point, even at its start", "after a resume, the bytes are equal")
@pytest.mark.parametrize("every", [pytest.param(40, marks=pytest.mark.sample), pytest.param(4, marks=pytest.mark.slow)])
def test_a_sweep_killed_at_any_point_is_finished_by_resuming_the_latest(every: int, drivers: list[Driver]) -> None:
    driver = drivers[0]
    driver.clear()
    whole = driver.start("sweep", SWEEP)
    jobs = ("0_kill", "1_kill")
    contents = [finished(driver.outputs / "sweep" / job) for job in jobs]
    assert contents[0]["1/3_paint.png"] != contents[1]["1/3_paint.png"]

    def check(driver: Driver, point: int) -> None:
        driver.clear()
        killed = driver.start("sweep", SWEEP, at=point)
        folder, listed = driver.outputs / "sweep", (driver.outputs / "sweep/sweep.json").is_file()
        last = driver.resume("latest")
        parts = [killed, last]
        if not listed:  # nothing is known of it
            assert last.code == 2 and not killed.batches
            last, folder = driver.start("again", SWEEP), driver.outputs / "again"
            parts.append(last)
        elif last.code == 2:  # all its runs had come to their end
            last = driver.resume("outputs/sweep")
            parts.append(last)
        assert last.code == SOME_FAILED, last.output
        assert [finished(folder / job) for job in jobs] == contents
        assert {path.name for path in folder.iterdir()} == {*jobs, *DRAWN, "sweep.json"}
        told = json.loads((folder / "sweep.json").read_bytes())
        assert [(job["folder"], job["status"]) for job in told["jobs"]] == [(job, "failed") for job in jobs]
        check_work(parts, whole)

    at_every_point(drivers, range(1, whole.points + 1, every), check)


def tear(run: Path) -> None:
    with (run / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"photo": "1.png", "status": "do')


def spoil_journal(run: Path) -> None:
    """As after a fault of the disk, or by somebody's hand: no JSON, other JSON, too much of it."""
    first, *others = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    line = json.loads(others.pop())
    odd = [
        {**line, "files": 7},
        {**line, "steps": [{}]},
        {**line, "steps": None},
        {**line, "files": {"a": None}},
        [],
        7,
    ]
    spoilt = [b"\0" * 99 + b"\n", first[:50] + b"\n", b"[" * 99_999 + b"\n", b"\xff\xfe\n", b"\n"]
    (run / "journal.jsonl").write_bytes(
        b"".join([*spoilt, *(json.dumps(each).encode() + b"\n" for each in odd), *others])
    )


def delete_a_result(run: Path) -> None:
    (run / "1/3_paint_seed3.png").unlink()


def truncate_a_result(run: Path) -> None:
    replace_file(run / "1/3_paint_seed3.png", (run / "1/3_paint_seed3.png").read_bytes()[:100])


def exchange_a_result(run: Path) -> None:
    replace_file(run / "1/3_paint_seed3.png", (run / "1/3_paint_seed4.png").read_bytes())


def replace_file(path: Path, data: bytes) -> None:
    """As most programs do when they save: another file of the same name."""
    path.unlink()
    path.write_bytes(data)


def write_into_a_result(run: Path) -> None:
    """The store's blob is the same file, so it is no longer what it was."""
    path = run / "1/3_paint_seed3.png"
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(b"not a PNG")


def delete_the_store(run: Path) -> None:
    shutil.rmtree(run.parent / ".store")


MASKS = [("grabcut", "1.png", None), ("refine", "1.png", None)]
PICTURES = [("paint", "1.png", seed) for seed in (3, 4, 5)]


@pytest.mark.fault(
    "Resuming",
    "a torn or damaged journal, deleted results, a deleted store",
    "finished with the least work, to the same bytes",
)
@pytest.mark.parametrize(
    "damages, computed",
    [
        ([tear], PICTURES[2:]),
        ([spoil_journal], PICTURES[2:]),
        ([lambda run: (run / "journal.jsonl").unlink()], PICTURES[2:]),
        ([delete_a_result], PICTURES[2:]),
        ([delete_the_store], PICTURES[2:]),  # the run folder alone suffices
        ([delete_the_store, tear], PICTURES[2:]),
        ([delete_the_store, delete_a_result], [PICTURES[0], PICTURES[2]]),
        ([delete_the_store, spoil_journal], PICTURES[1:]),
        ([delete_the_store, lambda run: (run / "journal.jsonl").unlink()], MASKS + PICTURES),
    ],
)
def test_whatever_has_become_of_the_folder_it_is_finished_with_the_least_work(
    damages: list, computed: list, driver: Driver, whole: SimpleNamespace, half: SimpleNamespace
) -> None:
    driver.clear(half.outputs)
    for damage in damages:
        damage(driver.outputs / "run")
    last = driver.resume("outputs/run")
    assert last.code == SOME_FAILED, last.output
    assert finished(driver.outputs / "run") == whole.content
    assert works(last) == computed


@pytest.mark.fault(
    "Resuming", "a finished picture that was edited, truncated or replaced", "stays as it is, and is named"
)
@pytest.mark.parametrize("with_store", [True, False])
@pytest.mark.parametrize("damage", [truncate_a_result, exchange_a_result, write_into_a_result])
def test_a_result_that_somebody_has_changed_is_left_alone(
    damage: Callable[[Path], None], with_store: bool, driver: Driver, whole: SimpleNamespace, half: SimpleNamespace
) -> None:
    driver.clear(half.outputs)
    run, result = driver.outputs / "run", driver.outputs / "run/1/3_paint_seed3.png"
    damage(run)
    if not with_store:
        delete_the_store(run)
    changed = result.read_bytes()
    last = driver.resume("outputs/run")
    assert last.code == SOME_FAILED and works(last) == PICTURES[2:]
    assert "1/3_paint_seed3.png: has changed since it was written; left as it is" in last.output
    assert result.read_bytes() == changed
    assert [line["status"] for line in journal(run)] == ["failed"] * 3 + ["done"] * 3
    assert verify(run).problems == ["1/3_paint_seed3.png: changed since it was written"]


def test_a_folder_that_was_moved_away_is_finished_there(
    driver: Driver, whole: SimpleNamespace, half: SimpleNamespace, tmp_path: Path
) -> None:
    copied = shutil.copytree(half.outputs / "run", tmp_path / "archive/mine")
    last = driver.resume(str(copied))
    assert finished(copied) == whole.content and works(last) == PICTURES[2:]
    assert {path.name for path in copied.parent.iterdir()} == {"mine", ".store"}


def test_a_finished_run_can_be_resumed_and_stays_what_it_is(driver: Driver, whole: SimpleNamespace) -> None:
    driver.start("run", SEEDS)
    refused = driver.resume("latest")
    assert refused.code == 2 and "holds no run that was stopped; all of them finished" in refused.output
    again = driver.resume("outputs/run")
    assert again.code == SOME_FAILED and not again.batches
    assert finished(driver.outputs / "run") == whole.content


@pytest.mark.fault(
    "Processes and disks",
    "a disk that is full when only the contact sheet or the page is missing, of a run or a sweep",
    "one line, exit code 4; all results are there, and resume=latest writes the reports",
)
@pytest.mark.parametrize(
    ("photos", "words"),
    [(2, ()), (2, ("-m", "stages.thing.iterations=1,2")), (1, ("-m", "stages.thing.iterations=1,2"))],
    ids=["run", "sweep", "sweep whose runs leave their picture to its sheet"],
)
@pytest.mark.parametrize("full", ["contact_sheet.jpg", "index.html"])
def test_reports_without_room_are_written_by_a_resume(
    photos: int, words: Sequence[str], full: str, quick_cli: CliInProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*masks_only(quick_cli, photos), *words]
    write = Folder.write

    def no_room(folder: Folder, path: str, *content: Any) -> None:
        if path == full:
            raise OSError(28, "No space left on device")
        write(folder, path, *content)

    def fails(*words: str) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Folder, "write", no_room)
            done = quick_cli(*words)
        assert done.returncode == 4
        (line,) = (line for line in done.stderr.splitlines() if "cannot be written" in line)
        assert full in line and line.endswith("the results are complete, and resume=latest writes the reports")
        assert not (quick_cli.run_folder() / "index.html").exists()

    fails(*command)
    before = {path: path.read_bytes() for path in quick_cli.run_folder().rglob("*.png") if path.name != full}
    assert sum(path.parent.name == "results" for path in before) == photos * (2 if words else 1)
    assert quick_cli("resume=latest").returncode == 0
    pages = set(quick_cli.run_folder().rglob("index.html"))
    fails(f"resume={quick_cli.run_folder()}")  # the page of the earlier attempt does not stand in for the new one
    assert set(quick_cli.run_folder().rglob("index.html")) == pages - {quick_cli.run_folder() / "index.html"}
    assert quick_cli("resume=latest").returncode == 0
    if words and photos > 1:
        one = sorted(quick_cli.run_folder().glob("0_*"))[0]
        fails(f"resume={one}")
        assert not (one / "index.html").exists()
        assert quick_cli("resume=latest").returncode == 0
        assert set(quick_cli.run_folder().rglob("index.html")) == pages
    assert {"contact_sheet.jpg", "index.html"} <= {path.name for path in quick_cli.run_folder().iterdir()}
    assert all(path.read_bytes() == content for path, content in before.items())
    refused = quick_cli("resume=latest")
    assert refused.returncode == 2 and "all of them finished" in refused.stderr


@pytest.mark.fault("Resuming", "two resumes of one run at once", "the second is refused")
def test_of_two_resumes_at_once_the_second_is_refused(driver: Driver, half: SimpleNamespace) -> None:
    driver.clear(half.outputs)
    before = (driver.outputs / "run/journal.jsonl").read_bytes()
    with locked(driver.outputs / "run", busy="by this process, in place of the first"):
        second = driver.resume("outputs/run")
    assert second.code == 4 and second.output == f"{driver.outputs}/run: another process is running here\n"
    assert (driver.outputs / "run/journal.jsonl").read_bytes() == before
    assert driver.resume("outputs/run").code == SOME_FAILED  # the lock has gone with its holder


def test_a_log_that_cannot_be_opened_is_told_and_one_that_is_full_costs_no_picture(
    driver: Driver, half: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    driver.clear(half.outputs)
    (driver.outputs / "run/run.log").unlink()
    (driver.outputs / "run/run.log").mkdir()
    refused = driver.resume("outputs/run")
    assert refused.code == 4
    assert refused.output == f"{driver.outputs}/run/run.log: cannot be written: Is a directory\n"

    class Full(StringIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    with run_log(tmp_path) as log:
        for handler in log.handlers:
            if type(handler).__name__ == "_ToFile":
                handler.stream = Full()
        log.info("no place for this")
    assert capsys.readouterr().err == ""


def test_a_journal_from_a_stranger_moves_and_writes_nothing_elsewhere(
    driver: Driver, whole: SimpleNamespace, half: SimpleNamespace, tmp_path: Path
) -> None:
    mine, run = tmp_path / "mine.png", driver.outputs / "run"
    mine.write_bytes(b"something of my own")
    driver.clear(half.outputs)
    line = journal(run)[-1]
    for name in (str(mine.with_suffix("")), "../../../../mine", f"{mine}\0"):
        step = {**line["steps"][0], "key": name, "image": "mine.png"}
        with (run / "journal.jsonl").open("a") as file:
            file.write(json.dumps({**line, "steps": [step], "files": {**line["files"], "mine.png": name}}) + "\n")
            file.write(json.dumps({**line, "steps": [{**step, "image": line["result"]}]}) + "\n")
    driver.resume("outputs/run")
    assert finished(run) == whole.content
    assert mine.read_bytes() == b"something of my own" and [path.name for path in tmp_path.iterdir()] == ["mine.png"]


def test_with_the_real_models_a_killed_run_becomes_what_it_would_have_been(cli: Cli, models: Models) -> None:
    with Image.open(ROOT / "examples/car.png") as car:
        for number in range(5):  # more than any number of workers here has at the same time
            car.crop((number, 0, car.width, car.height)).save(cli.folder / f"{number}.png")
    words = [f"dataset.images={cli.folder}", "stages.inpaint.steps=3", "stages.inpaint.seed=7", "memory.workers=2"]
    process = cli.start("recipe=car_on_mars", "models=miniature", *words)
    killed = cli.wait_for_pictures(process, 1)
    process.kill()
    process.communicate()
    first = (killed / "journal.jsonl").read_bytes().count(b"\n")
    assert 0 < first < 5
    resumed = CliInProcess(cli.folder)("resume=latest")
    assert resumed.returncode == 0, resumed.stderr
    facts = json.loads((killed / "run.json").read_bytes())
    assert facts["work"]["computed"].get("inpaint", 0) <= 5 - first
    run(facts["config"], models, cli.folder / "uninterrupted/run")
    assert made(finished(killed)) == made(finished(cli.folder / "uninterrupted/run"))


def made(content: dict[str, Any]) -> dict[str, Any]:
    """What is in a run folder, without what only the command line puts there."""
    return {path: each for path, each in content.items() if path.endswith(("g", "journal")) and path not in DRAWN}
