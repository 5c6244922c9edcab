"""Runs are looked through, and the rejected photos are done again; run folders may come from strangers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.errors import RecordError
from darkroom.studio.review import RunFolder, runs_in
from support.in_process import CliInProcess
from support.runs import journal

RECIPE = """
dataset: {images: photos}
stages:
  mask_file: {alpha: true}
  background: {colour: white}
"""


@pytest.fixture
def run(quick_cli: CliInProcess) -> RunFolder:
    (quick_cli.folder / "photos").mkdir()
    for name in ("one", "two", "drei ü"):
        pixels = np.full((64, 64, 4), 90, np.uint8)
        pixels[:32, :, 3] = 0
        Image.fromarray(pixels).save(quick_cli.folder / f"photos/{name}.png")
    (quick_cli.folder / "mine.yaml").write_text(RECIPE)
    done = quick_cli("recipe=mine.yaml")
    assert done.returncode == 0, done.stderr
    folder = quick_cli.run_folder()
    return RunFolder(folder.parent, folder.name)


def test_rejected_photos_are_a_list_that_a_run_takes(run: RunFolder, quick_cli: CliInProcess) -> None:
    photos = [line["photo"] for line in run.lines()]
    run.decide(0, "rejected")
    run.decide(1, "approved")
    run.decide(2, "rejected")
    run.decide(2, None)
    assert run.decisions() == {0: "rejected", 1: "approved"}
    review = run.review()
    assert (review["approved"], review["rejected"]) == (1, 1)
    assert (run.folder / "rejected.txt").read_text() == f"{photos[0]}\n"
    words = review["command"].split()[2:]
    assert quick_cli(*(word.strip("'\"") for word in words)).returncode == 0
    newest = max(quick_cli.run_folders())
    assert [line["photo"] for line in journal(newest)] == [photos[0]]
    assert quick_cli(f"verify={run.folder}").returncode == 0, "decisions are no damage"


@pytest.mark.parametrize(
    "text", ["", "[]", '{"decisions": {"x": "approved"}}', '{"decisions": {"0": "deleted"}}', "\0"]
)
def test_a_damaged_review_counts_as_none(run: RunFolder, text: str) -> None:
    (run.folder / "review.json").write_text(text)
    assert run.decisions() == {} and run.summary()["approved"] == 0
    run.decide(1, "approved")
    assert run.decisions() == {1: "approved"}


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/etc", "no such run", "link", "a\0b"])
def test_no_other_folder_counts_as_a_run(run: RunFolder, name: str) -> None:
    outputs = run.folder.parent
    (outputs / "link").symlink_to(run.folder)
    with pytest.raises(RecordError, match="no such run"):
        RunFolder(outputs, name)


def test_damaged_runs_are_left_out_of_the_list(run: RunFolder) -> None:
    outputs = run.folder.parent
    bad = outputs / "2000-01-01_bad"
    bad.mkdir()
    (bad / "run.json").write_text("{")
    assert [found.folder for found in runs_in(outputs)] == [run.folder]
    with (run.folder / "journal.jsonl").open("a") as file:
        file.write("not JSON\n")
    assert len(run.lines()) == 3
    with pytest.raises(RecordError, match="has no picture 3"):
        run.decide(3, "approved")
    facts = json.loads((run.folder / "run.json").read_text())
    assert run.summary() == {
        "name": run.folder.name,
        "recipe": facts["name"],
        "status": "done",
        "pictures": 3,
        "photos": 3,
        "flagged": 0,
        "approved": 0,
        "rejected": 0,
    }


def test_links_in_a_stranger_s_run_are_not_followed(run: RunFolder, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (run.folder / "picture.png").symlink_to(secret)
    with pytest.raises(OSError, match="link"):
        run.files.read("picture.png")


def test_decisions_of_several_threads_are_all_kept(run: RunFolder) -> None:
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda number: run.decide(number, "approved"), range(len(run.lines()))))
    assert run.decisions() == dict.fromkeys(range(len(run.lines())), "approved")
