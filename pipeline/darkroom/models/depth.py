"""`DepthModel`: how near each part of a photo is, by a depth network of transformers, such as Depth Anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from darkroom.errors import PhotoError
from darkroom.models.transformers_folder import load_folder


class DepthModel:
    """A network that estimates depth from one picture.

    Args:
        network: a loaded network, on its device.
        processor: its image processor.
    """

    def __init__(self, network: Any, processor: Any) -> None:
        self._network = network
        self._processor = processor

    def map(self, image: np.ndarray) -> np.ndarray:
        """The depth of a photo, as depth ControlNets expect it.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            (H, W) uint8: 255 is the nearest point of the photo, 0 the farthest.

        Raises:
            PhotoError: the network returned NaN.
        """
        import torch

        inputs = self._processor(images=image, return_tensors="pt").to(self._network.device)
        with torch.inference_mode():
            small = self._network(**inputs).predicted_depth[:, None].float()
            full = torch.nn.functional.interpolate(small, image.shape[:2], mode="bicubic", align_corners=False)
        values = full[0, 0].cpu().numpy()
        if not np.isfinite(values).all():
            raise PhotoError("the depth network returned NaN for this photo")
        spread = max(float(np.ptp(values)), 1e-6)  # a photo without depth is black
        nearness: np.ndarray = ((values - values.min()) / spread * 255).round().astype(np.uint8)
        return nearness


def load_depth(folder: Path, device: str) -> DepthModel:
    """A depth network from a transformers folder with its image processor.

    Raises:
        SetupError: the folder is damaged or holds something else.
    """
    from transformers import AutoImageProcessor, AutoModelForDepthEstimation

    network, processor = load_folder(
        folder, "weights of a depth network", AutoModelForDepthEstimation, AutoImageProcessor
    )
    return DepthModel(network.to(device), processor)
