"""Few steps: exactly as many run as were asked for, and without guidance the UNet is called once for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from darkroom.imaging.compositing import WorkingCrop
from darkroom.models.diffusion import Diffusion
from darkroom.models.prompts import Prompt
from darkroom.models.request import InpaintRequest
from darkroom.stages.inpaint import Inpaint
from support.pipelines import pipeline_of
from support.tiny_models import request_of

DISTILLED = ("lcm", "tcd", "euler_trailing", "ddim_trailing")
LAST = 999  # the timestep of noise alone


@contextmanager
def watched(unet: torch.nn.Module) -> Iterator[list[tuple[int, float]]]:
    """The batch size and the timestep of every call of a UNet."""
    calls: list[tuple[int, float]] = []
    hook = unet.register_forward_pre_hook(lambda _unet, given: calls.append((len(given[0]), float(given[1]))))
    try:
        yield calls
    finally:
        hook.remove()


@pytest.mark.parametrize("kind", ["sdxl-inpaint", "sdxl", "sd15-inpaint"])
def test_the_asked_number_of_steps_runs_without_guidance_in_one_call_each(tiny_folder: Path, kind: str) -> None:
    pipe = pipeline_of(tiny_folder / kind)
    diffusion = Diffusion(pipe)
    made = set()
    for scheduler in (*DISTILLED, "euler"):
        for steps in (4, 8):
            with watched(pipe.unet) as calls:
                (picture,) = diffusion.inpaint([request_of(steps=steps, guidance_scale=1.0, scheduler=scheduler)])
            assert [size for size, _ in calls] == [1] * steps, scheduler
            timesteps = [at for _, at in calls]
            assert timesteps == sorted(timesteps, reverse=True)
            assert (timesteps[0] == LAST) == (scheduler in DISTILLED), scheduler
            made |= {picture.tobytes()} if scheduler != "euler_trailing" else set()  # nearly DDIM, step for step
    assert len(made) == 2 * 4  # every other sampler and number of steps shows


def test_below_strength_1_a_part_of_the_steps_runs(tiny_folder: Path) -> None:
    pipe = pipeline_of(tiny_folder / "sdxl-inpaint")
    diffusion = Diffusion(pipe)
    for scheduler in DISTILLED:
        for steps, strength, ran in ((4, 0.99, 3), (8, 0.99, 7), (8, 0.5, 4), (5, 0.5, 2)):
            with watched(pipe.unet) as calls:
                diffusion.inpaint([request_of(steps=steps, strength=strength, scheduler=scheduler)])
            assert len(calls) == ran == int(steps * strength), scheduler
            assert {size for size, _ in calls} == {2}  # guidance asks with the prompt and with the negative one


def test_lightnings_timesteps_are_those_it_was_trained_for(tiny_folder: Path) -> None:
    """Lin et al., SDXL-Lightning, 2024 (arXiv 2402.13929): 4 steps are at 999, 749, 499 and 249."""
    pipe = pipeline_of(tiny_folder / "sdxl-inpaint")
    for scheduler in ("euler_trailing", "ddim_trailing"):
        with watched(pipe.unet) as calls:
            Diffusion(pipe).inpaint([request_of(steps=4, guidance_scale=1.0, scheduler=scheduler)])
        assert [at for _, at in calls] == [999, 749, 499, 249]


def test_tcd_adds_noise_in_every_step_and_ddim_does_not(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TCD with eta 0 is a deterministic walk, another picture; DDIM would change with any other eta than 0."""
    diffusion = Diffusion(pipeline_of(tiny_folder / "sdxl-inpaint"))
    requests = [request_of(steps=4, guidance_scale=1.0, scheduler=name) for name in ("tcd", "ddim_trailing")]
    tcd, ddim = diffusion.inpaint(requests)
    monkeypatch.setattr("darkroom.models.repaint.eta_of", lambda _name: 0.0)
    plain_tcd, plain_ddim = diffusion.inpaint(requests)
    assert not np.array_equal(tcd, plain_tcd) and np.array_equal(ddim, plain_ddim)


def request_for(stage: Inpaint) -> InpaintRequest:
    size = 16
    blank, everywhere = np.zeros((size, size, 3), np.uint8), np.ones((size, size), np.float32)
    return stage.request(WorkingCrop(blank, everywhere > 0, everywhere), 0)


def test_without_guidance_a_negative_prompt_is_not_even_read() -> None:
    given = {"prompt": "a car", "negative_prompt": "rain", "negative_prompt_2": "snow"}
    assert request_for(Inpaint(**given, guidance_scale=1)).prompt == Prompt("a car")
    assert request_for(Inpaint(**given, guidance_scale=1.1)).prompt == Prompt("a car", "rain", None, "snow")


@pytest.mark.parametrize("scheduler", ["lcm", "tcd"])
def test_more_steps_than_the_distillation_knows_are_refused_in_a_recipe(scheduler: str) -> None:
    assert Inpaint(prompt="a car", steps=[4, 50], scheduler=scheduler)
    with pytest.raises(ValidationError, match=f"steps 51: the scheduler {scheduler} runs 50 steps at most"):
        Inpaint(prompt="a car", steps=[4, 51], scheduler=scheduler)
