"""The files of an IP-Adapter, and whether it fits the painter: before a run, without loading weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkroom.errors import SetupError
from darkroom.models.load_errors import as_setup_error
from darkroom.models.weights import ModelFiles

if TYPE_CHECKING:
    from darkroom.models.checkpoint_info import CheckpointInfo


@dataclass(frozen=True)
class ReferenceFiles(ModelFiles):
    """An IP-Adapter, one `.safetensors` file, with the folder of its image encoder."""

    encoder: Path = Path()

    def identity(self) -> str:
        """See `ModelFiles.identity`."""
        if self.commit:
            return f"{self.name}@{self.commit}"
        return f"{super().identity()}+{ModelFiles(self.name, self.encoder).identity()}"

    def size(self) -> int:
        """See `ModelFiles.size`."""
        return super().size() + ModelFiles(self.name, self.encoder).size()


def find_reference(name: str) -> ReferenceFiles:
    """The files of an IP-Adapter.

    Args:
        name: the path of a `.safetensors` file, or a Hub repository and the file's path in it, as in
            `h94/IP-Adapter/sdxl_models/ip-adapter_sdxl.safetensors`. The image encoder is the folder `image_encoder`
            beside it; adapters of a repository for the encoder ViT-H, with `vit-h` in their name, take
            `models/image_encoder` (as h94/IP-Adapter is laid out).

    Raises:
        SetupError: they are not there.
    """
    file, commit = Path(name).expanduser().absolute(), ""
    if not _exists(file):
        file, commit = _cached(name)
    folders = [file.parent / "image_encoder", file.parent.parent / "models" / "image_encoder"]
    if "vit-h" in file.name:
        folders.reverse()
    for folder in folders:
        if (folder / "config.json").is_file():
            return ReferenceFiles(name, file, commit, folder)
    raise SetupError(f"models.reference={name}: its image encoder is missing: no {folders[0]}")


def reference_problem(files: ReferenceFiles, painter: CheckpointInfo) -> str | None:
    """Why an IP-Adapter cannot work with a painter; None if it can.

    Raises:
        SetupError: a file cannot be read.
    """
    with as_setup_error(files.path, "an IP-Adapter"):  # tensors of the wrong shape
        return _problem(files, painter)


def _problem(files: ReferenceFiles, painter: CheckpointInfo) -> str | None:
    shapes = _shapes(files.path)
    keys = [key for key in shapes if key.startswith("ip_adapter.") and key.endswith("to_k_ip.weight")]
    if not keys or not any(key.startswith("image_proj.") for key in shapes):
        return "is no IP-Adapter: it lacks image_proj or ip_adapter"
    if _is_face(shapes):
        return "is made for faces, whose features Darkroom does not compute"
    width, expected = shapes[keys[0]][1], painter.config("unet").get("cross_attention_dim")
    if width != expected:
        return f"is made for another base model: {width} features of the text, but the painter has {expected}"
    encoder = _encoder_config(files.encoder)
    first = shapes.get("image_proj.proj.weight") or shapes.get("image_proj.proj_in.weight")
    plus = "image_proj.proj.weight" not in shapes
    features = encoder.get("hidden_size" if plus else "projection_dim")
    if first and first[1] != features:
        return f"is made for another image encoder: {first[1]} features, but {files.encoder} has {features}"
    return None


def _is_face(shapes: dict[str, list[int]]) -> bool:
    """Whether it is a FaceID adapter, by the layers of its projection."""
    alone = "image_proj.proj.0.weight" in shapes and "image_proj.proj.3.weight" not in shapes
    return alone or any("perceiver_resampler" in key for key in shapes)


def _shapes(file: Path) -> dict[str, list[int]]:
    from safetensors import safe_open

    with as_setup_error(file, "an IP-Adapter (safetensors)"), safe_open(file, framework="np") as content:
        return {key: content.get_slice(key).get_shape() for key in content.keys()}  # noqa: SIM118  # no dict


def _encoder_config(folder: Path) -> dict[str, Any]:
    with as_setup_error(folder, "an image encoder"):
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise SetupError(f"{folder}: config.json is no mapping")
    return content


def _cached(name: str) -> tuple[Path, str]:
    from huggingface_hub import try_to_load_from_cache

    parts = name.split("/")
    if len(parts) < 3 or not name.endswith(".safetensors"):
        raise SetupError(
            f"models.reference={name}: neither a file that exists nor OWNER/REPOSITORY/PATH.safetensors of a repository"
        )
    repository, file = "/".join(parts[:2]), "/".join(parts[2:])
    found = try_to_load_from_cache(repository, file)
    if not isinstance(found, str):
        encoder = "models" if "vit-h" in file else str(Path(file).parent)
        raise SetupError(
            f"{name}: not in the Hugging Face cache; get it (with its image encoder, 2.5 to 3.7 GB): hf download "
            f"{repository} --include '{file}' --include '{encoder}/image_encoder/*.json' "
            f"--include '{encoder}/image_encoder/*.safetensors'"
        )
    path = Path(found)
    return path, path.parents[len(parts) - 3].name


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False
