"""What does a picture show? Independent judges of the picture-book world, for tests and the evaluation."""

from functools import cache

import numpy as np
import torch

from .load import load_classifier
from .training.classifier import view
from .training.vae import to_tensor

_load = cache(load_classifier)


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
