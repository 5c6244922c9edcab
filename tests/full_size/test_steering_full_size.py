"""LoRAs, control models and IP-Adapters at their published sizes, with random weights, one after the other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.own_process import remove_large_files, run_script

pytestmark = pytest.mark.full_size


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where SDXL is, for all of them."""
    folder = tmp_path_factory.mktemp("steering")
    assert shutil.disk_usage(folder).free > 13 * 2**30, "needs 12 GB of disk"
    try:
        run_script("steering.py", "write", "sdxl", folder=folder)
        yield folder
    finally:
        remove_large_files(folder)


@pytest.mark.parametrize("kind", ["loras", "controlnet", "union", "adapter", "reference", "plus"])
def test_it_loads_and_steers(folder: Path, kind: str) -> None:
    before = set((folder / "hub").iterdir())
    try:
        run_script("steering.py", "write", kind, folder=folder)
        output = run_script("steering.py", "use", kind, folder=folder)
    finally:
        for repository in set((folder / "hub").iterdir()) - before:
            shutil.rmtree(repository)
        shutil.rmtree(folder / kind, ignore_errors=True)  # if it was not moved into the cache
    print(kind, output)
    told = json.loads(output)
    assert told["peak_gib"] < 20
    assert told["shape"] == [512, 512, 3] and min(told["deviations"]) > 0
    assert told["alike"]  # the two layouts of a LoRA paint the same picture


def test_sd15_with_a_controlnet(tmp_path: Path) -> None:
    assert shutil.disk_usage(tmp_path).free > 5 * 2**30, "needs 5 GB of disk"
    try:
        run_script("sd15.py", "write", folder=tmp_path)
        output = run_script("sd15.py", "use", folder=tmp_path)
    finally:
        remove_large_files(tmp_path)
    print("sd15", output)
    told = json.loads(output)
    assert told["peak_gib"] < 20
    assert told["shapes"] == [[512, 512, 3]] * 2 and min(told["deviations"]) > 0 and told["differ"]
