"""Where a model's weights lie on this machine, and what they are. Nothing is ever downloaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from darkroom.errors import SetupError
from darkroom.models.names import CLIPSEG, SAM_CHECKPOINTS, SD15, SDXL

SMALL_FILES = ("*.json", "*.txt")
"""The files of a repository that hold configuration and vocabulary."""

_ROOT = Path(__file__).resolve().parents[3]
_MINIATURES = Path(__file__).parent / "miniature" / "weights"
_FOLDERS = {"sam": "sam", "clipseg": "clipseg", "inpaint": "sdxl_inpaint"}
_SAM_URL = "https://dl.fbaipublicfiles.com/segment_anything"

_SAM_SIZES = {"vit_b": "375 MB", "vit_l": "1.2 GB", "vit_h": "2.6 GB"}
_SIZES = {CLIPSEG: "0.6 GB", SDXL: "7 GB", SD15: "2.7 GB"}
_WEIGHTS = {SDXL: "*.fp16.safetensors", SD15: "*.fp16.safetensors", CLIPSEG: "*.bin"}  # of the copies there, one
_WEIGHT_FILES = (".safetensors", ".bin", ".pth")
_TELLING = {"inpaint": ("model_index.json",), "clipseg": ("model.safetensors", "pytorch_model.bin")}


@dataclass(frozen=True)
class ModelFiles:
    """Weights on this machine.

    Attributes:
        name: as the user called them: `miniature`, `vit_b`, a repository, a path.
        path: the folder or file.
        commit: the Hub's commit; empty for what is not in the Hugging Face cache.
    """

    name: str
    path: Path
    commit: str = ""

    def identity(self) -> str:
        """What the weights are, whatever they are called: `sha256:...` of the files, read through once per process.

        Of what is in the cache, `repository@commit` and a hash of the names of the weights that are there: of several
        copies in other number formats one is chosen.
        """
        if not self.commit:
            return f"sha256:{_digest(self.path)}"
        names = sorted(file.relative_to(self.path).as_posix() for file in self._weights())
        return f"{self.name}@{self.commit}+{hashlib.sha256(' '.join(names).encode()).hexdigest()[:12]}"

    def size(self) -> int:
        """Bytes on the disk of the weights; of a repository's copies in several formats, all."""
        return sum(file.stat().st_size for file in self._weights())

    def _weights(self) -> list[Path]:
        files = [self.path] if self.path.is_file() else self.path.rglob("*")
        return [file for file in files if file.suffix in _WEIGHT_FILES and file.exists()]


def find_weights(kind: str, name: str) -> ModelFiles:
    """Find weights by the name that the settings give.

    Args:
        kind: `sam`, `clipseg` or `inpaint`.
        name: `miniature`, a SAM size, a path, or a Hub repository in the local Hugging Face cache.

    Raises:
        SetupError: they are not there; says their size and the command that gets them.
    """
    if name == "miniature":
        return ModelFiles(name, _existing(_MINIATURES / _FOLDERS[kind], "part of the repository"))
    if kind == "sam" and name in SAM_CHECKPOINTS:
        return ModelFiles(name, _sam_checkpoint(name))
    if kind == "sam" or _looks_like_path(name):
        names = ["miniature", *SAM_CHECKPOINTS] if kind == "sam" else ["miniature", "a Hub repository"]
        hint = f"models.{kind} takes a path, {' or '.join(names)}"
        return ModelFiles(name, _existing(Path(name).expanduser().absolute(), hint))
    return _in_cache(kind, name)


def cached_folder(repository: str, file: str) -> Path | None:
    """The repository's folder in the Hugging Face cache, if that top-level file of it is there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file)
    return Path(found).parent if isinstance(found, str) else None


def download_command(repository: str, *patterns: str) -> str:
    """The shell command that puts these files of a repository, or all it takes, into the cache."""
    chosen = patterns or (*SMALL_FILES, _WEIGHTS.get(repository, "*.safetensors"))
    return " ".join(["hf download", repository, *(f"--include '{pattern}'" for pattern in chosen)])


def missing(what: str, repository: str) -> SetupError:
    """The error for a repository that is not, or not wholly, in the cache."""
    size = _SIZES.get(repository, "size unknown")
    command = download_command(repository)
    return SetupError(f"{repository}: {what} not in the Hugging Face cache; get them ({size}): {command}")


def _sam_checkpoint(size: str) -> Path:
    file = _ROOT / "weights" / SAM_CHECKPOINTS[size]
    command = f"curl -L --create-dirs -o {file} {_SAM_URL}/{file.name}"
    return _existing(file, f"get it, {_SAM_SIZES[size]}: {command}")


def _in_cache(kind: str, repository: str) -> ModelFiles:
    if repository.count("/") != 1:
        raise SetupError(f"models.{kind}={repository}: neither a path that exists nor a Hub repository")
    folders = [folder for file in _TELLING[kind] if (folder := cached_folder(repository, file))]
    if not folders:
        raise missing("weights", repository)
    return ModelFiles(repository, folders[0], commit=folders[0].name)


def _looks_like_path(name: str) -> bool:
    path = Path(name).expanduser()
    return path.is_absolute() or path.exists() or name.startswith(".") or path.suffix == ".safetensors"


def _existing(path: Path, hint: str) -> Path:
    if not path.exists():
        raise SetupError(f"{path}: no such weights ({hint})")
    return path


@lru_cache
def _digest(path: Path) -> str:
    """sha256 of a file, or of the names and digests of a folder's model files."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    total = hashlib.sha256()
    for file in sorted(file for pattern in (*SMALL_FILES, "*.safetensors", "*.bin") for file in path.rglob(pattern)):
        total.update(f"{file.relative_to(path).as_posix()} {_digest(file)}\n".encode())
    return total.hexdigest()
