"""LoRAs: the picture of plain diffusers, no trace in the next picture, and strange files are refused before a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from darkroom.errors import SetupError
from darkroom.models import Memory, ModelNames, Models
from darkroom.models.loras import find_lora
from darkroom.models.prompts import Prompt
from darkroom.system.frozen import FrozenDict
from support.lora_files import LAYOUTS, write_lora
from support.pipelines import diffusers_picture
from support.tiny_models import request_of


def models_with(checkpoint: Path, **files: Path) -> Models:
    """Models that know some LoRAs."""
    loras = {name: str(file) for name, file in files.items()}
    return Models(ModelNames(inpaint=str(checkpoint), loras=loras), Memory(), "cpu")


def wants(**weights: float) -> dict[str, Any]:
    """The part of a request that names LoRAs."""
    return {"loras": FrozenDict(weights)}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["sdxl-inpaint", "sd15-inpaint"])
def test_it_is_the_picture_of_plain_diffusers(tiny_folder: Path, tmp_path: Path, kind: str, layout: str) -> None:
    file = write_lora(tmp_path / "ink.safetensors", tiny_folder / kind, layout)
    models = models_with(tiny_folder / kind, ink=file)
    assert models.loras.problem("ink") is None
    request = request_of(prompt=Prompt("a red car", "a dog"), **wants(ink=0.8))
    (picture,) = models.diffusion.inpaint([request])
    expected = diffusers_picture(tiny_folder / kind, request, loras={file: 0.8})
    assert np.array_equal(picture, expected)
    assert not np.array_equal(picture, diffusers_picture(tiny_folder / kind, request))


def test_kohyas_names_of_sdxls_blocks(tiny_folder: Path, tmp_path: Path) -> None:
    checkpoint = tiny_folder / "sdxl-inpaint"
    files = {layout: write_lora(tmp_path / f"{layout}.safetensors", checkpoint, layout) for layout in ("sgm", "kohya")}
    models = models_with(checkpoint, **files)
    assert models.loras.problem("sgm") is None
    first, second = models.diffusion.inpaint([request_of(**wants(sgm=0.8)), request_of(**wants(kohya=0.8))])
    assert np.array_equal(first, second) and not np.array_equal(first, models.diffusion.inpaint([request_of()])[0])


def test_no_picture_has_a_trace_of_another(tiny_folder: Path, tmp_path: Path) -> None:
    """In one call and over many, with six LoRAs, more than stay loaded: bits as from fresh models with one picture."""
    checkpoint = tiny_folder / "sdxl-inpaint"
    parts = [("unet",), ("text_encoder",), ("unet", "text_encoder_2"), ("unet",), ("unet",), ("unet",)]
    files = {
        f"l{place}": write_lora(tmp_path / f"{place}.safetensors", checkpoint, seed=place, parts=part)
        for place, part in enumerate(parts)
    }
    asked = [
        {},
        {"l0": 0.5},
        {"l0": 0.5, "l1": 1.0},
        {"l1": 0.3},
        {"l2": -1.0},
        {"l0": 0.0},
        {"l3": 1.0, "l4": 1, "l5": 1},
    ]
    requests = [request_of(**wants(**weights)) for weights in asked]
    alone = [models_with(checkpoint, **files).diffusion.inpaint([request])[0] for request in requests]
    assert np.array_equal(alone[0], alone[5])  # a weight of 0 is none
    assert len({picture.tobytes() for picture in alone}) == len(asked) - 1

    diffusion = models_with(checkpoint, **files).diffusion
    order = [0, 1, 0, 2, 3, 4, 6, 5, 1, 0]
    together = diffusion.inpaint([requests[place] for place in order])
    one_by_one = [diffusion.inpaint([requests[place]])[0] for place in order]
    for place, first, second in zip(order, together, one_by_one, strict=True):
        assert np.array_equal(first, alone[place])
        assert np.array_equal(second, alone[place])


def test_the_identity_is_of_content_and_weight(tiny_folder: Path, tmp_path: Path) -> None:
    checkpoint = tiny_folder / "sdxl-inpaint"
    one, two = (write_lora(tmp_path / f"{seed}.safetensors", checkpoint, seed=seed) for seed in (1, 2))
    (tmp_path / "copy.safetensors").write_bytes(one.read_bytes())
    models = models_with(checkpoint, one=one, two=two, copy=tmp_path / "copy.safetensors")
    identity = models.lora_identity
    assert identity({"one": 0.5, "two": 1}) == identity({"two": 1, "copy": 0.5}) != identity({"one": 1, "two": 0.5})
    assert identity({"one": 0.5, "copy": 0.25}) == identity({"one": 0.75})
    assert identity({}) == identity({"one": 0.0}) == identity({"one": 0.5, "copy": -0.5}) == []


def test_alpha_in_a_header_counts(tiny_folder: Path, tmp_path: Path) -> None:
    """diffusers writes PEFT's configuration into the header; alpha = 2 x rank is twice the weight."""
    checkpoint = tiny_folder / "sdxl-inpaint"
    plain = write_lora(tmp_path / "plain.safetensors", checkpoint, "peft", parts=("unet",))
    double = tmp_path / "double.safetensors"
    config = {"unet.r": 4, "unet.lora_alpha": 8, "unet.init_lora_weights": "pissa", "unet.target_modules": "(a+)+$"}
    save_file(load_file(plain), double, {"lora_adapter_metadata": json.dumps(config)})
    diffusion = models_with(checkpoint, plain=plain, double=double).diffusion
    first, second = diffusion.inpaint([request_of(**wants(plain=1.0)), request_of(**wants(double=0.5))])
    assert np.array_equal(first, second)


