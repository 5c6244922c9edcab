"""Upscalers and LaMa: tiles show no seam, files of another kind are refused in one line."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact

from darkroom.errors import PhotoError, SetupError
from darkroom.imaging.edit import Edit
from darkroom.models import image_networks
from darkroom.models.image_networks import load_lama, load_upscaler
from darkroom.stages.erase import Erase
from darkroom.stages.upscale import Upscale
from support.fake_models import stage_models


def compact(path: Path, scale: int = 2) -> Path:
    """A tiny network in the layout of Real-ESRGAN's compact models; it adds noise to the enlarged picture."""
    torch.manual_seed(1)
    network = Compact(num_feat=8, num_conv=2, upscale=scale)
    save_file(network.state_dict(), path)
    return path


def photo(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows % 256, columns % 256, (rows + columns) // 2 % 256], axis=-1).astype(np.uint8)


def test_tiles_show_no_seam(tmp_path, monkeypatch):
    image, upscaler = photo(90, 130), load_upscaler(compact(tmp_path / "net.safetensors"), "cpu")
    size = (260, 180)
    whole = upscaler.enlarge(image, size)
    assert whole.shape == (180, 260, 3)
    monkeypatch.setattr(image_networks, "_TILE", 40)
    np.testing.assert_allclose(upscaler.enlarge(image, size).astype(int), whole, atol=1)
    odd = upscaler.enlarge(image, (195, 135))  # 1.5 times: less than the network's own scale
    reduced = np.asarray(Image.fromarray(whole).resize((195, 135), Image.Resampling.LANCZOS))
    np.testing.assert_allclose(odd.astype(int), reduced, atol=1)


def test_the_delivered_picture_is_enlarged_and_the_edit_is_not(tmp_path):
    image = photo(40, 60)
    alpha = np.full((40, 60), 200, np.uint8)
    models = stage_models()
    models.upscale = load_upscaler(compact(tmp_path / "net.safetensors"), "cpu")
    after = Upscale(scale=3).apply(Edit(image, image, alpha=alpha), models)
    assert after.image is image and after.enlarged.shape == (120, 180, 4)
    assert (after.enlarged[..., 3] == 200).all()
    lanczos = np.asarray(Image.fromarray(image).resize((180, 120), Image.Resampling.LANCZOS))
    plain = Upscale(scale=3).apply(Edit(image, image), stage_models())
    np.testing.assert_array_equal(plain.enlarged, lanczos)
    assert np.abs(after.enlarged[..., :3].astype(int) - lanczos).max() > 8  # the network has had a say


def test_what_is_too_large_is_told_in_terms_of_the_photo():
    wide = np.zeros((10, 3000, 3), np.uint8)
    with pytest.raises(PhotoError, match=r"`scale: 8` makes a picture of 3000 x 10 px too large; at most 6\.66"):
        Upscale(scale=8).apply(Edit(wide, wide), stage_models())
    assert Upscale(scale=6.66).apply(Edit(wide, wide), stage_models()).enlarged.shape[1] == 19_980


def test_other_files_are_refused(tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\xff" * 100)
    other = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2, 2)}, other)
    evil = tmp_path / "evil.pth"
    evil.write_bytes(pickle.dumps(Path))
    network = compact(tmp_path / "net.safetensors")
    for path, load, reason in (
        (broken, load_upscaler, "cannot be read"),
        (other, load_upscaler, "cannot be read"),
        (evil, load_upscaler, "cannot be read"),
        (network, load_lama, "no network that fills holes"),
    ):
        with pytest.raises(SetupError, match=reason) as error:
            load(path, "cpu")
        assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


class _Grey:
    """In place of LaMa: fills with grey, and remembers what it saw."""

    def fill(self, image, hole):
        self.shape, self.share = image.shape, hole.mean()
        return np.full_like(image, 128)


@pytest.mark.parametrize(("height", "seen"), [(300, 164), (3000, 1024)])
def test_lama_fills_the_hole_alone(height, seen):
    image, mask = photo(height, height), np.zeros((height, height), np.uint8)
    side = height * 3 // 4 if height > 1000 else 36
    mask[100 : 100 + side, 100 : 100 + side] = 255
    models, lama = stage_models(), _Grey()
    models.lama = lama
    after = Erase(method="lama").apply(Edit(image, image, mask=mask), models)
    assert (after.image[mask > 0] == 128).all() and after.outside_max_diff() == 0
    assert max(lama.shape) == seen
