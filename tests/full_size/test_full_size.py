"""The published architectures at full size, with random weights, through the code that a user's download meets.

make test-full-size     (16 GB of disk, 20 GiB of memory, some half an hour on two cores)
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from support.own_process import remove_large_files, run_script


@pytest.mark.full_size
def test_the_real_architectures_load_and_paint(tmp_path: Path) -> None:
    assert shutil.disk_usage(tmp_path).free > 9 * 2**30, "needs 9 GB of disk"
    try:
        run_script("real.py", str(tmp_path), folder=tmp_path)
        output = run_script("use.py", str(tmp_path), folder=tmp_path)
    finally:
        remove_large_files(tmp_path)
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
