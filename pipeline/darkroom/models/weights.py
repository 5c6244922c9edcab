"""Finds the files of a model on this machine, and identifies them. Nothing is ever downloaded."""

from __future__ import annotations

import hashlib
import os
import shlex
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from platformdirs import user_data_path

from darkroom.errors import SetupError, suggest
from darkroom.models.names import (
    BY_CLIPSEG,
    CLIPSEG,
    CLOSED_FORM,
    CONTROLS,
    DEPTH,
    FLUX1_FILL,
    GUIDED,
    KLEIN,
    LAMA,
    LANCZOS,
    QWEN_IMAGE_EDIT,
    SAM_CHECKPOINTS,
    SD3,
    SD15,
    SDXL,
    VITMATTE,
    Z_IMAGE,
)
from darkroom.models.subject_networks import GRABCUT, NETWORKS, RELEASES, SMALLEST
from darkroom.resources import CHECKOUT, install_command

SMALL_FILES = ("*.json", "*.txt")
"""The files of a repository that hold configuration and vocabulary."""

_CHAT_TEMPLATES = "*.jinja"  # how a language model's prompt is wrapped

MINIATURE_WEIGHTS = Path(__file__).parent / "miniature" / "weights"
"""A folder for each miniature model, part of the package."""

_MINIATURE_FOLDERS = {"sam": "sam", "clipseg": "clipseg", "inpaint": "sdxl_inpaint", CONTROLS: "outlines"}
_SAM_URL = "https://dl.fbaipublicfiles.com/segment_anything"

_SAM_SIZES = {"vit_b": "375 MB", "vit_l": "1.2 GB", "vit_h": "2.6 GB"}
_SIZES = {
    CLIPSEG: "0.6 GB",
    VITMATTE: "103 MB",
    DEPTH: "99 MB",
    SDXL: "7 GB",
    SD15: "2.7 GB",
    KLEIN: "about 16 GB",
    Z_IMAGE: "about 33 GB",
    QWEN_IMAGE_EDIT: "about 58 GB",
    FLUX1_FILL: "about 34 GB",
    SD3: "about 16 GB",
}
# Repositories hold several copies of the weights; this is the one to download.
_IN_FOLDERS = (_CHAT_TEMPLATES, "*/*.safetensors")  # the file at the top holds the same network for other programs
# A folder `text_encoders` holds the same ones for other programs.
_WITH_CLIP_AND_T5 = tuple(f"{part}/*.safetensors" for part in ("transformer", "vae", "text_encoder", "text_encoder_?"))
_DOWNLOADS = {
    SDXL: ("*.fp16.safetensors",),
    SD15: ("*.fp16.safetensors",),
    CLIPSEG: ("*.bin",),
    KLEIN: _IN_FOLDERS,
    Z_IMAGE: _IN_FOLDERS,
    QWEN_IMAGE_EDIT: _IN_FOLDERS,
    FLUX1_FILL: _IN_FOLDERS,
    SD3: _WITH_CLIP_AND_T5,
}
_WEIGHT_FILES = (".safetensors", ".bin", ".pth", ".onnx")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_TOP_FILES = {
    "sam": _WEIGHTS,
    "inpaint": ("model_index.json",),
    "clipseg": _WEIGHTS,
    "matting": _WEIGHTS,
    "depth": _WEIGHTS,
    CONTROLS: ("config.json",),
    "find": _WEIGHTS,
}


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


@dataclass(frozen=True)
class NoFiles(ModelFiles):
    """A method that needs no files, such as `grabcut`; it is identified by its name."""

    path: Path = field(default=Path(), init=False)

    def identity(self) -> str:
        """See `ModelFiles.identity`."""
        return self.name

    def size(self) -> int:
        """See `ModelFiles.size`."""
        return 0


def find_weights(kind: str, name: str) -> ModelFiles:
    """Find weights by the name that the settings give.

    Args:
        kind: `sam`, `clipseg`, `inpaint`, `subject`, `matting`, `upscale`, `lama`, `depth`, `find`, or
            `controls.NAME` for a control model.
        name: `miniature`, a SAM size, `grabcut`, a network of `rembg`, `guided`, `closed_form`, `lanczos`, `big-lama`,
            a path, or a Hub repository in the local Hugging Face cache.

    Raises:
        SetupError: they are not there; the line gives their size and the command that downloads them.
    """
    if kind == "subject":
        return _subject(name)
    if kind == "matting":
        return _matting(name)
    if name == BY_CLIPSEG and kind == "find":
        return NoFiles(name)
    if kind in ("upscale", "lama"):
        return _image_network(kind, name)
    group = kind.partition(".")[0]
    if name == "miniature":
        return ModelFiles(name, _existing(MINIATURE_WEIGHTS / _MINIATURE_FOLDERS[group], "part of Darkroom"))
    if kind == "sam" and name in SAM_CHECKPOINTS:
        return ModelFiles(name, _sam_checkpoint(name))
    if _looks_like_path(name) or (kind == "sam" and "/" not in name):
        names = ["miniature", *(SAM_CHECKPOINTS if kind == "sam" else ()), "a Hub repository"]
        hint = f"models.{kind} takes a path, {' or '.join(names)}"
        return ModelFiles(name, _existing(Path(name).expanduser().absolute(), hint))
    return _in_cache(kind, name)


