"""Locks on folders: alone or shared, between processes, given back by the system; as on POSIX and as on Windows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import portalocker
import pytest

from darkroom.errors import OutputError
from darkroom.system.files import Folder
from darkroom.system.locks import LOCK_FILE, locked
from support.runs import environment

HOLD = """
import os, sys
from pathlib import Path
if "windows" in sys.argv:
    del os.O_DIRECTORY
from darkroom.system.locks import locked
with locked(Path(sys.argv[1]), shared="shared" in sys.argv, busy="busy"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["posix", "windows"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder can be opened and locked itself; or it cannot, and a file in it is."""
    if request.param == "windows":
        monkeypatch.delattr(os, "O_DIRECTORY")
    return request.param


def holder(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *words],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout and process.stdout.readline() == b"held\n"
    return process


@pytest.mark.parametrize(
    ("theirs", "ours", "is_free"),
    [("", False, False), ("", True, False), ("shared", False, False), ("shared", True, True)],
)
def test_one_process_alone_or_several_that_share(
    tmp_path: Path, system: str, theirs: str, ours: bool, is_free: bool
) -> None:
    process = holder(tmp_path, system, theirs)
    try:
        if is_free:
            with locked(tmp_path, shared=ours, busy="busy"):
                pass
        else:
            with pytest.raises(OutputError, match=r"^busy$"), locked(tmp_path, shared=ours, busy="busy"):
                pass
    finally:
        process.kill()
        process.communicate()
    with locked(tmp_path, busy="given back when its process was killed"):
        pass


def test_a_lock_leaves_no_file_that_a_run_or_a_check_sees(tmp_path: Path, system: str) -> None:
    with locked(tmp_path, busy=""):
        pass
    assert list(Folder(tmp_path).files()) == []
    assert [path.name for path in tmp_path.iterdir()] == ([LOCK_FILE] if system == "windows" else [])


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path, system: str) -> None:
    with pytest.raises(OutputError, match=r"gone: cannot be opened: No such file"), locked(tmp_path / "gone", busy=""):
        pass


def test_a_file_system_without_locks_lets_everybody_pass(
    tmp_path: Path, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise portalocker.LockException(OSError(95, "Operation not supported"))

    monkeypatch.setattr(portalocker, "lock", no_locks)
    monkeypatch.setattr(portalocker, "unlock", no_locks)
    with locked(tmp_path, busy="busy"), locked(tmp_path, busy="busy"):
        pass


def test_the_block_sees_its_own_errors(tmp_path: Path, system: str) -> None:
    with pytest.raises(portalocker.LockException, match="of the block"), locked(tmp_path, busy=""):
        raise portalocker.LockException("of the block")
