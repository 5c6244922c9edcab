"""Files inside a folder: interruptions between any two system calls."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from darkroom.system.files import Folder

CALLS = ("open", "close", "replace")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("calls", range(1, 5))
def test_an_interruption_closes_no_file_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, calls: int
) -> None:
    """The number of a closed file may by then be that of a file which another thread has opened."""
    failed: list[OSError] = []
    left = calls
    real = {name: getattr(os, name) for name in CALLS}

    def interrupted(name: str, *arguments: object, **options: object) -> object:
        nonlocal left
        try:
            returned = real[name](*arguments, **options)
        except OSError as error:
            failed.append(error)
            raise
        left -= name == call
        if left == 0 and name == call:
            raise KeyboardInterrupt
        return returned

    (tmp_path / "a/b").mkdir(parents=True)
    for name in real:
        monkeypatch.setattr(os, name, lambda *arguments, name=name, **options: interrupted(name, *arguments, **options))
    try:
        Folder(tmp_path).write("a/b/c", b"whole")
    except KeyboardInterrupt:
        assert left <= 0
    assert not failed
    monkeypatch.undo()
    assert not (tmp_path / "a/b/c").exists() or (tmp_path / "a/b/c").read_bytes() == b"whole"
