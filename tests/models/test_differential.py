"""A change map that the model heeds orders how much changes; a hard one changes nothing about a repaint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from darkroom.models import InpaintRequest, Models
from darkroom.models.checkpoint import load_pipeline
from darkroom.models.differential_diffusion import DifferentialDiffusion
from darkroom.models.diffusion import Diffusion
from darkroom.models.miniature.upscaled_diffusion import UpscaledDiffusion
from darkroom.models.names import SCHEDULERS
from darkroom.models.prompts import Prompt
from darkroom.models.weights import find_weights
from miniature.evaluate import held_out
from support.tiny_models import HEIGHT, WIDTH, models_of, request_of


def with_change_map(request: InpaintRequest, change_map: np.ndarray) -> InpaintRequest:
    return replace(request, mask=change_map > 0, change_map=change_map.astype(np.float32))


@pytest.mark.parametrize("strength", [1.0, 0.7])
def test_a_mask_of_black_and_white_gives_the_same_bits_as_without(checkpoint: Path, strength: float) -> None:
    diffusion = models_of(checkpoint).diffusion
    for scheduler in SCHEDULERS:
        request = request_of(strength=strength, scheduler=scheduler)
        plain, soft = diffusion.inpaint([request, with_change_map(request, request.mask)])
        assert np.array_equal(plain, soft), scheduler


def test_each_grey_is_held_for_its_share_of_the_steps_and_no_longer(tiny_folder: Path) -> None:
    """Of four steps: what is black is left alone, a quarter white is free for the last of them, and so on."""
    pipe = load_pipeline(find_weights("inpaint", str(tiny_folder / "sdxl")), torch.float32)
    pipe.scheduler.set_timesteps(4)
    pipe._num_timesteps = 4  # as while it paints
    change_map = np.repeat([0, 0.25, 0.5, 0.75, 1], 8)[None].repeat(16, axis=0)  # 8 px to a cell
    hold = DifferentialDiffusion(pipe, [with_change_map(request_of(image=np.zeros((16, 40, 3), np.uint8)), change_map)])
    held = [(hold(step, torch.zeros(1, 4, 2, 5)) != 0).all(dim=1)[0, 0].tolist() for step in range(4)]
    assert held == [
        [False, True, True, False, False],
        [False, True, False, False, False],
        [False, False, False, False, False],
        [False, False, False, False, False],
    ]


@pytest.mark.parametrize("batch_size", [1, 2])
def test_change_maps_do_not_mix_up_a_batch(tiny_folder: Path, batch_size: int) -> None:
    diffusion = Diffusion(load_pipeline(find_weights("inpaint", str(tiny_folder / "sdxl")), torch.float32), batch_size)
    rng = np.random.default_rng(0)
    requests = [with_change_map(request_of(seed), rng.random((HEIGHT, WIDTH))) for seed in range(3)]
    alone = [diffusion.inpaint([request])[0] for request in requests]
    assert all(np.array_equal(*pair) for pair in zip(diffusion.inpaint(requests), alone, strict=True))


def test_the_lighter_the_mask_the_more_a_place_changes(models: Models) -> None:
    """Stripes over a scene that is to become another place; what the autoencoder does shows in the black one."""
    (scene,) = held_out(1, 4000)
    change_map = np.repeat(np.linspace(0, 1, 5), scene.image.shape[1] // 5 + 1)[: scene.image.shape[1]]
    change_map = np.repeat(change_map[None], scene.image.shape[0], axis=0)
    prompt = Prompt("red desert of Mars, dusty sky")
    request = InpaintRequest(scene.image, change_map > 0, prompt, 3, 10, 3.0, 1.0, "default")
    (painted,) = models.diffusion.inpaint([with_change_map(request, change_map)])
    change = np.abs(painted.astype(int) - scene.image).mean(axis=2)
    means = [change[change_map == share].mean() for share in np.unique(change_map)]
    assert means == sorted(means) and means[-1] > 5 * means[0]


def test_change_map_is_reduced_with_the_picture() -> None:
    """To where the model sees small pictures only."""
    asked = []

    class Small:
        native, multiple, batch_size = 64, 8, 1

        def inpaint(self, requests: list[InpaintRequest]) -> list[np.ndarray]:
            asked.extend(requests)
            return [request.image for request in requests]

    change_map = np.asarray(Image.linear_gradient("L").resize((512, 512)), np.float32) / 255
    request = request_of(image=np.zeros((512, 512, 3), np.uint8))
    UpscaledDiffusion(Small()).inpaint([with_change_map(request, change_map)])
    (small,) = asked
    assert small.change_map.shape == small.mask.shape == (64, 64)
    np.testing.assert_allclose(small.change_map, change_map.reshape(64, 8, 64, 8).mean(axis=(1, 3)), atol=1e-5)
    np.testing.assert_array_equal(small.mask, small.change_map > 0)
