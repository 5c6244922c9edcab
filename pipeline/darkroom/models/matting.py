"""Finds alpha in the band of a trimap: closed-form matting, or ViTMatte."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from darkroom.errors import PhotoError
from darkroom.models.side_by_side import Turns
from darkroom.models.transformers_folder import load_folder, prepared

if TYPE_CHECKING:
    from transformers import VitMatteForImageMatting, VitMatteImageProcessor

_UNKNOWN = 128


class ClosedForm:
    """Closed-form matting (Levin, Lischinski and Weiss, PAMI 2008), as `pymatting` solves it."""

    def alpha(self, image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
        """Alpha of a photo.

        Args:
            image: (h, w, 3) uint8 RGB.
            trimap: (h, w) uint8: 255 inside, 0 outside, 128 where alpha is to be found.

        Returns:
            (h, w) float32 in [0, 1].

        Raises:
            PhotoError: the trimap leaves nothing certain on one side.
        """
        from pymatting import estimate_alpha_cf

        if not (trimap == 0).any() or not (trimap == 255).any():
            raise PhotoError("the band leaves no certain subject or background: use a smaller `band`")
        known = np.where(trimap == _UNKNOWN, 0.5, trimap / 255)
        return np.asarray(estimate_alpha_cf(image / 255, known), np.float32)


class VitMatte:
    """ViTMatte (Yao et al., Information Fusion 2024, arXiv 2305.15272), in fp32.

    Args:
        network: a loaded network, on its device.
        processor: its image processor.
        turns: held while a thread computes.
    """

    def __init__(
        self, network: VitMatteForImageMatting, processor: VitMatteImageProcessor, turns: Turns | None = None
    ) -> None:
        self._network = network
        self._turns = turns or nullcontext()
        self._processor: Any = processor

    def alpha(self, image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
        """See `ClosedForm.alpha`."""
        import torch

        inputs = prepared(self._processor, image, trimaps=trimap)
        with self._turns, torch.inference_mode():
            alphas = self._network(pixel_values=inputs["pixel_values"].to(self._network.device)).alphas
        height, width = trimap.shape  # the processor pads to the right and at the bottom
        alpha: np.ndarray = alphas[0, 0, :height, :width].float().clamp(0, 1).cpu().numpy()
        return alpha


def load_vitmatte(folder: Path, device: str, turns: Turns | None = None) -> VitMatte:
    """Load a ViTMatte checkpoint. Raises `SetupError` if the folder is incomplete or holds something else.

    Args:
        folder: weights, configuration and `preprocessor_config.json`.
        device: `cpu`, `cuda`, `cuda:1` or `mps`.
        turns: see `VitMatte`.
    """
    from transformers import VitMatteForImageMatting, VitMatteImageProcessor

    network, processor = load_folder(folder, "ViTMatte weights", VitMatteForImageMatting, VitMatteImageProcessor)
    return VitMatte(network.to(device), processor, turns)
