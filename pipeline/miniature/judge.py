"""What does a picture show? Independent judges of the picture-book world, for tests and the evaluation."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from .networks import build_classifier
from .training.classifier import view
from .training.vae import to_tensor

WEIGHTS = Path(__file__).parent / "weights"


@cache
def _load(name: str) -> tuple[nn.Module, list[str]]:
    """A judge and the classes in the order of its outputs."""
    classes = json.loads((WEIGHTS / "classifier" / f"{name}.json").read_text())
    net = build_classifier(len(classes))
    net.load_state_dict(load_file(WEIGHTS / "classifier" / f"{name}.safetensors"))
    return net.eval(), classes


@torch.no_grad()
def _judge(name: str, image: np.ndarray) -> str:
    net, classes = _load(name)
    return classes[int(net(to_tensor([image]).cpu()).argmax())]


def classify_place(image: np.ndarray) -> str:
    """The place, a key of ``world.PLACES``, that a picture (HxWx3 uint8, any size) shows."""
    return _judge("place_classifier", view(image))


def classify_object(image: np.ndarray, box: tuple[float, float, float, float]) -> str:
    """What stands in ``box`` (x0, y0, x1, y1 in pixels): a key of ``world.KINDS``, or "nothing"."""
    return _judge("object_classifier", view(image, box))