def subject_commands() -> list[str]:
    """The commands that get what the smallest network for `subject` needs here; empty if everything is there."""
    commands = [] if find_spec("onnxruntime") else [install_command("subject")]
    name = f"{SMALLEST}.onnx"
    if not _first(name, [*weight_folders(), *_rembg_folders(SMALLEST)]):
        commands.append(_command_for_subject(SMALLEST))
    return commands


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
    chosen = patterns or (*SMALL_FILES, *_DOWNLOADS.get(repository, ("*.safetensors",)))
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
    return _downloaded(name, weight_folders(), _SAM_SIZES[size], _curl(name, f"{_SAM_URL}/{name}"))


def _subject(name: str) -> ModelFiles:
    if name == GRABCUT:
        return NoFiles(name)
    if not find_spec("onnxruntime"):
        raise SetupError(f"models.subject={name}: needs onnxruntime: {install_command('subject')}")
    if name in NETWORKS:
        folders = [*weight_folders(), *_rembg_folders(name)]
        return ModelFiles(name, _downloaded(f"{name}.onnx", folders, NETWORKS[name].size, _command_for_subject(name)))
    path = Path(name).expanduser().absolute()
    if not _is_file(path):
        names = suggest(name, [GRABCUT, *NETWORKS])
        raise SetupError(f"models.subject={name}: neither a network's name nor an ONNX file; {names}")
    return ModelFiles(name, path)


def _matting(name: str) -> ModelFiles:
    if name == CLOSED_FORM and not find_spec("pymatting"):
        raise SetupError(f"models.matting={name}: needs pymatting: {install_command('matting')}")
    if name in (GUIDED, CLOSED_FORM):
        return NoFiles(name)
    if _looks_like_path(name):
        hint = f"models.matting takes {GUIDED}, {CLOSED_FORM}, a Hub repository or a folder"
        return ModelFiles(name, _existing(Path(name).expanduser().absolute(), hint))
    return _in_cache("matting", name)


def _image_network(kind: str, name: str) -> ModelFiles:
    if name == LANCZOS and kind == "upscale":
        return NoFiles(name)
    if not find_spec("spandrel"):
        raise SetupError(f"models.{kind}={name}: needs spandrel: {install_command('upscale')}")
    if name == LAMA and kind == "lama":
        file = f"{LAMA}.safetensors"
        return ModelFiles(name, _downloaded(file, weight_folders(), "204 MB", "see `erase` in docs/models.md"))
    path = Path(name).expanduser().absolute()
    if not _is_file(path):
        names = {"upscale": LANCZOS, "lama": LAMA}[kind]
        raise SetupError(f"models.{kind}={name}: no such file; models.{kind} takes {names} or a path")
    return ModelFiles(name, path)


def _command_for_subject(name: str) -> str:
    if CHECKOUT and name == SMALLEST:
        return "make weights"
    return _curl(f"{name}.onnx", f"{RELEASES}/{NETWORKS[name].file}")


def _rembg_folders(name: str) -> list[Path]:
    """The folders where `rembg` 2.0.86 and its older releases keep a network."""
    chosen, data = os.environ.get("U2NET_HOME"), os.environ.get("XDG_DATA_HOME")
    home = chosen or os.environ.get("REMBG_HOME") or (f"{data}/rembg" if data else "~/.rembg")
    older = chosen or f"{data or '~'}/.u2net"
    return [Path(home).expanduser().absolute() / "models" / name, Path(older).expanduser().absolute()]


def _downloaded(name: str, folders: list[Path], size: str, command: str) -> Path:
    """A file that people download, in the first of these folders that has it."""
    found = _first(name, folders)
    if not found:
        raise SetupError(f"{name}: not in {', '.join(map(str, folders))}; get it ({size}): {command}")
    return found


def _first(name: str, folders: list[Path]) -> Path | None:
    return next((folder / name for folder in folders if _is_file(folder / name)), None)


def _curl(name: str, url: str) -> str:
    """The command that downloads a file into the chosen folder for weights, or else into the user's own."""
    target = [*_folder_from_environment(), _user_folder()][0] / name
    return f"curl -L --create-dirs -o {shlex.quote(str(target))} {url}"


def _in_cache(kind: str, repository: str) -> ModelFiles:
    if repository.count("/") != 1:
        raise SetupError(f"models.{kind}={repository}: neither a path that exists nor a Hub repository")
    folders = [folder for file in _TOP_FILES[kind.partition(".")[0]] if (folder := cached_folder(repository, file))]
    if not folders:
        raise not_cached("weights", repository)
    return ModelFiles(repository, folders[0], commit=folders[0].name)


def _looks_like_path(name: str) -> bool:
    path = Path(name).expanduser()
    return path.is_absolute() or _exists(path) or name.startswith(".") or path.suffix in (".safetensors", ".pth")


def _existing(path: Path, hint: str) -> Path:
    if not _exists(path):
        raise SetupError(f"{path}: no such weights ({hint})")
    return path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # such as a name of more than 255 characters
        return False


def _is_file(path: Path) -> bool:
    return _exists(path) and path.is_file()


@lru_cache
def _digest(path: Path) -> str:
    """sha256 of a file, or of the names and digests of a folder's model files."""
    if path.is_file():
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    total = hashlib.sha256()
    for file in sorted(
        file for pattern in (*SMALL_FILES, _CHAT_TEMPLATES, "*.safetensors", "*.bin") for file in path.rglob(pattern)
    ):
        total.update(f"{file.relative_to(path).as_posix()} {_digest(file)}\n".encode())
    return total.hexdigest()
