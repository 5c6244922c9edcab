"""Depth networks: the picture of transformers' own pipeline, with the nearest point white whatever the network says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from darkroom.errors import PhotoError, SetupError
from darkroom.models import Memory, ModelNames, Models
from support.tiny_depth import write_depth_anything, write_dpt

PHOTO = np.random.default_rng(0).integers(0, 256, (60, 91, 3), np.uint8)


def models_with(folder: str | Path) -> Models:
    return Models(ModelNames(depth=str(folder)), Memory(), "cpu")


@pytest.mark.parametrize("write", [write_depth_anything, write_dpt], ids=["Depth Anything", "DPT"])
def test_it_is_the_depth_of_transformers(write: Callable[[Path], str], tmp_path: Path) -> None:
    folder = write(tmp_path / "depth")
    models = models_with(folder)
    models.require(["depth"])
    nearness = models.depth.map(PHOTO)
    assert nearness.shape == PHOTO.shape[:2] and nearness.dtype == np.uint8
    assert nearness.min() == 0 and nearness.max() == 255
    expected = transformers.pipeline("depth-estimation", folder)(Image.fromarray(PHOTO))["depth"]
    assert np.abs(np.asarray(expected).astype(int) - nearness).max() <= 1  # that one rounds down
    assert np.array_equal(models.depth.map(PHOTO), nearness)
    assert models.loaded() == ["depth"] and models.identity("depth")["weights"].startswith("sha256:")


def test_metres_are_turned_round(tmp_path: Path) -> None:
    """A network that measures distances: what it says is farthest is black."""
    folder = write_depth_anything(tmp_path / "metres", depth_estimation_type="metric", max_depth=20)
    metres = transformers.pipeline("depth-estimation", folder)(Image.fromarray(PHOTO))["predicted_depth"].numpy()
    nearness = models_with(folder).depth.map(PHOTO)
    assert nearness.flat[metres.argmin()] == 255 and nearness.flat[metres.argmax()] == 0
    order = np.argsort(metres, axis=None)
    assert (np.diff(nearness.flat[order].astype(int)) <= 0).all()


def test_a_photo_without_depth_is_black_and_not_a_number_costs_the_photo(tmp_path: Path) -> None:
    folder = Path(write_depth_anything(tmp_path / "depth"))
    models = models_with(folder)
    last = models.depth._network.head.conv3  # gives the depth
    torch.nn.init.zeros_(last.weight)
    assert models.depth.map(PHOTO).max() == 0
    torch.nn.init.constant_(last.bias, float("nan"))
    with pytest.raises(PhotoError, match="returned NaN"):
        models.depth.map(PHOTO)


def test_what_is_no_depth_network_is_told_in_one_line(tmp_path: Path) -> None:
    folder = Path(write_depth_anything(tmp_path / "depth"))
    tensors = load_file(folder / "model.safetensors")
    save_file({name: tensor for name, tensor in tensors.items() if "conv3" not in name}, folder / "model.safetensors")
    for place, line in ((folder, "lacks tensors: head.conv3.bias"), (tmp_path, "weights of a depth network")):
        with pytest.raises(SetupError, match=line):
            assert models_with(place).depth
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "backbone": "owner/repository"}))
    with pytest.raises(SetupError, match="only names its backbone"):  # transformers would ask the Hub for it
        assert models_with(folder).depth
    with pytest.raises(SetupError, match="hf download depth-anything/Depth-Anything-V2-Small-hf"):
        models_with("auto").require(["depth"])
