"""What a run says while it goes, where there is no terminal."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from darkroom.dataset import Dataset
from darkroom.engine.progress import Progress


def lines(caplog: pytest.LogCaptureFixture, tmp_path: Path, seconds: list[float], photos: int) -> list[str]:
    """The lines of a run with a picture of each photo, which take so long."""
    for number in range(photos):
        (tmp_path / f"{number}.png").touch()
    now = 0.0
    caplog.set_level(logging.INFO)
    progress = Progress([Dataset(images=str(tmp_path))], on_screen=False, clock=lambda: now)
    progress._count()  # otherwise a thread's work
    for number, each in enumerate(seconds):
        progress.begin_photo(1)
        now += each
        progress.picture_done(f"{number}.png", "done")
    return caplog.messages


def test_lines_without_a_terminal_have_rate_and_time_left(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    assert lines(caplog, tmp_path, [2, 4, 0], 60) == [
        "picture 1 of 60: 0.png: done; 2.0 s/picture, about 0:01:58 left",
        "picture 2 of 60: 1.png: done; 3.0 s/picture, about 0:02:54 left",
        "picture 3 of 60: 2.png: done; 2.0 s/picture, about 0:01:54 left",
    ]


def test_pictures_from_the_store_do_not_make_the_rest_look_fast(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    last = lines(caplog, tmp_path, [0.001] * 100 + [0.5] * 50, 152)[-1]
    assert last == "picture 150 of 152: 149.png: done; 2.0 pictures/s, about 0:00:01 left"


def test_the_last_picture_has_no_time_left(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    assert lines(caplog, tmp_path, [0.25], 1) == ["picture 1 of 1: 0.png: done; 4.0 pictures/s"]
