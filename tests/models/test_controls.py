"""Repaints steered by ControlNets and T2I-Adapters: the pictures of diffusers, and no trace where nothing steers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from darkroom.errors import SetupError
from darkroom.models import InpaintRequest, Memory, ModelNames, Models
from darkroom.models.diffusion import Diffusion
from darkroom.models.reference_info import find_reference
from darkroom.models.request import Control
from darkroom.models.steering import steering_of
from darkroom.models.steering_files import SteeringFiles
from darkroom.models.weights import find_weights
from support.pipelines import pipeline_of
from support.tiny_controls import controlled_picture, write_adapter, write_controlnet
from support.tiny_models import HEIGHT, WIDTH, request_of, write_tiny

GREY = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
RGB = np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {kind: write_tiny(folder / kind, kind) for kind in ("sdxl-inpaint", "sdxl", "sd15")}


@pytest.fixture(scope="module")
def controls(tmp_path_factory: pytest.TempPathFactory, checkpoints: dict[str, Path]) -> dict[str, str]:
    folder, xl = tmp_path_factory.mktemp("controls"), checkpoints["sdxl"]
    union = write_controlnet(folder / "union", xl, 3, union=True)
    return {
        "zero": write_controlnet(folder / "zero", xl),
        "one": write_controlnet(folder / "one", xl, 1),
        "two": write_controlnet(folder / "two", xl, 2),
        "canny": union,
        "depth": union,
        "tile": union,
        "nothing": write_adapter(folder / "nothing"),
        "adapter": write_adapter(folder / "adapter", 5),
        "sd15": write_controlnet(folder / "sd15", checkpoints["sd15"]),
        "adapter15": write_adapter(folder / "adapter15", channels=[32, 64], downscale_factor=8),
        "scale": write_adapter(folder / "scale", downscale_factor=8),
    }


@pytest.fixture(scope="module")
def models(checkpoints: dict[str, Path], controls: dict[str, str]) -> Models:
    return _models(checkpoints["sdxl-inpaint"], controls)


def _models(checkpoint: Path, controls: dict[str, str]) -> Models:
    return Models(ModelNames(inpaint=str(checkpoint), controls=controls), Memory(), device="cpu")


def asking(*controls: tuple[str, float, np.ndarray], **changes: object) -> InpaintRequest:
    return request_of(controls=tuple(Control(*control) for control in controls), **changes)


@pytest.mark.parametrize("name", ["zero", "nothing"])
def test_a_control_that_adds_zeros_changes_no_bit(models: Models, name: str) -> None:
    (plain,) = models.diffusion.inpaint([request_of()])
    (steered,) = models.diffusion.inpaint([asking((name, 1.0, GREY))])
    assert np.array_equal(steered, plain)


def test_steering_leaves_no_trace(models: Models) -> None:
    before = models.diffusion.inpaint([request_of()])[0]
    steered = models.diffusion.inpaint([asking(("one", 1.0, GREY), ("adapter", 1.0, RGB))])[0]
    assert not np.array_equal(before, steered)
    for request in (request_of(), asking(("one", 0.0, GREY))):
        assert np.array_equal(models.diffusion.inpaint([request])[0], before)


@pytest.mark.parametrize("end, name", [(1.0, {}), (0.5, {"control_guidance_end": 0.5})], ids=["all steps", "half"])
def test_it_is_the_picture_of_diffusers(checkpoints, controls, models, end: float, name: dict[str, float]) -> None:
    request = asking(("one", 0.7, GREY), control_end=end)
    expected = controlled_picture(checkpoints["sdxl-inpaint"], request, [controls["one"]], **name)
    assert np.array_equal(models.diffusion.inpaint([request])[0], expected)


def test_several_are_the_picture_of_diffusers(checkpoints, controls, models) -> None:
    request = asking(("one", 0.7, GREY), ("two", 0.4, RGB))
    expected = controlled_picture(checkpoints["sdxl-inpaint"], request, [controls["one"], controls["two"]])
    assert np.array_equal(models.diffusion.inpaint([request])[0], expected)


def test_a_union_model_is_told_the_kinds_of_control_by_name(checkpoints, controls) -> None:
    request = asking(("canny", 0.7, GREY), ("depth", 0.4, RGB))  # 4 channels: the union pipeline refuses 9
    expected = controlled_picture(checkpoints["sdxl"], request, [controls["canny"]], union=True, control_mode=[3, 1])
    (picture,) = _models(checkpoints["sdxl"], controls).diffusion.inpaint([request])
    assert np.array_equal(picture, expected)


def test_company_in_a_batch_changes_nothing(checkpoints, controls) -> None:
    requests = [
        asking(("one", 0.7, GREY)),
        asking(("one", 0.7, GREY.T.reshape(GREY.shape)), seed=8),
        request_of(seed=9),
        asking(("adapter", 0.7, RGB)),
        asking(("one", 0.2, GREY), change_map=np.where(request_of().mask, np.float32(0.5), 0)),
    ]
    files = SteeringFiles(lambda name: find_weights("controls", controls[name]), lambda: find_reference(""))
    pipe = pipeline_of(checkpoints["sdxl-inpaint"])
    diffusion = Diffusion(pipe, 2, steering=steering_of(pipe.unet, files, Memory(dtype="fp32"), "cpu"))
    together = diffusion.inpaint(requests)
    assert all(map(np.array_equal, together, (diffusion.inpaint([one])[0] for one in requests)))


@pytest.mark.parametrize(
    "name, problem",
    [
        ("one", None),
        ("adapter", None),
        ("canny", None),
        ("tile", "this union model has no tile"),
        ("sd15", "is made for another base model: 32 features of the text, but the painter has 64"),
        ("adapter15", "is made for another base model: 32, 64 channels, but the painter has 16, 32"),
        ("scale", "is made for another base model: its scale is 1/8, not 1/16"),
    ],
)
def test_a_control_of_another_base_model_is_told_before_the_run(models, controls, name, problem) -> None:
    expected = problem and f"models.controls.{name}={controls[name]} {problem}"
    assert models.control_problem(name) == expected


def test_what_is_no_control_model_is_told_in_one_line(checkpoints, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "config.json").write_text(json.dumps({"_class_name": "ControlNetModel"}))
    (code / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    (tmp_path / "net.safetensors").write_bytes(b"")
    odd = Path(write_adapter(tmp_path / "odd"))
    (odd / "config.json").write_text(json.dumps({"_class_name": "T2IAdapter", "channels": 3}))
    files = {
        "file": tmp_path / "net.safetensors",
        "above": tmp_path,
        "code": code,
        "odd": odd,
        "vae": checkpoints["sdxl"] / "vae",
    }
    models = _models(checkpoints["sdxl"], {name: str(path) for name, path in files.items()})
    for name, line in (
        ("file", f"^models.controls.file={tmp_path}/net.safetensors: is a file; a control model is a folder"),
        ("odd", "^models.controls.odd=.*cannot be read as a control model: 'int' object is not iterable"),
        ("above", f"^models.controls.above={tmp_path}: has no config.json"),
        ("code", "lacks diffusion_pytorch_model.safetensors; other formats are not loaded"),
        ("vae", "holds AutoencoderKL; a control is a ControlNetModel, ControlNetUnionModel or T2IAdapter"),
        ("cany", "models.controls.cany: names no control model; set it to a folder or a repository"),
    ):
        with pytest.raises(SetupError, match=line):
            models.control_problem(name)
