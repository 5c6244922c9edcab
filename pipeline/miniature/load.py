"""Loads the miniature models, in float32 and ready for use."""

import json
from pathlib import Path

from torch import nn

WEIGHTS = Path(__file__).parent / "weights"


def load_sam(folder: Path = WEIGHTS / "sam"):
    """The miniature ``Sam``, for ``segment_anything.SamPredictor``."""
    from safetensors.torch import load_file

    from .networks import build_sam

    sam = build_sam(json.loads((folder / "config.json").read_text()))
    sam.load_state_dict(load_file(folder / "model.safetensors"))
    return sam.eval()


def load_clipseg(folder: Path = WEIGHTS / "clipseg"):
    """The miniature ``CLIPSegProcessor`` and ``CLIPSegForImageSegmentation``."""
    from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

    return CLIPSegProcessor.from_pretrained(folder), CLIPSegForImageSegmentation.from_pretrained(folder).eval()


def load_inpainter(folder: Path = WEIGHTS / "sdxl_inpaint"):
    """The miniature ``StableDiffusionXLInpaintPipeline``; best at pictures of about 128x128 pixels."""
    import torch
    from diffusers import StableDiffusionXLInpaintPipeline

    pipeline = StableDiffusionXLInpaintPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def load_classifier(name: str, folder: Path = WEIGHTS / "classifier") -> tuple[nn.Module, list[str]]:
    """A judge, ``place_classifier`` or ``object_classifier``, and the classes in the order of its outputs."""
    from safetensors.torch import load_file

    from .networks import build_classifier

    classes = json.loads((folder / f"{name}.json").read_text())
    net = build_classifier(len(classes))
    net.load_state_dict(load_file(folder / f"{name}.safetensors"))
    return net.eval(), classes
