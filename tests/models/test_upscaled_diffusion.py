"""A model that knows small pictures only paints large ones at its own size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from darkroom.models import InpaintRequest
from darkroom.models.miniature.upscaled_diffusion import UpscaledDiffusion
from support.tiny_models import request_of


class Small:
    """Paints what is masked white, the rest as it is, and notes the sizes it was asked for."""

    native, multiple, batch_size = 64, 8, 1

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []

    def inpaint(self, requests: Sequence[InpaintRequest]) -> list[np.ndarray]:
        self.asked += [request.mask.shape for request in requests]
        return [np.where(request.mask[..., None], 255, request.image).astype(np.uint8) for request in requests]


def test_large_requests_are_painted_small_and_given_back_large() -> None:
    small = Small()
    mask = np.zeros((256, 512), bool)
    mask[7, 300] = True  # one pixel must not get lost
    large = replace(request_of(), image=np.zeros((256, 512, 3), np.uint8), mask=mask)
    own = replace(request_of(), image=np.zeros((64, 72, 3), np.uint8), mask=np.ones((64, 72), bool))
    first, second = UpscaledDiffusion(small).inpaint([large, own])
    assert small.asked == [(48, 88), (64, 72)]  # about 64 x 64 in area, the shape kept, multiples of 8
    assert first.shape == (256, 512, 3) and second.shape == (64, 72, 3)
    row, column, _ = np.unravel_index(first.argmax(), first.shape)
    assert abs(row - 7) < 6 and abs(column - 300) < 6 and (second == 255).all()
