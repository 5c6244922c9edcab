"""`store=report` and `store=prune`: what no run holds goes, and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from darkroom.engine.run_job import run_jobs
from darkroom.errors import OutputError, RecordError
from darkroom.models import Models
from darkroom.provenance.housekeeping import prune, report
from darkroom.provenance.verify import verify
from darkroom.store import Store
from darkroom.system.locks import locked
from support.runs import Cli, journal_line, ready, run

_runs = st.lists(st.sets(st.integers(0, 9)), max_size=4)


def masks(photo: Path, grow: int) -> dict[str, Any]:
    """A recipe without any model; two that grow by different amounts share the first mask."""
    thing = {"op": "grabcut", "box": [8, 8, 30, 24], "iterations": 1}
    return {"dataset": {"images": str(photo)}, "stages": {"thing": thing, "refine": {"op": "refine", "grow": grow}}}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.full((32, 48, 3), 60, np.uint8)
    pixels[10:22, 12:26] = (200, 30, 60)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def in_store(outputs: Path) -> set[Path]:
    files = {path for path in (outputs / ".store").rglob("*") if path.is_file()}
    return files - {outputs / ".store/CACHEDIR.TAG"}


def test_what_a_deleted_run_alone_held_is_freed_and_the_rest_stays_whole(
    photo: Path, models: Models, tmp_path: Path
) -> None:
    outputs = tmp_path / "outputs"
    run(masks(photo, 1), models, outputs / "kept")
    before = in_store(outputs)
    run(masks(photo, 3), models, outputs / "deleted")
    alone = in_store(outputs) - before
    size = sum(path.stat().st_size for path in alone if path.suffix == ".png")
    assert {path.suffix for path in alone} == {".json", ".png"}  # the second mask and how it was made
    assert list(prune(outputs)) == ["removed 0 results and 0 files; freed 0.0 MB"]
    shutil.rmtree(outputs / "deleted")
    (told,) = prune(outputs)
    assert told.startswith("removed 1 results and 1 files; freed") and size > 0
    assert in_store(outputs) == before
    (again,) = run_jobs([ready(masks(photo, 1), models, outputs / "again")], Store(outputs / ".store"))
    assert again.work["computed"] == {} and not verify(outputs / "kept").problems


def test_the_report_tells_what_each_run_holds_and_what_none_does(photo: Path, models: Models, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    for name, grow in (("one", 1), ("sweep/0_two", 3), ("three", 5)):
        run(masks(photo, grow), models, outputs / name) if "/" not in name else None
        if "/" in name:
            run_jobs([ready(masks(photo, grow), models, outputs / name)], Store(outputs / ".store"))
    shutil.rmtree(outputs / "three")
    flipped = next(path for path in (outputs / ".store/blobs").glob("*/*") if path.stat().st_nlink == 1)
    (outputs / ".store/damaged").mkdir()
    shutil.copy(flipped, outputs / ".store/damaged")
    files = [re.sub(r"^ *[\d.]+ MB +", "", line) for line in report(outputs)]
    assert files == [
        "4 files  one",
        "4 files  sweep/0_two",
        "6 files  in total; files that runs share count once",
        "1 files  used by no run; store=prune removes them",
        "1 damaged files were set aside",
    ]
    list(prune(outputs))
    assert [re.search(r"[\d,]+ files", line)[0] for line in report(outputs)] == [
        "4 files",
        "4 files",
        "5 files",
        "0 files",
    ]


def write_run(outputs: Path, name: str, numbers: set[int], journal: str = "journal.jsonl") -> None:
    """A run folder that holds these blobs, each made by one step."""
    folder = outputs / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text("{}")
    lines = [
        journal_line(
            f"{n}.png",
            steps=[{"key": key(n), "empty": False, "seconds": 0.1}],
            files={f"{n}.png": blob(n).partition(".")[0]},
        )
        for n in sorted(numbers)
    ]
    (folder / journal).write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"torn": ')


def key(number: int) -> str:
    return hashlib.sha256(f"key {number}".encode()).hexdigest()


def blob(number: int) -> str:
    return hashlib.sha256(f"blob {number}".encode()).hexdigest() + ".png"


def fill(store: Path) -> None:
    """Ten results with a blob each."""
    Store(store).create()
    for number in range(10):
        for path in (
            store / "results" / key(number)[:2] / f"{key(number)}.json",
            store / "blobs" / blob(number)[:2] / blob(number),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("content")


@given(kept=_runs, swept=_runs, resumed=_runs)
@settings(max_examples=20, deadline=None)
def test_whatever_runs_there_are_what_they_hold_stays_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, kept: Sequence[set], swept: Sequence[set], resumed: Sequence[set]
) -> None:
    outputs = tmp_path_factory.getbasetemp() / "wild"
    shutil.rmtree(outputs, ignore_errors=True)
    fill(outputs / ".store")
    for number, held in enumerate(kept):
        write_run(outputs, f"run{number}", held)
    for number, held in enumerate(swept):
        write_run(outputs, f"sweep/{number}_run", held)
    for number, held in enumerate(resumed):  # killed while it was resumed, before its journal was begun anew
        write_run(outputs, f"resumed{number}", held, "journal.earlier.jsonl")
    list(prune(outputs))
    held = set().union(*kept, *swept, *resumed)
    assert {path.name for path in in_store(outputs)} == {name for n in held for name in (blob(n), f"{key(n)}.json")}


@pytest.mark.fault("The store", "`store=prune` during a run", "refused")
def test_a_run_at_work_keeps_the_store_from_being_pruned(tmp_path: Path) -> None:
    fill(tmp_path / ".store")
    before = in_store(tmp_path)
    with locked(tmp_path / ".store", shared=True, busy=""), pytest.raises(OutputError, match="in use by a run"):
        list(prune(tmp_path))
    assert in_store(tmp_path) == before
    list(prune(tmp_path))
    assert not in_store(tmp_path)


def test_what_killed_processes_have_left_half_written_goes(tmp_path: Path) -> None:
    fill(tmp_path / ".store")
    write_run(tmp_path, "run", set(range(10)))
    before = in_store(tmp_path)
    for folder in ("blobs", "results"):
        next((tmp_path / ".store" / folder).iterdir()).joinpath(".darkroom-12-34567890.tmp").write_bytes(b"half")
    list(prune(tmp_path))
    assert in_store(tmp_path) == before


@pytest.mark.fault(
    "The store", "`store=prune` with a damaged journal", "refused, because nobody can tell which files that run uses"
)
@pytest.mark.parametrize(
    "damage", [b"\0\0\0\n", b"[]\n", b"7\n", b'{"files": {}}\n', b'{"files": 1, "steps": []}\n', b"\xff\n"]
)
def test_with_a_journal_that_cannot_be_read_nothing_is_freed(damage: bytes, tmp_path: Path) -> None:
    fill(tmp_path / ".store")
    write_run(tmp_path, "run", {1})
    with (tmp_path / "run/journal.jsonl").open("rb+") as journal:
        journal.write(damage)
    for action in (prune, report):
        with pytest.raises(RecordError, match=r"run/journal.jsonl: line 1 is damaged.*; move the folder elsewhere"):
            list(action(tmp_path))
    assert len(in_store(tmp_path)) == 20


def test_the_command_line_tells_it(photo: Path, models: Models, cli: Cli) -> None:
    run(masks(photo, 1), models, cli.folder / "outputs/one")
    told = cli("store=report")
    assert told.returncode == 0 and "4 files  one" in told.stdout
    with locked(cli.folder / "outputs/.store", shared=True, busy=""):
        refused = cli("store=prune")
    assert refused.returncode == 4 and len(refused.stderr.splitlines()) == 1
    nothing = cli("store=prune", "outputs=elsewhere")
    assert nothing.returncode == 2 and nothing.stderr.endswith("elsewhere: no store here\n")
