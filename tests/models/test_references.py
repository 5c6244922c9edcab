"""Reference pictures by an IP-Adapter: the pictures of diffusers, and no trace of them in pictures without."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from darkroom.errors import SetupError
from darkroom.models import InpaintRequest, Memory, ModelNames, Models
from darkroom.models.request import Control
from support.tiny_controls import write_controlnet
from support.tiny_models import HEIGHT, WIDTH, request_of, write_tiny
from support.tiny_references import write_ip_adapter

ONE = np.random.default_rng(5).integers(0, 256, (50, 70, 3), np.uint8)
TWO = np.random.default_rng(6).integers(0, 256, (90, 40, 3), np.uint8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("painter") / "sdxl-inpaint", "sdxl-inpaint")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> str:
    return write_ip_adapter(tmp_path_factory.mktemp("adapter"), checkpoint)


@pytest.fixture(scope="module")
def models(checkpoint: Path, adapter: str, tmp_path_factory: pytest.TempPathFactory) -> Models:
    control = write_controlnet(tmp_path_factory.mktemp("control"), checkpoint, 1)
    names = ModelNames(inpaint=str(checkpoint), reference=adapter, controls={"canny": control})
    return Models(names, Memory(), "cpu")


def asking(*references: np.ndarray, weight: float = 0.6, **changes: object) -> InpaintRequest:
    return request_of(references=references, reference_weight=weight, **changes)


def of_diffusers(checkpoint: Path, adapter: str, request: InpaintRequest) -> np.ndarray:
    pipe = diffusers.StableDiffusionXLInpaintPipeline.from_pretrained(checkpoint, add_watermarker=False)
    folder, name = Path(adapter).parent, Path(adapter).name
    pipe.load_ip_adapter(str(folder), subfolder="", weight_name=name, local_files_only=True)
    pipe.set_ip_adapter_scale(request.reference_weight)
    picture = pipe(
        prompt=request.prompt.text,
        image=Image.fromarray(request.image),
        mask_image=Image.fromarray(request.mask.astype(np.uint8) * 255),
        ip_adapter_image=[[Image.fromarray(each) for each in request.references]],
        height=request.image.shape[0],
        width=request.image.shape[1],
        num_inference_steps=request.steps,
        strength=request.strength,
        guidance_scale=request.guidance_scale,
        generator=torch.Generator().manual_seed(request.seed),
    )
    return np.asarray(picture.images[0])


@pytest.mark.parametrize("references, guidance", [((ONE,), 5.0), ((ONE, TWO), 5.0), ((TWO,), 1.0)])
def test_it_is_the_picture_of_diffusers(checkpoint, adapter, models, references, guidance: float) -> None:
    request = asking(*references, guidance_scale=guidance)
    (picture,) = models.diffusion.inpaint([request])
    difference = np.abs(picture.astype(int) - of_diffusers(checkpoint, adapter, request)).max()
    assert difference <= len(references) - 1  # several are encoded one by one here, so that company changes nothing
    assert not np.array_equal(picture, models.diffusion.inpaint([request_of(guidance_scale=guidance)])[0])


def test_the_variant_that_sees_patches(checkpoint: Path, tmp_path: Path) -> None:
    adapter = write_ip_adapter(tmp_path, checkpoint, plus=True)
    models = Models(ModelNames(inpaint=str(checkpoint), reference=adapter), Memory(), "cpu")
    assert models.reference_problem() is None
    (before,), (picture,), (after,) = map(models.diffusion.inpaint, ([request_of()], [asking(ONE)], [request_of()]))
    assert np.array_equal(picture, of_diffusers(checkpoint, adapter, asking(ONE)))
    assert np.array_equal(before, after)


def test_pictures_without_reference_are_the_same_before_between_and_after(models: Models) -> None:
    control = (Control("canny", 0.5, np.full((HEIGHT, WIDTH), 255, np.uint8)),)
    plain, steered = request_of(), request_of(controls=control)
    before = models.diffusion.inpaint([plain, steered])
    mixed = models.diffusion.inpaint(
        [asking(ONE), plain, asking(ONE, weight=1.0), steered, asking(TWO, controls=control), asking(ONE, weight=0)]
    )
    assert np.array_equal(mixed[1], before[0]) and np.array_equal(mixed[3], before[1])
    assert np.array_equal(mixed[5], before[0])  # a weight of 0
    assert len({picture.tobytes() for picture in mixed}) == 5
    alone = [models.diffusion.inpaint([asking(ONE)])[0], models.diffusion.inpaint([asking(ONE, weight=1.0)])[0]]
    assert np.array_equal(mixed[0], alone[0]) and np.array_equal(mixed[2], alone[1])
    assert all(map(np.array_equal, models.diffusion.inpaint([plain, steered]), before))


def test_threads_change_nothing(models: Models) -> None:
    """Pictures with and without references and controls, painted by several threads at once."""
    control = (Control("canny", 0.5, np.full((HEIGHT, WIDTH), 255, np.uint8)),)
    requests = [asking(ONE), request_of(), asking(TWO, weight=1.0), request_of(controls=control), asking(ONE, seed=8)]
    alone = [models.diffusion.inpaint([request])[0] for request in requests]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda request: models.diffusion.inpaint([request])[0], requests * 3))
    assert all(map(np.array_equal, together, alone * 3))


def test_what_does_not_fit_is_told_before_the_run(checkpoint: Path, adapter: str, tmp_path: Path) -> None:
    def told(reference: str) -> str | None:
        return Models(ModelNames(inpaint=str(checkpoint), reference=reference), Memory(), "cpu").reference_problem()

    assert told(adapter) is None
    other = write_ip_adapter(tmp_path / "other", checkpoint, width=32)
    line = "is made for another base model: 32 features of the text, but the painter has 64"
    assert told(other) == f"models.reference={other} {line}"
    vae = tmp_path / "vae.safetensors"
    vae.write_bytes((checkpoint / "vae/diffusion_pytorch_model.safetensors").read_bytes())
    with pytest.raises(SetupError, match="its image encoder is missing"):
        told(str(vae))
    (Path(other).parent / "x.safetensors").write_bytes(vae.read_bytes())
    assert "is no IP-Adapter" in (told(str(Path(other).parent / "x.safetensors")) or "")
    flat = Path(other).parent / "flat.safetensors"
    save_file({name: torch.zeros(4) for name in load_file(other)}, flat)
    with pytest.raises(SetupError, match=r"flat.*cannot be read as an IP-Adapter"):
        told(str(flat))
    with pytest.raises(SetupError, match="hf download h94/IP-Adapter --include 'sdxl_models/ip-adapter_sdxl"):
        told("auto")
