"""FLUX.2 Klein 4B at its published size, with random weights; the other painters do not fit into 20 GiB."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from support.own_process import remove_large_files, run_script

pytestmark = pytest.mark.full_size


def test_it_loads_and_paints(tmp_path: Path) -> None:
    assert shutil.disk_usage(tmp_path).free > 16 * 2**30, "needs 15 GB of disk"
    try:
        run_script("painters.py", "write", folder=tmp_path)
        output = run_script("painters.py", "use", folder=tmp_path)
    finally:
        remove_large_files(tmp_path)
    print(output)
    told = json.loads(output)
    assert told["peak_gib"] < 20
    assert told["shape"] == [512, 512, 3] and told["deviation"] > 0