def _without_one(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name != next(iter(tensors))}


_NAME = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight"
_DAMAGE = {
    "one of the two weights is missing": _without_one,
    "holds 0 tensors": lambda _: {},
    "holds NaN": lambda tensors: {**tensors, _NAME: tensors[_NAME] * np.nan},
    "rank 0": lambda tensors: {name: tensor[:0] if "_A" in name else tensor[:, :0] for name, tensor in tensors.items()},
    "has no layer unet.mid_block.nothing": lambda tensors: {
        **tensors,
        "unet.mid_block.nothing.lora_A.weight": tensors[_NAME].clone(),
        "unet.mid_block.nothing.lora_B.weight": tensors[_NAME].T.contiguous(),
    },
    "is [32, 64] in models.inpaint": lambda tensors: {**tensors, _NAME: tensors[_NAME][:, :5].contiguous()},
    "conv_in.lora_C.weight: is no tensor of a LoRA": lambda tensors: {
        **tensors,
        "unet.conv_in.lora_C.weight": torch.zeros(2, 2),
    },
    "DoRA is not supported": lambda tensors: {**tensors, "unet.conv_in.lora_magnitude_vector": torch.zeros(2)},
    "lora_unet_x.lokr_w1: LoKr is not supported": lambda _: {"lora_unet_x.lokr_w1": torch.zeros(2, 2)},
    "lora_unet_x.lora_up.weight: this tensor is missing": lambda _: {"lora_unet_x.lora_down.weight": torch.zeros(2, 2)},
    "x.alpha: should be one number; its shape is [3]": lambda tensors: {**tensors, "x.alpha": torch.zeros(3)},
    "is float32 of shape [128]": lambda tensors: {name: tensor.flatten() for name, tensor in tensors.items()},
    "is int32 of shape [4, 32]": lambda tensors: {name: tensor.int() for name, tensor in tensors.items()},
}


@pytest.mark.parametrize("problem", _DAMAGE)
def test_damaged_files_are_refused_in_one_line(tiny_folder: Path, tmp_path: Path, problem: str) -> None:
    file = write_lora(tmp_path / "ink.safetensors", tiny_folder / "sdxl-inpaint", "peft", parts=("unet",))
    save_file(_DAMAGE[problem](load_file(file)), file)
    line = models_with(tiny_folder / "sdxl-inpaint", ink=file).loras.problem("ink")
    assert line and problem in line and str(file) in line and "\n" not in line


