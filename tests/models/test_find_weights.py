"""Weights are found where they are, told by content, and where they are not the user reads how to get them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from darkroom.errors import SetupError
from darkroom.models.names import CLIPSEG, SDXL
from darkroom.models.weights import find_weights
from support.checkpoint_files import into_cache


@pytest.mark.parametrize(
    ("kind", "name", "size", "command"),
    [
        ("inpaint", SDXL, "7 GB", f"hf download {SDXL} --include '*.json' --include '*.txt' --include '*.fp16.safe"),
        ("clipseg", CLIPSEG, "0.6 GB", f"hf download {CLIPSEG} --include '*.json'"),
        ("inpaint", "someone/else", "size unknown", "hf download someone/else"),
        ("sam", "vit_l", "1.2 GB", "curl -L --create-dirs -o "),
    ],
)
def test_missing_weights_are_named_with_size_and_command(
    cache: Path, kind: str, name: str, size: str, command: str
) -> None:
    with pytest.raises(SetupError) as caught:
        find_weights(kind, name)
    told = str(caught.value)
    assert size in told and command in told and "\n" not in told


@pytest.mark.parametrize(
    ("kind", "name"), [("sam", "vit_x"), ("inpaint", "/nowhere/x.safetensors"), ("inpaint", "stable diffusion")]
)
def test_a_name_that_leads_nowhere_is_repeated(cache: Path, kind: str, name: str) -> None:
    with pytest.raises(SetupError, match=name):
        find_weights(kind, name)


def test_weights_in_the_cache_are_known_by_their_commit(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    commit = into_cache(cache, "owner/name", folder)
    place = find_weights("inpaint", "owner/name")
    assert (place.path / "model_index.json").is_file()
    assert place.identity().startswith(f"owner/name@{commit}+")


def test_weights_at_a_path_are_known_by_their_bytes(tiny_folder: Path, tmp_path: Path) -> None:
    first = find_weights("inpaint", str(tiny_folder / "sd15")).identity()
    shutil.copytree(tiny_folder / "sd15", tmp_path / "copy")
    shutil.copytree(tiny_folder / "sd15", tmp_path / "changed")
    with (tmp_path / "changed" / "unet" / "diffusion_pytorch_model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    assert find_weights("inpaint", str(tmp_path / "copy")).identity() == first
    assert find_weights("inpaint", str(tmp_path / "changed")).identity() != first
