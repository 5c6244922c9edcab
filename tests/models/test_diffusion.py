"""Promise 3: same request, same picture — as plain diffusers makes it, alone or in company, wherever the model lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from darkroom.errors import PhotoError
from darkroom.imaging.edit import Edit
from darkroom.models import InpaintRequest
from darkroom.models.device import _cpp_compiler
from darkroom.models.diffusion import Diffusion
from darkroom.models.names import SCHEDULERS
from darkroom.models.prompts import Prompt
from darkroom.models.vae import prepare_vae
from darkroom.stages.inpaint import Inpaint
from support.pipelines import OFFLOADS, diffusers_picture, pipeline_of
from support.tiny_models import models_of, request_of


@pytest.mark.parametrize("strength", [1.0, 0.7])
def test_on_a_cpu_it_is_the_picture_of_plain_diffusers(checkpoint: Path, strength: float) -> None:
    request = request_of(strength=strength, prompt=Prompt("a red car", "a dog"))
    (picture,) = models_of(checkpoint).diffusion.inpaint([request])
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, diffusers_picture(checkpoint, request))


def test_a_whole_edit_is_what_plain_tools_give_by_hand(checkpoint: Path) -> None:
    """Pillow cuts, resizes and pastes, diffusers paints: for a mask of 60 x 60 px in the middle of its crop."""
    photo = np.random.default_rng(1).integers(0, 256, (300, 400, 3), np.uint8)
    mask = np.zeros((300, 400), np.float32)
    mask[120:180, 150:210] = 1
    stage = Inpaint(prompt="a red car", seed=7, steps=3, guidance_scale=5, strength=0.7)
    edit = stage.apply(Edit(photo, photo).with_mask(mask), models_of(checkpoint))

    box, native = (135, 105, 225, 195), (256, 256)
    part = Image.fromarray(photo).crop(box)
    hole = Image.fromarray(mask).crop(box).resize(native, Image.Resampling.BILINEAR)
    request = InpaintRequest(
        image=np.asarray(part.resize(native, Image.Resampling.LANCZOS)),
        mask=np.asarray(hole) > 0,
        prompt=Prompt("a red car"),
        seed=7,
        steps=3,
        guidance_scale=5,
        strength=0.7,
        scheduler="default",
    )
    painted = Image.fromarray(diffusers_picture(checkpoint, request)).resize((90, 90), Image.Resampling.LANCZOS)
    expected = Image.fromarray(photo)
    expected.paste(painted, box, Image.fromarray((mask * 255).astype(np.uint8)).crop(box))
    assert np.array_equal(edit.image, np.asarray(expected))


def test_companions_and_order_do_not_matter(tiny_folder: Path) -> None:
    diffusion = models_of(tiny_folder / "sdxl").diffusion
    requests = [
        request_of(1),
        request_of(2, prompt=Prompt("a red car", "")),
        request_of(3, steps=2, prompt=Prompt("b")),
        request_of(4),
        request_of(5, image=np.zeros((24, 32, 3), np.uint8), mask=np.ones((24, 32), bool)),
        request_of(1),
    ]
    together = diffusion.inpaint(requests)
    alone = [diffusion.inpaint([request])[0] for request in requests]
    assert all(np.array_equal(one, other) for one, other in zip(together, alone, strict=True))
    assert np.array_equal(together[0], together[5])
    assert [picture.shape for picture in together] == [request.image.shape for request in requests]
    assert not np.array_equal(together[0], together[3]), "the seed must matter"
    assert diffusion.inpaint([]) == []


def test_a_padded_batch_gives_each_picture_whatever_its_companions(tiny_folder: Path) -> None:
    """As on a GPU: the UNet always sees the same number of pictures."""
    diffusion = Diffusion(pipeline_of(tiny_folder / "sdxl-inpaint"), batch_size=2)
    one, two, three = diffusion.inpaint([request_of(1), request_of(2), request_of(3)])
    assert np.array_equal(three, diffusion.inpaint([request_of(3)])[0])
    assert np.array_equal(one, diffusion.inpaint([request_of(3), request_of(1)])[1])
    assert np.abs(two.astype(int) - diffusers_picture(tiny_folder / "sdxl-inpaint", request_of(2))).max() <= 1


@pytest.mark.parametrize(("dtype", "nearest"), [("fp32", 1), ("bf16", 16)])
def test_memory_fast_on_a_cpu_is_near_and_the_same_alone_and_in_any_company(
    dtype: str, nearest: int, tiny_folder: Path
) -> None:
    fast = {"batch_size": 4, "channels_last": True, "vae_slicing": True, "dtype": dtype}
    diffusion = models_of(tiny_folder / "sdxl-inpaint", **fast).diffusion
    together = diffusion.inpaint([request_of(seed) for seed in (1, 2, 3, 4, 5)])
    other = diffusion.inpaint([request_of(seed) for seed in (5, 3)])
    assert np.array_equal(together[2], other[1]) and np.array_equal(together[4], other[0])
    plain = diffusers_picture(tiny_folder / "sdxl-inpaint", request_of(3))
    assert np.abs(together[2].astype(int) - plain).max() <= nearest
    keys = [models_of(tiny_folder / "sdxl-inpaint", **memory).identity("inpaint") for memory in (fast, {})]
    assert keys[0] != keys[1]


@pytest.mark.slow
@pytest.mark.skipif(not _cpp_compiler(), reason="torch.compile needs a C++ compiler")
def test_a_compiled_picture_is_near_and_the_same_alone_and_in_any_company(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    diffusion = models_of(tiny_folder / "sdxl", batch_size=2, channels_last=True, compile=True).diffusion
    together = diffusion.inpaint([request_of(seed) for seed in (1, 2, 3)])
    assert np.array_equal(together[1], diffusion.inpaint([request_of(2)])[0])
    assert np.abs(together[1].astype(int) - diffusers_picture(tiny_folder / "sdxl", request_of(2))).max() <= 1


def test_no_negative_prompt_is_not_the_empty_one(tiny_folder: Path) -> None:
    diffusion = models_of(tiny_folder / "sdxl").diffusion
    none, empty = diffusion.inpaint([request_of(), request_of(prompt=Prompt("a red car", ""))])
    assert not np.array_equal(none, empty)


def test_every_scheduler_paints_and_default_is_the_checkpoints_own(tiny_folder: Path) -> None:
    diffusion = models_of(tiny_folder / "sdxl").diffusion
    made = diffusion.inpaint([request_of(scheduler=name) for name in SCHEDULERS])
    pictures = dict(zip(SCHEDULERS, made, strict=True))
    assert np.array_equal(pictures.pop("default"), pictures["euler"]), "this checkpoint was published with Euler"
    assert np.array_equal(pictures.pop("ddim"), pictures["euler"]), "without noise they solve the same equation"
    assert len({picture.tobytes() for picture in pictures.values()}) == len(pictures)


def test_native_size_and_description(checkpoint: Path) -> None:
    models = models_of(checkpoint)
    assert models.loaded() == []
    assert models.diffusion.native == 256
    told = models.describe(["inpaint"])
    assert told["weights"]["inpaint"]["weights"].startswith("sha256:")
    assert told["weights"]["inpaint"]["dtype"] == "fp32" and told["weights"]["inpaint"]["batch_size"] == 1
    assert told["pipeline"]["watermark"] is False and told["pipeline"]["safety_checker"] is False


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])
@pytest.mark.parametrize("offload", OFFLOADS)
@pytest.mark.parametrize("kind", ["sd15", "sdxl-inpaint"])
def test_where_the_model_waits_does_not_show(tiny_folder: Path, kind: str, offload: str, dtype: torch.dtype) -> None:
    """Twice over, since plain diffusers casts the VAE of SDXL from fp16 to fp32 and back for each picture."""
    plain, placed = pipeline_of(tiny_folder / kind, dtype), pipeline_of(tiny_folder / kind, dtype)
    prepare_vae(placed, "cpu")
    OFFLOADS[offload](placed)
    for seed in (1, 2):
        one, other = (Diffusion(pipe).inpaint([request_of(seed)]) for pipe in (plain, placed))
        assert np.array_equal(one, other)


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_half_precision_is_near(tiny_folder: Path, dtype: str) -> None:
    exact = models_of(tiny_folder / "sdxl").diffusion.inpaint([request_of()])
    half = models_of(tiny_folder / "sdxl", dtype=dtype).diffusion.inpaint([request_of()])
    assert np.abs(np.subtract(exact, half, dtype=int)).mean() < 8


def test_not_a_number_is_an_error_and_no_black_picture(tiny_folder: Path) -> None:
    pipe = pipeline_of(tiny_folder / "sdxl", torch.bfloat16)
    pipe.unet.conv_out.bias.data.fill_(float("nan"))
    with pytest.raises(PhotoError, match="no picture for seed 9"):
        Diffusion(pipe).inpaint([request_of(9)])


@pytest.mark.parametrize("spoilt", [float("nan"), 1e4])
def test_a_decoder_that_overflows_in_half_precision_is_asked_again_in_fp32(tiny_folder: Path, spoilt: float) -> None:
    pipe = pipeline_of(tiny_folder / "sd15", torch.float16)

    def overflow(module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        return output if output.dtype == torch.float32 else torch.full_like(output, spoilt)

    expected = Diffusion(pipe).inpaint([request_of()])[0]
    pipe.vae.decoder.conv_out.register_forward_hook(overflow)
    picture = Diffusion(pipe).inpaint([request_of()])[0]
    assert np.abs(picture.astype(int) - expected).max() < 8
    assert pipe.vae.dtype == torch.float16


def test_out_of_memory_halves_the_batch_and_keeps_the_pictures(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pipe = pipeline_of(tiny_folder / "sdxl")
    room = 2
    forward = pipe.unet.forward

    def small_gpu(sample: torch.Tensor, *args: object, **kwargs: object) -> object:
        if len(sample) > 2 * room:  # with and without the prompt
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(pipe.unet, "forward", small_gpu)
    diffusion, requests = Diffusion(pipe, batch_size=4), [request_of(seed) for seed in range(3)]
    pictures = diffusion.inpaint(requests)
    assert diffusion.batch_size == diffusion.describe()["batch_size"] == 2
    assert "batch size of 2" in caplog.text
    assert np.array_equal(pictures, Diffusion(pipe, batch_size=2).inpaint(requests))
    room = 0
    with pytest.raises(PhotoError, match="runs out of GPU memory"):
        diffusion.inpaint(requests)
