"""Finds the files of a model on this machine, and identifies them. Nothing is ever downloaded."""

from __future__ import annotations

import hashlib
import os
import shlex
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from platformdirs import user_data_path

from darkroom.errors import SetupError
from darkroom.models.names import CLIPSEG, SAM_CHECKPOINTS, SD15, SDXL
from darkroom.resources import CHECKOUT

SMALL_FILES = ("*.json", "*.txt")
"""The files of a repository that hold configuration and vocabulary."""

MINIATURE_WEIGHTS = Path(__file__).parent / "miniature" / "weights"
"""A folder for each miniature model, part of the package."""

_MINIATURE_FOLDERS = {"sam": "sam", "clipseg": "clipseg", "inpaint": "sdxl_inpaint"}
_SAM_URL = "https://dl.fbaipublicfiles.com/segment_anything"

_SAM_SIZES = {"vit_b": "375 MB", "vit_l": "1.2 GB", "vit_h": "2.6 GB"}
_SIZES = {CLIPSEG: "0.6 GB", SDXL: "7 GB", SD15: "2.7 GB"}
# Repositories hold several copies of the weights; this is the one to download.
_DOWNLOADS = {SDXL: "*.fp16.safetensors", SD15: "*.fp16.safetensors", CLIPSEG: "*.bin"}
_WEIGHT_FILES = (".safetensors", ".bin", ".pth")
_TOP_FILES = {"inpaint": ("model_index.json",), "clipseg": ("model.safetensors", "pytorch_model.bin")}


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model on this machine.

    Attributes:
        name: as the settings name it: `miniature`, `vit_b`, a repository, a path.
        path: the folder or file.
        commit: the Hub's commit; empty for files outside the Hugging Face cache.
    """

    name: str
    path: Path
    commit: str = ""

    def identity(self) -> str:
        """The content of the files, whatever they are called: `sha256:...`, computed once per process.

        In the cache, `repository@commit` and a hash of the names of the weight files that are there: a repository holds
        copies in several number formats, and the loader chooses among those.
        """
        if not self.commit:
            return f"sha256:{_digest(self.path)}"
        names = sorted(file.relative_to(self.path).as_posix() for file in self._weight_files())
        return f"{self.name}@{self.commit}+{hashlib.sha256(' '.join(names).encode()).hexdigest()[:12]}"

    def size(self) -> int:
        """Bytes of weights on disk, all copies of a repository together."""
        return sum(file.stat().st_size for file in self._weight_files())

    def _weight_files(self) -> list[Path]:
        files = [self.path] if self.path.is_file() else self.path.rglob("*")
        return [file for file in files if file.suffix in _WEIGHT_FILES and file.exists()]


def find_weights(kind: str, name: str) -> ModelFiles:
    """Find weights by the name that the settings give.

    Args:
        kind: `sam`, `clipseg` or `inpaint`.
        name: `miniature`, a SAM size, a path, or a Hub repository in the local Hugging Face cache.

    Raises:
        SetupError: they are not there; the line gives their size and the command that downloads them.
    """
    if name == "miniature":
        return ModelFiles(name, _existing(MINIATURE_WEIGHTS / _MINIATURE_FOLDERS[kind], "part of Darkroom"))
    if kind == "sam" and name in SAM_CHECKPOINTS:
        return ModelFiles(name, _sam_checkpoint(name))
    if kind == "sam" or _looks_like_path(name):
        names = ["miniature", *SAM_CHECKPOINTS] if kind == "sam" else ["miniature", "a Hub repository"]
        hint = f"models.{kind} takes a path, {' or '.join(names)}"
        return ModelFiles(name, _existing(Path(name).expanduser().absolute(), hint))
    return _in_cache(kind, name)


def weight_folders() -> list[Path]:
    """The folders in which downloaded checkpoints are looked for, in this order; some may not exist.

    `$DARKROOM_WEIGHTS`, `weights/` in the current folder, `weights/` in a checkout of Darkroom, the user's own folder.
    """
    folders = [Path("weights").absolute(), *([CHECKOUT / "weights"] if CHECKOUT else []), _user_folder()]
    return list(dict.fromkeys([*_folder_from_environment(), *folders]))


def cached_folder(repository: str, file: str) -> Path | None:
    """The repository's folder in the Hugging Face cache, or None if it lacks this top-level file."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file)
    return Path(found).parent if isinstance(found, str) else None


def download_command(repository: str, *patterns: str) -> str:
    """The shell command that downloads these files of a repository into the cache, or all that a model needs."""
    chosen = patterns or (*SMALL_FILES, _DOWNLOADS.get(repository, "*.safetensors"))
    return " ".join(["hf download", repository, *(f"--include '{pattern}'" for pattern in chosen)])


def not_cached(files: str, repository: str) -> SetupError:
    """The error for a repository that is not, or not completely, in the cache."""
    size = _SIZES.get(repository, "size unknown")
    command = download_command(repository)
    return SetupError(f"{repository}: {files} not in the Hugging Face cache; get them ({size}): {command}")


def _folder_from_environment() -> list[Path]:
    folder = os.environ.get("DARKROOM_WEIGHTS")
    return [Path(folder).expanduser().absolute()] if folder else []


def _user_folder() -> Path:
    return user_data_path("darkroom") / "weights"


def _sam_checkpoint(size: str) -> Path:
    name = SAM_CHECKPOINTS[size]
    folders = weight_folders()
    for folder in folders:
        if _exists(folder / name):
            return folder / name
    target = [*_folder_from_environment(), _user_folder()][0] / name
    command = f"curl -L --create-dirs -o {shlex.quote(str(target))} {_SAM_URL}/{name}"
    raise SetupError(f"{name}: not in {', '.join(map(str, folders))}; get it ({_SAM_SIZES[size]}): {command}")


def _in_cache(kind: str, repository: str) -> ModelFiles:
    if repository.count("/") != 1:
        raise SetupError(f"models.{kind}={repository}: neither a path that exists nor a Hub repository")
    folders = [folder for file in _TOP_FILES[kind] if (folder := cached_folder(repository, file))]
    if not folders:
        raise not_cached("weights", repository)
    return ModelFiles(repository, folders[0], commit=folders[0].name)


def _looks_like_path(name: str) -> bool:
    path = Path(name).expanduser()
    return path.is_absolute() or _exists(path) or name.startswith(".") or path.suffix == ".safetensors"


def _existing(path: Path, hint: str) -> Path:
    if not _exists(path):
        raise SetupError(f"{path}: no such weights ({hint})")
    return path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # such as a name of more than 255 characters
        return False


@lru_cache
def _digest(path: Path) -> str:
    """sha256 of a file, or of the names and digests of a folder's model files."""
    if path.is_file():
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    total = hashlib.sha256()
    for file in sorted(file for pattern in (*SMALL_FILES, "*.safetensors", "*.bin") for file in path.rglob(pattern)):
        total.update(f"{file.relative_to(path).as_posix()} {_digest(file)}\n".encode())
    return total.hexdigest()
