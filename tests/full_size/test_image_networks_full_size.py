"""LaMa and an upscaler at their published sizes, with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.LaMa import LaMa

from darkroom.imaging.edit import Edit
from darkroom.models import Memory, ModelNames, Models
from darkroom.stages.erase import Erase
from darkroom.stages.upscale import Upscale

pytestmark = pytest.mark.full_size


def test_lama_and_real_esrgan(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = LaMa(in_nc=4, out_nc=3).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "lama.safetensors")
    torch.save(ESRGAN(num_filters=64, num_blocks=23, scale=4).state_dict(), tmp_path / "esrgan.pth")
    names = ModelNames(upscale=str(tmp_path / "esrgan.pth"), lama=str(tmp_path / "lama.safetensors"))
    models = Models(names, Memory(), "cpu")
    photo = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    mask = np.zeros((96, 128), np.uint8)
    mask[30:60, 40:80] = 255
    erased = Erase(method="lama").apply(Edit(photo, photo, mask=mask), models)
    assert erased.outside_max_diff() == 0 and not np.array_equal(erased.image, photo)
    assert Upscale(scale=4).apply(erased, models).enlarged.shape == (384, 512, 3)
