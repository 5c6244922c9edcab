"""T2I-Adapters: in the text-to-image pipelines, `steered` paints the pictures of diffusers' adapter pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from darkroom.models import Memory
from darkroom.models.reference_info import find_reference
from darkroom.models.request import Control
from darkroom.models.steered_unet import steered
from darkroom.models.steering import steering_of
from darkroom.models.steering_files import SteeringFiles
from darkroom.models.weights import find_weights
from support.checkpoint_files import write_pipeline
from support.tiny_controls import write_adapter
from support.tiny_models import request_of, sd15, sdxl

HEIGHT, WIDTH = 48, 64  # what these pipelines take
PICTURES = np.random.default_rng(4).integers(0, 256, (2, HEIGHT, WIDTH, 3), np.uint8)
# The published adapters: one feature for each down block, and of SDXL's one more for the middle.
CONFIGS: dict[str, dict[str, Any]] = {
    "sdxl": {"channels": [16, 32, 32], "adapter_type": "full_adapter_xl", "downscale_factor": 16},
    "sd15": {"channels": [16, 32], "adapter_type": "full_adapter", "downscale_factor": 8},
}
PIPELINES = {
    "sdxl": (diffusers.StableDiffusionXLPipeline, diffusers.StableDiffusionXLAdapterPipeline),
    "sd15": (diffusers.StableDiffusionPipeline, diffusers.StableDiffusionAdapterPipeline),
}


@pytest.fixture(scope="module")
def painters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny checkpoints with the blocks in the published order: that of SD 1.5 is the reverse of that of SDXL."""
    folder = tmp_path_factory.mktemp("painters")
    blocks = {
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    }
    older = sd15(4)
    settings = {"sdxl": sdxl(4), "sd15": {**older, "unet": {**older["unet"], **blocks}}}
    return {
        kind: write_pipeline(folder / kind, pipelines[0].__name__, settings[kind])
        for kind, pipelines in PIPELINES.items()
    }


def loaded(pipeline: Any, checkpoint: Path, **parts: Any) -> Any:
    options = {"add_watermarker": False} if "sdxl" in checkpoint.name else {"safety_checker": None}
    return pipeline.from_pretrained(checkpoint, **options, **parts)


def painted(pipe: Any, guidance: float, **others: Any) -> np.ndarray:
    """The latents, as the pipelines decode them with other last bits."""
    generator = torch.Generator().manual_seed(7)
    sizes = {"height": HEIGHT, "width": WIDTH, "num_inference_steps": 4}
    result = pipe("a red car", guidance_scale=guidance, generator=generator, output_type="latent", **sizes, **others)
    return np.asarray(result.images)


@pytest.mark.parametrize("guidance", [5.0, 1.0])
@pytest.mark.parametrize("kind", CONFIGS)
def test_they_are_the_pictures_of_diffusers(
    painters: dict[str, Path], tmp_path: Path, kind: str, guidance: float
) -> None:
    plain, with_adapter = PIPELINES[kind]
    folders = [write_adapter(tmp_path / str(seed), seed, **CONFIGS[kind]) for seed in (1, 2)]
    pipe = loaded(plain, painters[kind])
    files = SteeringFiles(lambda name: find_weights("controls", folders[int(name)]), lambda: find_reference(""))
    steering = steering_of(pipe.unet, files, Memory(dtype="fp32"), "cpu")
    bare = painted(pipe, guidance)
    adapters = [diffusers.T2IAdapter.from_pretrained(folder) for folder in folders]
    images = [Image.fromarray(picture) for picture in PICTURES]
    for number in (1, 2):
        controls = [Control(str(index), 0.7 - index / 10, PICTURES[index]) for index in range(number)]
        with steered(pipe, [request_of(controls=tuple(controls))], steering):
            ours = painted(pipe, guidance)
        weights = [control.weight for control in controls]
        adapter = adapters[0] if number == 1 else diffusers.MultiAdapter(adapters)
        theirs = painted(
            loaded(with_adapter, painters[kind], adapter=adapter),
            guidance,
            image=images[0] if number == 1 else images,
            adapter_conditioning_scale=weights[0] if number == 1 else weights,
        )
        assert np.array_equal(ours, theirs)
        assert np.abs(ours - bare).max() > 0.01
    assert np.array_equal(painted(pipe, guidance), bare)


def test_they_stop_when_those_of_diffusers_stop(painters: dict[str, Path], tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "adapter", 1, **CONFIGS["sdxl"])
    pipe = loaded(diffusers.StableDiffusionXLPipeline, painters["sdxl"])
    files = SteeringFiles(lambda _: find_weights("controls", folder), lambda: find_reference(""))
    steering = steering_of(pipe.unet, files, Memory(dtype="fp32"), "cpu")
    adapter = diffusers.T2IAdapter.from_pretrained(folder)
    other = loaded(diffusers.StableDiffusionXLAdapterPipeline, painters["sdxl"], adapter=adapter)
    picture, seen = Image.fromarray(PICTURES[0]), set()
    for end in (0.3, 0.5, 0.74, 1.0):
        with steered(pipe, [request_of(controls=(Control("a", 1.0, PICTURES[0]),), control_end=end)], steering):
            ours = painted(pipe, 5.0)
        assert np.array_equal(ours, painted(other, 5.0, image=picture, adapter_conditioning_factor=end))
        seen.add(ours.tobytes())
    assert len(seen) == 3  # one, two, two and four steps
