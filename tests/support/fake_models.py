"""Models without weights that answer at once, for tests of runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from darkroom.errors import PhotoError
from darkroom.models import InpaintRequest


class Painter:
    """Stands in for the diffusion model: fills the part with the seed as grey, and fails where it is told to."""

    native, multiple = 64, 8

    def __init__(self, failing_seed: int | None, error: Exception, batch_size: int) -> None:
        self._failing_seed, self._error = failing_seed, error
        self.batch_size = batch_size
        self.calls: list[int] = []

    def inpaint(self, requests: Sequence[InpaintRequest]) -> list[np.ndarray]:
        self.calls.append(len(requests))
        if any(request.seed == self._failing_seed for request in requests):
            raise self._error
        return [np.full_like(request.image, request.seed) for request in requests]


class LeftHalf:
    """Stands in for CLIPSeg: sees everything in the left half. Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def heatmaps(self, image: np.ndarray, phrases: Sequence[str]) -> np.ndarray:
        self.asked += 1
        heat = np.zeros((len(phrases), *image.shape[:2]), np.float32)
        heat[:, :, : image.shape[1] // 2] = 1
        return heat


class Roomy:
    """Stands in for the checkpoint info of a model that reads every prompt to its end."""

    def truncated_text(self, text: str, encoder: int = 0) -> str:
        return ""


class FakeModels:
    """What the stages ask, without any weights."""

    checkpoint_info = Roomy()

    def __init__(self, failing_seed: int | None = None, error: Exception | None = None, batch_size: int = 2) -> None:
        self.diffusion = Painter(failing_seed, error or PhotoError("no picture"), batch_size)
        self.clipseg = LeftHalf()

    @property
    def batch_size(self) -> int:
        return self.diffusion.batch_size

    def identity(self, kind: str) -> dict:
        return {"of": kind, "batch_size": self.batch_size}

    def describe(self, kinds: Sequence[str]) -> dict:
        return {}

    def resolved_settings(self) -> dict:
        return {}

    def loaded(self) -> list[str]:
        return []
