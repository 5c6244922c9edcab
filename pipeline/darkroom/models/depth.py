"""`DepthModel`: how near each part of a photo is, by a depth network of transformers, such as Depth Anything."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from darkroom.errors import PhotoError
from darkroom.models.side_by_side import Turns
from darkroom.models.transformers_folder import load_folder, prepared

_DISTANCES = ("zoedepth", "glpn", "depth_pro", "prompt_depth_anything")
"""Architectures (`model_type`) that give distances; all others give nearness, but for metric Depth Anything."""

_NEAREST = 0.1  # metres; what is nearer counts as this near, so that one wrong point does not darken the rest


class DepthModel:
    """A network that estimates depth from one picture.

    Args:
        network: a loaded network, on its device.
        processor: its image processor.
        turns: held while a thread computes.
    """

    def __init__(self, network: Any, processor: Any, turns: Turns | None = None) -> None:
        self._network = network
        self._turns = turns or nullcontext()
        self._processor = processor

    def map(self, image: np.ndarray) -> np.ndarray:
        """The depth of a photo, as depth ControlNets expect it.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            (H, W) uint8: 255 is the nearest point of the photo, 0 the farthest.

        Raises:
            PhotoError: the network returned NaN, or the photo is too long and thin for it.
        """
        import torch

        with self._turns, torch.inference_mode():
            inputs = prepared(self._processor, image).to(self._network.device)
            small = self._network(**inputs).predicted_depth[:, None].float()
            full = torch.nn.functional.interpolate(small, image.shape[:2], mode="bicubic", align_corners=False)
            values = full[0, 0].cpu().numpy()
        if not np.isfinite(values).all():
            raise PhotoError("the depth network returned NaN for this photo")
        if _gives_distances(self._network.config):  # ControlNets for depth were trained with inverse depth
            values = 1 / np.maximum(values, _NEAREST)
        spread = max(float(np.ptp(values)), 1e-6)  # a photo without depth is black
        nearness: np.ndarray = ((values - values.min()) / spread * 255).round().astype(np.uint8)
        return nearness


def load_depth(folder: Path, device: str, turns: Turns | None = None) -> DepthModel:
    """A depth network from a transformers folder with its image processor; for `turns` see `DepthModel`.

    Raises:
        SetupError: the folder is damaged or holds something else.
    """
    from transformers import AutoImageProcessor, AutoModelForDepthEstimation

    network, processor = load_folder(
        folder, "weights of a depth network", AutoModelForDepthEstimation, AutoImageProcessor
    )
    return DepthModel(network.to(device), processor, turns)


def _gives_distances(config: Any) -> bool:
    return config.model_type in _DISTANCES or getattr(config, "depth_estimation_type", None) == "metric"
