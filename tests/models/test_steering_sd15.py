"""Stable Diffusion 1.5 steered by a ControlNet and by a reference: the pictures of diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from darkroom.models import InpaintRequest, Memory, ModelNames, Models
from darkroom.models.request import Control
from support.tiny_controls import write_controlnet
from support.tiny_models import HEIGHT, WIDTH, request_of
from support.tiny_references import write_ip_adapter

GREY = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
REFERENCE = np.random.default_rng(5).integers(0, 256, (50, 70, 3), np.uint8)
CONTROL = {"controls": (Control("lines", 0.7, GREY),)}
LIKE = {"references": (REFERENCE,), "reference_weight": 0.6}


@pytest.fixture(scope="module", params=["sd15-inpaint", "sd15"])
def painter(request: pytest.FixtureRequest, tiny_folder: Path) -> Path:
    return tiny_folder / request.param


@pytest.fixture(scope="module")
def steers(painter: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("steers")
    return write_controlnet(folder / "lines", painter, 1), write_ip_adapter(folder, painter, plus=True)


@pytest.fixture(scope="module")
def models(painter: Path, steers: tuple[str, str]) -> Models:
    lines, reference = steers
    return Models(ModelNames(inpaint=str(painter), controls={"lines": lines}, reference=reference), Memory(), "cpu")


def of_diffusers(painter: Path, request: InpaintRequest, lines: str, reference: str) -> np.ndarray:
    kind: Any = diffusers.StableDiffusionInpaintPipeline
    parts: dict[str, Any] = {"safety_checker": None}
    steering: dict[str, Any] = {}
    if request.controls:
        kind = diffusers.StableDiffusionControlNetInpaintPipeline
        parts["controlnet"] = diffusers.ControlNetModel.from_pretrained(lines)
        (control,) = request.controls
        steering["control_image"] = Image.fromarray(control.image).convert("RGB")
        steering["controlnet_conditioning_scale"] = control.weight
    pipe = kind.from_pretrained(painter, **parts)
    if request.references:
        file = Path(reference)
        pipe.load_ip_adapter(str(file.parent), subfolder="", weight_name=file.name, local_files_only=True)
        pipe.set_ip_adapter_scale(request.reference_weight)
        steering["ip_adapter_image"] = [[Image.fromarray(each) for each in request.references]]
    picture = pipe(
        prompt=request.prompt.text,
        image=Image.fromarray(request.image),
        mask_image=Image.fromarray(request.mask.astype(np.uint8) * 255),
        height=HEIGHT,
        width=WIDTH,
        num_inference_steps=request.steps,
        strength=request.strength,
        guidance_scale=request.guidance_scale,
        generator=torch.Generator().manual_seed(request.seed),
        **steering,
    )
    return np.asarray(picture.images[0])


@pytest.mark.parametrize("steering", [CONTROL, LIKE, CONTROL | LIKE], ids=["control", "reference", "both"])
def test_it_is_the_picture_of_diffusers(painter, steers, models, steering: dict[str, Any]) -> None:
    assert models.control_problem("lines") is None and models.reference_problem() is None
    (before,), (picture,), (after,) = (
        models.diffusion.inpaint([request]) for request in (request_of(), request_of(**steering), request_of())
    )
    assert np.array_equal(picture, of_diffusers(painter, request_of(**steering), *steers))
    assert np.array_equal(before, after) and not np.array_equal(before, picture)
