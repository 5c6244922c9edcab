"""Finders, depth networks and ViTMatte at their published sizes, with random weights, one after the other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from support.own_process import remove_large_files, run_script

pytestmark = pytest.mark.full_size


def _one(kind: str, folder: Path) -> dict[str, object]:
    assert shutil.disk_usage(folder).free > 5 * 2**30, "needs 5 GB of disk"
    try:
        run_script("finding.py", "write", kind, folder=folder)
        output = run_script("finding.py", "use", kind, folder=folder)
    finally:
        remove_large_files(folder)
    print(kind, output)
    told: dict[str, object] = json.loads(output)
    assert told["peak_gib"] < 20
    assert "@0123456789abcdef0123456789abcdef01234567+" in str(told["identity"])
    return told


@pytest.mark.parametrize("kind", ["sam3", "grounding_dino", "owlv2", "rt_detr_v2"])
def test_finders(kind: str, tmp_path: Path) -> None:
    told = _one(kind, tmp_path)
    assert told["finite"] and told["mask"] == [300, 512]


@pytest.mark.parametrize("kind", ["depth_anything", "dpt"])
def test_depth_networks(kind: str, tmp_path: Path) -> None:
    assert _one(kind, tmp_path)["nearness"] == [[300, 512], 0, 255]


def test_vitmatte(tmp_path: Path) -> None:
    assert _one("vitmatte", tmp_path)["alpha"] == [[300, 512], True]
