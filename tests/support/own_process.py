"""Runs the scripts of tests/full_size: each in a process of its own, so that its peak memory is its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def run_script(name: str, *arguments: str, folder: Path) -> str:
    """Run a script of tests/full_size.

    Args:
        name: of its file.
        arguments: that it gets.
        folder: where it works; the Hugging Face cache is its folder `hub`.

    Returns:
        what it prints.
    """
    paths = os.pathsep.join(map(str, [TESTS.parent / "pipeline", TESTS]))
    environment = {**os.environ, "PYTHONPATH": paths, "HF_HUB_CACHE": str(folder / "hub")}
    command = [sys.executable, str(TESTS / "full_size" / name), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def remove_large_files(folder: Path) -> None:
    """Remove weights and keep what helps to understand a failure."""
    for file in folder.rglob("*"):
        if file.is_file() and file.stat().st_size > 2**20:
            file.unlink()
