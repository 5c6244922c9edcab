"""Weights in 8 and 4 bits: the promised memory, nearly the same pictures, with all that steers a painter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from darkroom.errors import RecipeError
from darkroom.models import InpaintRequest, Memory, ModelNames, Models
from darkroom.models.prompts import Prompt
from darkroom.models.request import Control
from darkroom.models.small_weights import keep_small
from darkroom.system.frozen import FrozenDict
from support.pipelines import OFFLOADS, pipeline_of
from support.runs import ROOT
from support.tiny_controls import write_controlnet
from support.tiny_models import HEIGHT, WIDTH, models_of, request_of
from support.tiny_painters import PAINTERS, write_painter
from support.tiny_references import write_ip_adapter

BITS = pytest.mark.parametrize("bits", ["int8", "nf4"])


def bytes_of(network: torch.nn.Module) -> int:
    """Of its own weights, without those of LoRAs."""
    named = (*network.named_parameters(), *network.named_buffers())
    return sum(tensor.nbytes for name, tensor in named if "lora_" not in name)


def miniature(bits: str, **memory: object) -> Models:
    names = ModelNames(sam="miniature", clipseg="miniature", inpaint="miniature", loras={"dusk": "miniature"})
    return Models(names, Memory(weights=bits, threads=1, **memory), "cpu")


def zebra(**more: object) -> InpaintRequest:
    photo = np.asarray(Image.open(ROOT / "examples/horse.png").convert("RGB").resize((256, 256)))
    mask = np.zeros((256, 256), bool)
    mask[60:210, 40:220] = True
    how = {"steps": 5, "guidance_scale": 3, "strength": 1.0, "scheduler": "default"}
    return InpaintRequest(image=photo, mask=mask, prompt=Prompt("a photo of a zebra"), seed=1, **how, **more)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


def test_the_miniature_takes_a_quarter_or_a_fifth_and_paints_nearly_the_same_picture() -> None:
    pictures, sizes, keys = {}, {}, []
    for bits in ("full", "int8", "nf4"):
        models = miniature(bits)
        dusk = zebra(loras=FrozenDict({"dusk": 1.0}))
        plain, dark, again = (models.diffusion.inpaint([one])[0] for one in (zebra(), dusk, zebra()))
        assert np.array_equal(plain, again), "a LoRA leaves no trace"
        pictures[bits] = plain, dark
        sizes[bits] = bytes_of(models.diffusion.diffusion._pipe.unet)
        keys.append(models.identity("inpaint"))
        assert models.describe(["inpaint"])["memory"]["weights"] == bits
    assert sizes["int8"] < 0.26 * sizes["full"] and sizes["nf4"] < 0.22 * sizes["full"]  # its dtype is fp32
    for place, full in enumerate(pictures["full"]):
        assert psnr(pictures["int8"][place], full) > 40
        assert psnr(pictures["nf4"][place], full) > 27
    assert len({str(sorted(key.items())) for key in keys}) == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_are_rounded_no_further_than_their_bits(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer, conv = torch.nn.Linear(128, 64).to(dtype), torch.nn.Conv2d(32, 48, 3).to(dtype)
    narrow = torch.nn.Conv2d(4, 48, 3).to(dtype)
    with torch.no_grad():
        layer.weight[3] = 0
        layer.weight[5] *= 1000
    rows, kernels, first = (each.weight.detach().float() for each in (layer, conv, narrow))
    last_digit = torch.finfo(dtype).eps
    for bits, share in (("int8", 0.51 / 127), ("nf4", 0.153)):  # half of the widest gap of NF4 is 0.152
        network = torch.nn.Sequential(layer, conv, narrow)
        keep_small(network, bits)
        made = layer.weight.float()
        largest = rows.abs().amax(dim=1, keepdim=True)
        assert ((made - rows).abs() <= largest * (share + 2 * last_digit) + 1e-5).all() and not made[
            3
        ].abs().max() > 1e-6
        largest = kernels.abs().amax(dim=(1, 2, 3), keepdim=True)
        assert ((conv.weight.float() - kernels).abs() <= largest * (0.51 / 127 + 2 * last_digit)).all()
        assert torch.equal(narrow.weight.float(), first) and layer.weight.dtype == conv.weight.dtype == dtype
        layer = torch.nn.Linear(128, 64).to(dtype)
        layer.weight = torch.nn.Parameter(rows.to(dtype))
        conv = torch.nn.Conv2d(32, 48, 3).to(dtype)
        conv.weight = torch.nn.Parameter(kernels.to(dtype))


@BITS
def test_company_and_order_change_nothing(tiny_folder: Path, bits: str) -> None:
    diffusion = models_of(tiny_folder / "sdxl-inpaint", weights=bits, batch_size=2, channels_last=True).diffusion
    together = diffusion.inpaint([request_of(seed) for seed in (1, 2, 3)])
    assert np.array_equal(together[2], diffusion.inpaint([request_of(3)])[0])
    assert np.array_equal(together[1], diffusion.inpaint([request_of(2), request_of(7)])[0])


@BITS
@pytest.mark.parametrize("offload", OFFLOADS)
def test_where_the_model_waits_does_not_show(tiny_folder: Path, offload: str, bits: str) -> None:
    plain, placed = (pipeline_of(tiny_folder / "sdxl-inpaint", torch.float16) for _ in range(2))
    for pipe in (plain, placed):
        keep_small(pipe.unet, bits)
    OFFLOADS[offload](placed)
    noise = torch.Generator().manual_seed(1)
    given = {
        "prompt": "a red car",
        "image": torch.rand(1, 3, 64, 64, generator=noise),
        "mask_image": torch.ones(1, 1, 64, 64),
        "num_inference_steps": 2,
        "strength": 1.0,
        "output_type": "latent",
        "height": 64,
        "width": 64,
    }
    one, other = (pipe(**given, generator=torch.Generator().manual_seed(2)).images for pipe in (plain, placed))
    assert torch.equal(one, other)


@BITS
def test_controls_and_references_steer_and_leave_no_trace(tiny_folder: Path, tmp_path: Path, bits: str) -> None:
    checkpoint = tiny_folder / "sdxl-inpaint"
    controls = {
        "zero": write_controlnet(tmp_path / "zero", checkpoint),
        "one": write_controlnet(tmp_path, checkpoint, 1),
    }
    names = ModelNames(inpaint=str(checkpoint), controls=controls, reference=write_ip_adapter(tmp_path, checkpoint))
    paint = Models(names, Memory(weights=bits), "cpu").diffusion.inpaint
    lines = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    zero, one = (request_of(controls=(Control(name, 1.0, lines),)) for name in ("zero", "one"))
    like = request_of(references=(np.full((50, 70, 3), 90, np.uint8),), reference_weight=0.6)
    bare, steered, by_nothing, resembling, after = (
        paint([each])[0] for each in (request_of(), one, zero, like, request_of())
    )
    assert np.array_equal(bare, after) and np.array_equal(bare, by_nothing)
    assert not np.array_equal(bare, steered) and not np.array_equal(bare, resembling)


@BITS
@pytest.mark.parametrize("kind", [kind for kind in PAINTERS if kind != "qwen_image_edit"])  # which takes 20 s
def test_flow_transformers_keep_small_weights_too(tmp_path: Path, kind: str, bits: str) -> None:
    folder = write_painter(tmp_path / kind, kind)
    full, small = models_of(folder).diffusion, models_of(folder, weights=bits).diffusion
    request = request_of(guidance_scale=1.0, image=np.zeros((64, 64, 3), np.uint8), mask=np.ones((64, 64), bool))
    one, other = full.inpaint([request])[0], small.inpaint([request])[0]
    assert psnr(one, other) > 15 and not np.array_equal(one, other)
    assert bytes_of(small._pipe.transformer) < 0.5 * bytes_of(full._pipe.transformer)


def test_only_known_bits_are_taken() -> None:
    with pytest.raises(RecipeError, match=r"memory\.weights: 'int4' should be 'full', 'int8' or 'nf4'"):
        Memory.parse({"weights": "int4"})
