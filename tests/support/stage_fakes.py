"""Small real models that answer at once; the stages call them as they call the true ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from darkroom.imaging.edit import Edit
from darkroom.models import InpaintRequest
from darkroom.models.request import DiffEditMaskRequest, DiffEditRequest
from darkroom.models.sam import Segments


class NoiseDiffusion:
    """Paints noise by the seed over the *whole* picture, so that a paste that lets any of it out shows.

    Checks what a true pipeline would refuse, and keeps the requests of every call in `calls`. Two texts differ for it
    where the picture is red.
    """

    def __init__(self, native: int = 64, multiple: int = 8) -> None:
        self.native = native
        self.multiple = multiple
        self.calls: list[list[InpaintRequest | DiffEditMaskRequest | DiffEditRequest]] = []

    def diffedit_map(self, request: DiffEditMaskRequest) -> np.ndarray:
        self.calls.append([request])
        height, width = request.image.shape[:2]
        assert height % self.multiple == width % self.multiple == 0
        red = request.image[..., 0].reshape(height // 8, 8, width // 8, 8).mean(axis=(1, 3))
        return (red / 1000).astype(np.float32)

    def diffedit(self, requests: Sequence[DiffEditRequest]) -> list[np.ndarray]:
        self.calls.append(list(requests))
        return [self._paint(request, seed=len(request.query)) for request in requests]

    def inpaint(self, requests: Sequence[InpaintRequest]) -> list[np.ndarray]:
        self.calls.append(list(requests))
        for request in requests:
            assert request.change_map is None or np.array_equal(request.change_map > 0, request.mask)
        return [self._paint(request, request.seed) for request in requests]

    def _paint(self, request: InpaintRequest | DiffEditRequest, seed: int) -> np.ndarray:
        height, width = request.mask.shape
        assert request.image.shape == (height, width, 3) and request.image.dtype == np.uint8
        assert request.mask.dtype == bool and request.mask.any()
        assert height % self.multiple == width % self.multiple == 0
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


class ThreeDiscs:
    """A SAM that finds three discs around the first click or the box's middle, and trusts the second most."""

    radii = (4, 8, 16)
    scores = np.array([0.5, 0.9, 0.7])

    def __init__(self) -> None:
        self.calls: list[tuple[list, list, list | None]] = []

    def masks(self, image, points, labels, box):
        self.calls.append((points.tolist(), labels.tolist(), None if box is None else box.tolist()))
        x, y = points[0] if len(points) else ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
        distance = np.hypot(rows - y, columns - x)
        return np.stack([distance <= radius for radius in self.radii]), self.scores


class Sheet:
    """A SAM for a photo of flat colours: what a click or a box's middle falls on is the thing, and all of that colour.

    Beside the thing it offers its upper half and the whole photo, and trusts neither. On its coarse grid a pixel is a
    block of 4 x 4 pixels, shown by its upper left one.
    """

    def masks(self, image, points, labels, box):
        x, y = points[0] if len(points) else ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        thing = (image == image[int(y), int(x)]).all(axis=2)
        upper = thing & (np.cumsum(thing.any(axis=1)) <= thing.any(axis=1).sum() / 2)[:, None]
        return np.stack([upper, thing, np.ones_like(thing)]), np.array([0.5, 0.9, 0.4])

    def segment_everything(self, image, grid):
        height, width = image.shape[:2]
        ticks = (np.arange(grid) + 0.5) / grid
        clicks = [(x * width, y * height) for y in ticks for x in ticks]
        found = [self.masks(image, np.array([click]), None, None) for click in clicks]
        masks = np.concatenate([masks[:, ::4, ::4] for masks, _ in found])
        scores = np.concatenate([scores for _, scores in found])
        return Segments(masks, np.repeat(clicks, 3, axis=0), scores, np.ones(len(scores)))


class StripeHeat:
    """A CLIPSeg for which each phrase is hot in columns of its own: `"2-5:0.8"` is 0.8 in columns 2 to 4."""

    def heatmaps(self, image, phrases):
        heats = np.zeros((len(phrases), *image.shape[:2]), np.float32)
        for heat, phrase in zip(heats, phrases, strict=True):
            columns, value = phrase.split(":")
            start, stop = map(int, columns.split("-"))
            heat[:, start:stop] = float(value)
        return heats


class FakeModels:
    """What stages are given as `models`."""

    def __init__(self, native: int = 64, sam=None) -> None:
        self.sam = sam or ThreeDiscs()
        self.clipseg = StripeHeat()
        self.diffusion = NoiseDiffusion(native)


def edit_of(height: int, width: int, mask: np.ndarray | None = None, seed: int = 0, **more) -> Edit:
    """An edit of a photo of noise, in which every untouched pixel can be told from a painted one."""
    photo = np.random.default_rng(1000 + seed).integers(0, 256, (height, width, 3), np.uint8)
    edit = Edit(photo, photo, **more)
    return edit if mask is None else edit.with_mask(mask)
