"""The published architectures at full size, with random weights, through the code that a user's download meets.

make test-full-size     (8 GB of disk, 20 GB of memory, some ten minutes on two cores)
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def _run(script: str, folder: Path) -> str:
    """A process of its own, so that its peak memory is its own."""
    paths = os.pathsep.join(map(str, [ROOT / "pipeline", HERE.parent]))
    environment = {**os.environ, "PYTHONPATH": paths, "HF_HUB_CACHE": str(folder / "hub")}
    command = [sys.executable, str(HERE / script), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.full_size
def test_the_real_architectures_load_and_paint(tmp_path: Path) -> None:
    assert shutil.disk_usage(tmp_path).free > 9 * 2**30, "needs 9 GB of disk"
    try:
        _run("real.py", tmp_path)
        output = _run("use.py", tmp_path)
    finally:
        for file in tmp_path.rglob("*"):
            if file.is_file() and file.stat().st_size > 2**20:
                file.unlink()
    print(output)
    told = json.loads(output)
    assert told["peak_gib"] < 20
    assert told["native"] == 1024
    assert told["masks"] == [[3, 300, 512], "bool", True]
    shape, finite, low, high = told["heat"]
    assert shape == [2, 300, 512] and finite and 0 <= low <= high <= 1
    shape, kind, deviation = told["picture"]
    assert shape == [512, 512, 3] and kind == "uint8" and deviation > 0
    identity, _, _ = told["models"]["weights"]["inpaint"]["weights"].partition("+")
    assert identity.endswith("@0123456789abcdef0123456789abcdef01234567")
