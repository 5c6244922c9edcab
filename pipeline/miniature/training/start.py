"""Starts a leg of training from weights that were exported before."""

import hashlib
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from .loop import Task


def _state(path: Path) -> dict[str, Tensor]:
    return {name: weight.float() if weight.is_floating_point() else weight for name, weight in load_file(path).items()}


def _painter(folder: Path, task: Task) -> None:
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    task.net.unet.load_state_dict(_state(folder / "unet" / "diffusion_pytorch_model.safetensors"))
    first = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype="float32")
    second = CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2", dtype="float32")
    task.net.text_encoder.load_state_dict(first.state_dict())
    task.net.text_encoder_2.load_state_dict(second.state_dict())


def adopt(task: Task, weights: Path) -> None:
    """Puts the exported weights of a folder such as ``pipeline/miniature/weights`` into a fresh task."""
    painter = weights / "sdxl_inpaint"
    if task.name == "unet":
        _painter(painter, task)
    elif task.name == "vae":
        task.net.load_state_dict(_state(painter / "vae" / "diffusion_pytorch_model.safetensors"))
    elif task.name == "clipseg":
        task.net.clipseg.load_state_dict(_state(weights / "clipseg" / "model.safetensors"))
    elif task.name == "sam":
        task.net.load_state_dict(_state(weights / "sam" / "model.safetensors"))
    else:
        task.net.load_state_dict(_state(weights / "classifier" / f"{task.name}.safetensors"))


def fingerprint(weights: Path) -> str:
    """Twelve characters that tell these exported weights from any others."""
    digest = hashlib.sha256()
    for path in sorted(weights.rglob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
