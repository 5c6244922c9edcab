"""`upscale` at the end of a recipe: everything in `results/` is enlarged, and the records stay true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact

from darkroom.provenance.verify import verify
from support.in_process import CliInProcess
from support.runs import journal, pixels

RECIPE = """
dataset: {images: photos}
stages:
  find: {op: grabcut, box: [10, 10, 50, 30]}
  erase: {radius: 3}
  frame: {size: [40, 30]}
  upscale: {scale: 3}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    photo = np.zeros((60, 80, 3), np.uint8) + np.arange(80, dtype=np.uint8)[None, :, None] * 2
    photo[15:25, 15:45] = (200, 30, 30)
    Image.fromarray(photo).save("photos/a.png")
    Path("mine.yaml").write_text(RECIPE)
    torch.manual_seed(3)
    save_file(Compact(num_feat=8, num_conv=1, upscale=2).state_dict(), "net.safetensors")
    return tmp_path


def test_results_are_enlarged_and_the_picture_keeps_the_photos_size(folder: Path, quick_cli: CliInProcess) -> None:
    words = ("recipe=mine.yaml", "results.what=[picture,mask,cutout,background]", "models.upscale=net.safetensors")
    assert quick_cli(*words).returncode == 0
    (run,) = (path.parent for path in Path("outputs").glob("*/journal.jsonl"))
    (line,) = journal(run)
    sizes = {kind: Image.open(run / path).size for kind, path in line["outputs"].items()}
    assert set(sizes.values()) == {(120, 90)} and len(sizes) == 4
    assert Image.open(run / line["result"]).size == (80, 60)
    assert np.array_equal(pixels(run / line["delivered"]), pixels(run / line["steps"][-1]["enlarged"]))
    assert verify(run).problems == []
    assert quick_cli(f"reproduce={run}").returncode == 0
    again = pixels(run / line["delivered"])
    Image.fromarray(255 - again).save(run / line["delivered"])
    assert verify(run).problems


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("stages.invert={op: invert}", "comes after `frame`, which only gates and `upscale` may follow"),
        ("stages.twice={op: upscale}", "comes after `upscale`, which only gates may follow"),
        ("models.upscale=nothing.pth", "models.upscale=nothing.pth: no such file"),
        ("stages.erase.method=lama", "big-lama.safetensors: not in"),
        ("stages.upscale.scale=1", "stages.upscale.scale"),
    ],
)
def test_refusals(folder: Path, quick_cli: CliInProcess, monkeypatch, change: str, reason: str) -> None:
    monkeypatch.setenv("DARKROOM_WEIGHTS", str(folder))
    done = quick_cli("recipe=mine.yaml", f"+{change}" if "op:" in change else change)
    assert done.returncode == 2 and reason in done.stderr and not Path("outputs").exists()


def test_a_picture_that_would_be_too_large_fails_alone(folder: Path, quick_cli: CliInProcess) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 3000, 3), np.uint8)).save("photos/wide.png")
    words = ("~stages.find", "~stages.erase", "~stages.frame", "stages.upscale.scale=8")
    assert quick_cli("recipe=mine.yaml", *words).returncode == 3
    (run,) = (path.parent for path in Path("outputs").glob("*/journal.jsonl"))
    statuses = {line["photo"]: (line["status"], line["error"]) for line in journal(run)}
    assert statuses["a.png"][0] == "done" and statuses["wide.png"][0] == "failed"
    assert statuses["wide.png"][1] == "`scale: 8` makes a picture of 3000 x 30 px too large; at most 6.66"
