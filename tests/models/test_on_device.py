"""What a GPU would wait for, and what it would compute twice; pictures keep the bits of plain diffusers."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from darkroom.models import InpaintRequest, repaint
from darkroom.models.names import SCHEDULERS
from darkroom.models.prompts import Prompt
from darkroom.models.schedulers import build_scheduler
from support.pipelines import diffusers_picture
from support.tiny_models import models_of, request_of

WAITS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal.default")


class Spy(TorchDispatchMode):
    """Collects the Python files, without torch's, whose call of an operation needs the value of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.between_steps = False
        self.files: set[str] = set()

    def __torch_dispatch__(self, op: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.between_steps and any(each in str(op) for each in WAITS):
            stack = [each.filename for each in traceback.extract_stack()]
            self.files.add(next(file for file in reversed(stack) if "/torch/" not in file and file != __file__))
        return op(*args, **(kwargs or {}))


@contextmanager
def spied(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spy]:
    with Spy() as spy:

        def piece_done(step: int, steps: int) -> None:
            spy.between_steps = step < steps

        monkeypatch.setattr(repaint, "piece_done", piece_done)
        yield spy


def soft(request: InpaintRequest) -> InpaintRequest:
    return replace(request, change_map=np.where(request.mask, 0.5, 0).astype(np.float32))


@pytest.mark.parametrize("kind", ["sdxl-inpaint", "sdxl"])
def test_nothing_of_ours_asks_for_a_tensors_value_between_steps(
    tiny_folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    diffusion = models_of(tiny_folder / kind).diffusion
    with spied(monkeypatch) as spy:
        for scheduler in SCHEDULERS:
            request = request_of(steps=4, scheduler=scheduler)
            diffusion.inpaint([request, soft(request)])
    assert spy.files, "the spy must see something: DDIM compares timesteps, as tensors on the CPU"
    assert {Path(file).parent.name for file in spy.files} == {"schedulers"}


@pytest.mark.parametrize("strength", [1.0, 0.7])
def test_schedulers_get_their_timesteps_from_the_cpu(
    checkpoint: Path, strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the right ones: those that the UNet gets."""
    diffusion = models_of(checkpoint).diffusion
    seen: list[tuple[float, float]] = []

    def watched(name: str, base: Any) -> Any:
        scheduler = build_scheduler(name, base)
        step, scale = scheduler.step, scheduler.scale_model_input
        asked: list[torch.Tensor] = []

        def scale_model_input(sample: torch.Tensor, timestep: torch.Tensor) -> Any:
            asked.append(timestep)
            return scale(sample, timestep)

        def stepped(model_output: torch.Tensor, timestep: torch.Tensor, *args: Any, **options: Any) -> Any:
            assert timestep is not asked[-1], "a copy, where the other may be on a GPU"
            seen.append((float(timestep), float(asked[-1])))
            return step(model_output, timestep, *args, **options)

        scheduler.scale_model_input, scheduler.step = scale_model_input, stepped
        return scheduler

    monkeypatch.setattr("darkroom.models.diffusion.build_scheduler", watched)
    names = ("default", "ddim", "lcm", "tcd")
    diffusion.inpaint([request_of(steps=4, strength=strength, scheduler=name) for name in names])
    assert len(seen) >= 6 and all(given == asked for given, asked in seen)


@pytest.mark.parametrize("strength", [1.0, 0.7])
@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
@pytest.mark.parametrize("kind", ["sd15-inpaint", "sdxl-inpaint", "sdxl"])
def test_in_half_precision_it_is_the_picture_of_plain_diffusers(
    tiny_folder: Path, kind: str, dtype: str, strength: float
) -> None:
    """Twice, as diffusers casts the VAE of SDXL to fp32 and back for each picture, and here it stays."""
    diffusion = models_of(tiny_folder / kind, dtype=dtype).diffusion
    for seed in (1, 2):
        request = request_of(seed, strength=strength, prompt=Prompt("a red car", "a dog"))
        (picture,) = diffusion.inpaint([request])
        half = {"fp16": torch.float16, "bf16": torch.bfloat16}[dtype]
        assert np.array_equal(picture, diffusers_picture(tiny_folder / kind, request, dtype=half))


@pytest.mark.parametrize(("kind", "vae"), [("sdxl-inpaint", torch.float32), ("sd15-inpaint", torch.float16)])
def test_a_vae_that_needs_fp32_stays_in_it(tiny_folder: Path, kind: str, vae: torch.dtype) -> None:
    models = models_of(tiny_folder / kind, dtype="fp16")
    network = models.diffusion._pipe.vae
    casts: list[object] = []
    network.to = lambda *args, **options: casts.append((args, options))
    models.diffusion.inpaint([request_of(1)])
    assert network.dtype == vae and not casts
    assert models.describe(["inpaint"])["weights"]["inpaint"]["dtype"] == "fp16"


@pytest.mark.parametrize("strength", [1.0, 0.7])
def test_a_picture_is_encoded_once_for_all_its_seeds_and_prompts(checkpoint: Path, strength: float) -> None:
    """With the bits of plain diffusers, which samples the encoding of each picture anew."""
    diffusion = models_of(checkpoint).diffusion
    encoder = diffusion._pipe.vae.encoder
    calls: list[None] = []
    encoder.register_forward_hook(lambda *_: calls.append(None))
    requests = [request_of(seed, strength=strength, prompt=Prompt(text)) for seed in (1, 2) for text in ("a car", "b")]
    pictures = diffusion.inpaint(requests)
    once = len(calls)
    assert once <= 2, "the picture, and the picture with a hole"
    for request, picture in zip(requests, pictures, strict=True):
        assert np.array_equal(picture, diffusers_picture(checkpoint, request))
    diffusion.inpaint([replace(requests[0], image=255 - requests[0].image)])
    assert len(calls) == 2 * once, "another picture is another encoding"
