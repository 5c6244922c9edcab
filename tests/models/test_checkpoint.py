"""What is loaded, what is refused, and that a refusal is one line that names the file and the reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from darkroom.errors import SetupError
from darkroom.models.checkpoint import load_pipeline
from darkroom.models.checkpoint_info import CheckpointInfo
from darkroom.models.weights import find_weights
from support.checkpoint_files import into_cache
from support.single_file import write_single_file
from support.tiny_models import models_of, request_of, write_tiny

UNET = Path("unet/diffusion_pytorch_model.safetensors")


def _without_a_tensor(folder: Path) -> None:
    state = load_file(folder / UNET)
    state.pop("conv_out.weight")
    save_file(state, folder / UNET)


def _truncated(folder: Path) -> None:
    (folder / UNET).write_bytes((folder / UNET).read_bytes()[:-1000])


def _only_pickled(folder: Path) -> None:
    torch.save(load_file(folder / UNET), folder / UNET.with_suffix(".bin"))
    (folder / UNET).unlink()


def _with_code(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    index["tokenizer"] = ["my_tokenizer", "MyTokenizer"]
    (folder / "my_tokenizer.py").write_text("raise SystemExit('code of a stranger ran')")
    (folder / "model_index.json").write_text(json.dumps(index))


def _of_another_kind(folder: Path) -> None:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "FluxKontextPipeline"}))


def _no_index(folder: Path) -> None:
    (folder / "model_index.json").unlink()


def _index_of_nothing(folder: Path) -> None:
    (folder / "model_index.json").write_text("[]")


def _part_without_a_class(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "unet": "x"}))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_index_of_nothing, "should name the parts of a checkpoint"),
        (_part_without_a_class, "unet is x, which Darkroom does not load"),
        (_without_a_tensor, "unet: lacks tensors: conv_out.weight"),
        (_truncated, "unet/diffusion_pytorch_model.safetensors: cannot be read as safetensors: "),
        (_only_pickled, "lacks the .safetensors of unet"),
        (_with_code, "tokenizer is my_tokenizer.MyTokenizer, which Darkroom does not load"),
        (_of_another_kind, "is for FluxKontextPipeline"),
        (_no_index, "no model_index.json"),
    ],
)
def test_a_damaged_or_foreign_folder_is_refused(
    tiny_folder: Path, tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(tiny_folder / "sd15", folder)
    spoil(folder)
    with pytest.raises(SetupError) as caught:
        models_of(folder).diffusion  # noqa: B018
    assert reason in str(caught.value) and str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_half_of_a_download_names_what_is_missing_and_the_command(cache: Path, tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "made", "sdxl", variant="fp16")
    (folder / "vae" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    into_cache(cache, "owner/name", folder)
    with pytest.raises(SetupError, match=r"owner/name: the \.safetensors of vae not in .*hf download owner/name"):
        models_of("owner/name").diffusion  # noqa: B018


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_copy_nearest_to_the_wanted_format_is_read(tmp_path: Path, dtype: torch.dtype) -> None:
    folder = write_tiny(tmp_path / "made", "sdxl", variant="fp16")
    place = find_weights("inpaint", str(folder))
    assert load_pipeline(place, dtype).unet.dtype == dtype, "the fp16 copy is all there is"
    write_tiny(tmp_path / "plain", "sdxl")
    for file in (tmp_path / "plain").rglob("*.safetensors"):
        state = {name: tensor + (name == "conv_out.bias") for name, tensor in load_file(file).items()}
        save_file(state, folder / file.relative_to(tmp_path / "plain"), metadata={"format": "pt"})
    bias = load_pipeline(place, dtype).unet.conv_out.bias
    assert bool((bias == 1).all()) == (dtype == torch.float32)


def test_a_single_file_paints_what_its_folder_paints(tiny_folder: Path, tmp_path: Path, cache: Path) -> None:
    folder = tiny_folder / "sd15-inpaint"
    file = write_single_file(folder, tmp_path / "model.safetensors")
    with pytest.raises(SetupError, match=r"tokenizer .*stable-diffusion-inpainting: hf download .*'\*\.txt'$"):
        models_of(file).diffusion  # noqa: B018
    small = tmp_path / "small"
    shutil.copytree(folder, small, ignore=shutil.ignore_patterns("*.safetensors"))
    into_cache(cache, "stable-diffusion-v1-5/stable-diffusion-inpainting", small)
    from_file, from_folder = (models_of(path).diffusion.inpaint([request_of()]) for path in (file, folder))
    assert np.array_equal(from_file, from_folder)
    assert (CheckpointInfo(file).channels, CheckpointInfo(file).truncated_text("a")) == (9, "")


@pytest.mark.parametrize(
    ("name", "state", "reason"),
    [
        ("lora.safetensors", {"lora_unet.down.weight": torch.zeros(2, 2)}, "holds something else"),
        (
            "refiner.safetensors",
            {
                "model.diffusion_model.input_blocks.0.0.weight": torch.zeros(384, 4, 3, 3),
                "conditioner.embedders.0.model.transformer.resblocks.9.mlp.c_proj.bias": torch.zeros(8),
            },
            "holds xl_refiner",
        ),
        ("model.ckpt", None, r"only \.safetensors is loaded"),
    ],
)
def test_a_single_file_of_another_kind_is_refused(
    tmp_path: Path, name: str, state: dict[str, torch.Tensor] | None, reason: str
) -> None:
    if state is None:
        (tmp_path / name).write_bytes(b"")
    else:
        save_file(state, tmp_path / name)
    with pytest.raises(SetupError, match=f"{name}: {reason}"):
        models_of(tmp_path / name).diffusion  # noqa: B018


def test_the_old_names_in_published_files_are_understood(tiny_folder: Path, tmp_path: Path) -> None:
    """SD 1.5 was published with other names in the VAE's attention, and with a tensor nobody needs any more."""
    folder = tmp_path / "old"
    shutil.copytree(tiny_folder / "sd15", folder)
    vae, text = folder / "vae" / "diffusion_pytorch_model.safetensors", folder / "text_encoder" / "model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = load_file(vae)
    for ours, theirs in old.items():
        state = {name.replace(f".{ours}.", f".{theirs}."): tensor for name, tensor in state.items()}
    assert any(".proj_attn." in name for name in state)
    save_file(state, vae, metadata={"format": "pt"})
    state = load_file(text) | {"text_model.embeddings.position_ids": torch.arange(16)[None]}
    save_file(state, text, metadata={"format": "pt"})
    new, published = (models_of(path).diffusion.inpaint([request_of()]) for path in (tiny_folder / "sd15", folder))
    assert np.array_equal(new, published)