@pytest.mark.fault(
    "Repaints",
    "a LoRA that is cut off, with a damaged header or PEFT configuration, of another method, or a pipe or folder",
    "one line before the run names the file, the tensor and what would be right",
)
def test_what_is_no_whole_file_is_refused_in_one_line(tiny_folder: Path, tmp_path: Path) -> None:
    whole = write_lora(tmp_path / "whole.safetensors", tiny_folder / "sdxl-inpaint", "peft", parts=("unet",))
    data, tensors = whole.read_bytes(), load_file(whole)
    cases: dict[str, tuple[bytes, str]] = {
        "cut": (data[:-100], "is no whole safetensors file"),
        "empty": (b"", "is no whole safetensors file"),
        "header": (data[:8] + b"x" + data[9:], "is no whole safetensors file (invalid JSON in header"),
        "long": (b"\xff" * 8 + data[8:], "is no whole safetensors file (header too large); get the LoRA again"),
    }
    for name, config in {"broken": "[1,", "list": "[1, 2]", "words": '{"unet.lora_alpha": "x"}'}.items():
        save_file(tensors, tmp_path / "config.safetensors", {"lora_adapter_metadata": config})
        reason = "unet.lora_alpha in its header should be a number" if name == "words" else "is no JSON mapping"
        cases[name] = ((tmp_path / "config.safetensors").read_bytes(), reason)
    files = {name: tmp_path / f"{name}.safetensors" for name in (*cases, "pipe", "folder")}
    for name, (content, _) in cases.items():
        files[name].write_bytes(content)
    os.mkfifo(files["pipe"])
    files["folder"].mkdir()
    loras = models_with(tiny_folder / "sdxl-inpaint", **files).loras
    for name in files:
        line = str(loras.problem(name))
        assert str(files[name]) in line and "\n" not in line
        assert cases.get(name, ((), "is a folder, pipe or device, not a file"))[1] in line


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_lora_of_another_model_is_refused(tiny_folder: Path, tmp_path: Path, layout: str) -> None:
    file = write_lora(tmp_path / "ink.safetensors", tiny_folder / "sd15", layout, parts=("unet",))
    line = models_with(tiny_folder / "sdxl", ink=file).loras.problem("ink")
    assert line and "is made for another model" in line


def test_only_safetensors_are_opened(tiny_folder: Path, tmp_path: Path) -> None:
    pickled, text = tmp_path / "ink.pt", tmp_path / "text.safetensors"
    torch.save({"unet.x.lora_A.weight": torch.zeros(2, 2)}, pickled)
    text.write_text("no tensors here")
    loras = models_with(tiny_folder / "sdxl", ink=pickled, text=text, none=tmp_path / "none.safetensors").loras
    assert "only .safetensors is loaded" in str(loras.problem("ink"))
    assert "is no whole safetensors file" in str(loras.problem("text"))
    assert "no such file" in str(loras.problem("none"))
    assert "did you mean 'ink'?" in str(loras.problem("inck"))


def test_a_repository_that_is_not_cached_says_how_to_get_it(cache: Path) -> None:
    with pytest.raises(SetupError, match=r"hf download ByteDance/SDXL-Lightning sdxl_lightning_8step_lora.safetensors"):
        find_lora("fast", "ByteDance/SDXL-Lightning/sdxl_lightning_8step_lora.safetensors")
    with pytest.raises(SetupError, match=r"hf download owner/name pytorch_lora_weights.safetensors"):
        find_lora("fast", "owner/name")


@pytest.mark.slow  # imports diffusers and transformers anew
def test_two_threads_can_be_the_first_to_check_a_lora(tiny_folder: Path) -> None:
    """As in the studio, where the page asks again while it is being answered."""
    script = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from darkroom.models.lora_file import shapes_of
with ThreadPoolExecutor(3) as pool:
    print(*(len(shapes) for shapes, _ in pool.map(shapes_of, [Path(sys.argv[1])] * 3)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_folder / "sd15-inpaint")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.split())) == 1
