"""Models without weights that answer at once. The stages and the runner call them as they call the true ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from darkroom.errors import PhotoError
from darkroom.imaging.edit import Edit
from darkroom.models import InpaintRequest
from darkroom.models.interfaces import Segments
from darkroom.models.painter_families import STABLE_DIFFUSION
from darkroom.models.request import DiffEditMaskRequest, DiffEditRequest


class FlatDiffusion:
    """A diffusion model that fills the whole crop with one grey, the seed.

    `calls` counts the requests of every call.

    Args:
        failing_seed: a call with a request of this seed raises `error`.
        error: by default an error of that photo.
    """

    native, multiple = 64, 8

    def __init__(self, failing_seed: int | None = None, error: Exception | None = None, batch_size: int = 1) -> None:
        self._failing_seed, self._error = failing_seed, error or PhotoError("no picture")
        self.batch_size = batch_size
        self.calls: list[int] = []

    def inpaint(self, requests: Sequence[InpaintRequest]) -> list[np.ndarray]:
        self.calls.append(len(requests))
        if any(request.seed == self._failing_seed for request in requests):
            raise self._error
        return [np.full_like(request.image, request.seed) for request in requests]


class NoiseDiffusion:
    """A diffusion model that paints noise over the *whole* crop, so that pixels pasted outside the mask show.

    The noise depends on the seed alone. It asserts what a true pipeline would refuse, and keeps the requests of every
    call in `calls`. Its noise predictions for two texts differ where the picture is red.
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
    """A SAM that finds three discs around the first click or the middle of the box, and scores the second highest."""

    radii = (4, 8, 16)
    scores = np.array([0.5, 0.9, 0.7])

    def __init__(self) -> None:
        self.calls: list[tuple[list, list, list | None]] = []

    def masks(self, image, points, labels, box, is_crop=False):
        self.calls.append((points.tolist(), labels.tolist(), None if box is None else box.tolist()))
        x, y = points[0] if len(points) else ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
        distance = np.hypot(rows - y, columns - x)
        return np.stack([distance <= radius for radius in self.radii]), self.scores


class ColourSam:
    """A SAM for photos of flat colours: the object has the colour at the click or at the middle of the box.

    It also offers the object's upper half and the whole photo, with low scores. Its coarse grid takes the upper left
    pixel of every 4 x 4 block.
    """

    def masks(self, image, points, labels, box, is_crop=False):
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


class LeftHalf:
    """A CLIPSeg that finds every phrase in the left half of the photo. `calls` counts how often it is called."""

    def __init__(self) -> None:
        self.calls = 0

    def heatmaps(self, image: np.ndarray, phrases: Sequence[str]) -> np.ndarray:
        self.calls += 1
        heat = np.zeros((len(phrases), *image.shape[:2]), np.float32)
        heat[:, :, : image.shape[1] // 2] = 1
        return heat


class StripeHeat:
    """A CLIPSeg that finds a phrase in the columns that it names: `"2-5:0.8"` is 0.8 in columns 2 to 4."""

    def heatmaps(self, image, phrases):
        heats = np.zeros((len(phrases), *image.shape[:2]), np.float32)
        for heat, phrase in zip(heats, phrases, strict=True):
            columns, value = phrase.split(":")
            start, stop = map(int, columns.split("-"))
            heat[:, start:stop] = float(value)
        return heats


class EndlessPrompts:
    """The checkpoint info of a model that takes every parameter, and reads every prompt to its end."""

    family = STABLE_DIFFUSION

    def unsupported(self, parameters: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        return ()

    def truncated_text(self, text: str, encoder: int = 0) -> str:
        return ""


class FakeModels:
    """Everything that stages, runner and session ask of `Models`.

    Args:
        weights: any text; another text stands for other weights.
    """

    checkpoint_info = EndlessPrompts()
    rough_subject: str | None = None
    find: Any = None
    matting = None
    matting_needs_model = False
    workers = 1
    upscale: Any = None
    lama: Any = None

    def __init__(
        self, weights: str = "one", diffusion: Any = None, clipseg: Any = None, sam: Any = None, subject: Any = None
    ) -> None:
        self.weights = weights
        self.subject = subject
        self.diffusion = diffusion or FlatDiffusion()
        self.clipseg = clipseg or LeftHalf()
        self.sam = sam or ThreeDiscs()

    @property
    def batch_size(self) -> int:
        return self.diffusion.batch_size

    def phrase_problem(self, phrase: str) -> str | None:
        return None

    def summary(self, kinds: Iterable[str], loras: Iterable[str] = ()) -> str:
        return "models that are not there"

    def identity(self, kind: str) -> dict[str, Any]:
        return {"of": kind, "batch_size": self.batch_size, "weights": self.weights}

    def require(self, kinds: Iterable[str]) -> None:
        pass

    def describe(self, kinds: Iterable[str], loras: Iterable[str] = ()) -> dict[str, Any]:
        return {"device": "cpu", "weights": {kind: self.identity(kind) for kind in kinds}}

    def resolved_settings(self) -> dict[str, Any]:
        return {"device": "cpu"}

    def loaded(self) -> list[str]:
        return []

    def bytes_of(self, kinds: Sequence[str]) -> int:
        return 5_000_000 * len(kinds)


def stage_models(native: int = 64, sam: Any = None) -> FakeModels:
    """Models for tests of single stages: noise painted at `native` px, heat in named columns."""
    return FakeModels(diffusion=NoiseDiffusion(native), clipseg=StripeHeat(), sam=sam)


def edit_of(height: int, width: int, mask: np.ndarray | None = None, seed: int = 0, **more) -> Edit:
    """An edit of a photo of noise: a painted pixel hardly ever equals the pixel of the photo."""
    photo = np.random.default_rng(1000 + seed).integers(0, 256, (height, width, 3), np.uint8)
    edit = Edit(photo, photo, **more)
    return edit if mask is None else edit.with_mask(mask)
