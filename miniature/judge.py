"""Independent judges of what a picture shows, for tests and the evaluation."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from miniature.networks import build_classifier
from miniature.training.classifier import view
from miniature.training.vae import to_tensor

JUDGES = Path(__file__).parent / "judges"
"""Their weights, which only tests and the evaluation need."""


@cache
def _load(name: str) -> tuple[nn.Module, list[str]]:
    """A judge, and its classes in the order of its outputs."""
    classes = json.loads((JUDGES / f"{name}.json").read_text())
    net = build_classifier(len(classes))
    net.load_state_dict(load_file(JUDGES / f"{name}.safetensors"))
    return net.eval(), classes


@torch.no_grad()
def _chances(name: str, image: np.ndarray) -> dict[str, float]:
    net, classes = _load(name)
    return dict(zip(classes, net(to_tensor([image]).cpu()).softmax(1)[0].tolist(), strict=True))


def _most_likely(chances: dict[str, float]) -> str:
    return max(chances, key=chances.get)


def place_chances(image: np.ndarray) -> dict[str, float]:
    """The probability of every place of `world.PLACES` for a picture (HxWx3 uint8, any size); they add up to 1."""
    return _chances("place_classifier", view(image))


def classify_place(image: np.ndarray) -> str:
    """The most likely place of a picture (HxWx3 uint8, any size), a key of `world.PLACES`."""
    return _most_likely(place_chances(image))


def object_chances(image: np.ndarray, box: tuple[float, float, float, float]) -> dict[str, float]:
    """The probability of every kind of `world.KINDS`, and of "nothing", in `box` (x0, y0, x1, y1 in pixels)."""
    return _chances("object_classifier", view(image, box))


def classify_object(image: np.ndarray, box: tuple[float, float, float, float]) -> str:
    """The most likely content of `box` (x0, y0, x1, y1 in pixels): a key of `world.KINDS`, or "nothing"."""
    return _most_likely(object_chances(image, box))


def classify_colour(image: np.ndarray, box: tuple[float, float, float, float]) -> str:
    """The most likely colour of the object in `box`, a key of `world.PALETTE`."""
    return _most_likely(_chances("colour_classifier", view(image, box)))
