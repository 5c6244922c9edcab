"""Weights are found where they are, told by content, and where they are not the user reads how to get them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from darkroom import resources
from darkroom.errors import SetupError
from darkroom.models import weights
from darkroom.models.names import CLIPSEG, SAM_CHECKPOINTS, SDXL
from darkroom.models.weights import find_weights
from support.checkpoint_files import into_cache


@pytest.mark.parametrize(
    ("kind", "name", "size", "command"),
    [
        ("inpaint", SDXL, "7 GB", f"hf download {SDXL} --include '*.json' --include '*.txt' --include '*.fp16.safe"),
        ("clipseg", CLIPSEG, "0.6 GB", f"hf download {CLIPSEG} --include '*.json'"),
        ("inpaint", "someone/else", "size unknown", "hf download someone/else"),
        ("sam", "vit_l", "1.2 GB", "curl -L --create-dirs -o "),
        (
            "subject",
            "birefnet-general-lite",
            "224 MB",
            "birefnet-general-lite.onnx https://github.com/danielgatis/rembg/",
        ),
    ],
)
def test_missing_weights_are_named_with_size_and_command(
    cache: Path, kind: str, name: str, size: str, command: str
) -> None:
    with pytest.raises(SetupError) as caught:
        find_weights(kind, name)
    line = str(caught.value)
    assert size in line and command in line and "\n" not in line


@pytest.mark.parametrize(
    ("kind", "name"),
    [("sam", "vit_x"), ("inpaint", "/nowhere/x.safetensors"), ("inpaint", "stable diffusion"), ("subject", "u2nept")],
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


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where checkpoints are looked for, in order: all of it under a new folder."""
    monkeypatch.setenv("DARKROOM_WEIGHTS", str(tmp_path / "chosen"))
    for name in ("current", "checkout"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setattr(weights, "CHECKOUT", tmp_path / "checkout")
    monkeypatch.setattr(weights, "user_data_path", lambda name: tmp_path / "my data" / name)
    monkeypatch.setenv("U2NET_HOME", str(tmp_path / "rembg"))
    return [
        tmp_path / "chosen",
        tmp_path / "current" / "weights",
        tmp_path / "checkout" / "weights",
        tmp_path / "my data" / "darkroom" / "weights",
    ]


def test_a_checkpoint_is_taken_from_the_first_folder_that_has_it(folders: list[Path]) -> None:
    assert weights.weight_folders() == folders
    for folder in reversed(folders):
        folder.mkdir(parents=True)
        (folder / SAM_CHECKPOINTS["vit_b"]).touch()
        assert find_weights("sam", "vit_b").path == folder / SAM_CHECKPOINTS["vit_b"]


def test_a_missing_checkpoint_goes_to_the_chosen_folder_or_else_to_the_users(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = SAM_CHECKPOINTS["vit_h"]
    with pytest.raises(SetupError, match=f"curl -L --create-dirs -o {folders[0] / name} https://") as caught:
        find_weights("sam", "vit_h")
    assert all(str(folder) in str(caught.value) for folder in folders)
    monkeypatch.delenv("DARKROOM_WEIGHTS")
    with pytest.raises(SetupError, match=f"-o '{folders[-1] / name}' https://"):  # a space in it
        find_weights("sam", "vit_h")


def test_an_installed_package_is_no_place_for_weights(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "CHECKOUT", None)
    assert weights.weight_folders() == [folders[0], folders[1], folders[3]]


def test_a_network_for_subjects_is_taken_from_these_folders_and_then_from_rembgs(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = folders[0].parent / "home"
    monkeypatch.setenv("HOME", str(home))
    rembgs = {
        ("U2NET_HOME", "XDG_DATA_HOME", "REMBG_HOME"): [home / ".u2net", home / ".rembg/models/u2net"],
        ("U2NET_HOME", "XDG_DATA_HOME"): [home / "chosen/models/u2net"],
        ("U2NET_HOME", "REMBG_HOME"): [home / "data/.u2net", home / "data/rembg/models/u2net"],
        ("REMBG_HOME",): [home / "old", home / "old/models/u2net"],
    }
    set_to = {"U2NET_HOME": home / "old", "XDG_DATA_HOME": home / "data", "REMBG_HOME": home / "chosen"}
    for unset, expected in rembgs.items():
        for name, value in set_to.items():
            monkeypatch.setenv(name, str(value))
        for name in unset:
            monkeypatch.delenv(name)
        for folder in expected:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "u2net.onnx").touch()
            assert find_weights("subject", "u2net").path == folder / "u2net.onnx"
    for folder in reversed(folders):
        folder.mkdir(parents=True)
        (folder / "u2net.onnx").touch()
        assert find_weights("subject", "u2net").path == folder / "u2net.onnx"


def test_the_smallest_network_comes_with_make_weights_in_a_checkout(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folders[0] / "u2netp.onnx").mkdir(parents=True)  # a folder is no file
    with pytest.raises(SetupError, match=r"get it \(4\.6 MB\): make weights$") as caught:
        find_weights("subject", "u2netp")
    assert str(folders[0]) in str(caught.value) and str(folders[0].parent / "rembg") in str(caught.value)
    monkeypatch.setattr(weights, "CHECKOUT", None)
    with pytest.raises(SetupError, match=f"curl -L --create-dirs -o {folders[0]}/u2netp.onnx https://"):
        find_weights("subject", "u2netp")


def test_a_network_without_onnxruntime_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    monkeypatch.setattr(resources, "CHECKOUT", None)
    with pytest.raises(SetupError, match=r"^models\.subject=u2net: needs onnxruntime: pip install 'dark[^']+'$"):
        find_weights("subject", "u2net")
    assert find_weights("subject", "grabcut").identity() == "grabcut"


def test_a_network_is_found_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.onnx").write_bytes(b"1234")
    for name in ("mine.onnx", str(tmp_path / "mine.onnx")):
        found = find_weights("subject", name)
        assert found.path == tmp_path / "mine.onnx" and found.size() == 4
    with pytest.raises(SetupError, match="neither a network's name nor an ONNX file; valid: grabcut, u2netp"):
        find_weights("subject", str(tmp_path))
    with pytest.raises(SetupError, match=r"^models\.subject=u2nt: .*; did you mean 'u2net'\?$"):
        find_weights("subject", "u2nt")
