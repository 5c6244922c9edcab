"""The interfaces of the models that stages may use, for the type checker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from darkroom.models.request import DiffEditMaskRequest, DiffEditRequest, InpaintRequest


class LazyMasks(Sequence[np.ndarray]):
    """Masks that are made each time they are asked for: of three of a large photo, two are mostly not needed.

    Args:
        make: makes one, (H, W) bool, from its number.
        count: how many there are.
    """

    def __init__(self, make: Callable[[int], np.ndarray], count: int) -> None:
        self._make = make
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        return self._make(range(self._count)[number])


class Segments(NamedTuple):
    """The N masks that SAM proposes for a photo; many of them show the same object.

    Attributes:
        masks: (N, h, w) bool at the size of SAM's decoder; the longer side has 256 px in the published models.
        clicks: (N, 2) float, the click that produced each mask, x and y in pixels of the photo.
        scores: (N,) float32, SAM's own estimates of their IoU, about 0 to 1.
        stability: (N,) float32 in [0, 1], the IoU of the masks at a slightly higher and a slightly lower threshold.
    """

    masks: np.ndarray
    clicks: np.ndarray
    scores: np.ndarray
    stability: np.ndarray


class Instances(NamedTuple):
    """The N objects that a phrase names in a photo, the best score first.

    Attributes:
        scores: (N,) float32 in [0, 1], how sure the model is.
        areas: (N,) float32, about the share of the photo that each covers.
        usual: the score from which the model's authors, or we, take an object for real.
        mask: makes the mask of an object, (H, W) bool, from its place among them; one at a time, since those of a large
            photo take gigabytes together.
    """

    scores: np.ndarray
    areas: np.ndarray
    usual: float
    mask: Callable[[int], np.ndarray]

    def at_least(self, score: float | None, most: int) -> Instances:
        """Those with at least this score, or the usual one, at most so many."""
        count = min(int((self.scores >= (self.usual if score is None else score)).sum()), most)
        return self._replace(scores=self.scores[:count], areas=self.areas[:count])

    def within(self, low: float, high: float) -> Instances:
        """Those whose area is in this range."""
        kept = np.flatnonzero((self.areas >= low) & (self.areas <= high))
        return self._replace(
            scores=self.scores[kept], areas=self.areas[kept], mask=lambda number: self.mask(int(kept[number]))
        )


class FindModel(Protocol):
    """Finds the objects that phrases name: `finders.Sam3` or `detectors.Detector`."""

    def __call__(self, image: np.ndarray, phrases: Sequence[str]) -> Instances:
        """The objects of all phrases together.

        Args:
            image: (H, W, 3) uint8 RGB.
            phrases: such as `a car`.
        """


class SamModel(Protocol):
    """Segment Anything: `sam.Sam`, `sam2.Sam2`, or a wrapper around one."""

    def embed(self, image: np.ndarray, copies: Sequence[np.ndarray] = ()) -> None:
        """See `Sam.embed`."""

    def masks(
        self, image: np.ndarray, points: np.ndarray, labels: np.ndarray, box: np.ndarray | None, is_crop: bool = False
    ) -> tuple[Sequence[np.ndarray], np.ndarray]:
        """See `Sam.masks`."""

    def segment_everything(self, image: np.ndarray, grid: int) -> Segments:
        """See `Sam.segment_everything`."""


class Embeddings(Protocol):
    """Keeps SAM's embeddings of photos by key, across runs."""

    def get(self, key: str) -> np.ndarray | None:
        """The embedding, float16; None if it is not there."""

    def put(self, key: str, embedding: np.ndarray) -> None:
        """Keep an embedding, float16. Raises `OutputError` if it cannot be written."""


class SubjectModel(Protocol):
    """Finds the subject of a photo: `subject.SubjectNetwork` or `subject.SubjectGrabCut`."""

    def find(self, image: np.ndarray) -> tuple[np.ndarray, float | None]:
        """See `SubjectNetwork.find`; the confidence is None if the method has none."""


class MattingModel(Protocol):
    """A method that finds alpha: `matting.ClosedForm` or `matting.VitMatte`."""

    def alpha(self, image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
        """See `ClosedForm.alpha`."""


class DepthEstimator(Protocol):
    """Estimates depth: `depth.DepthModel`."""

    def map(self, image: np.ndarray) -> np.ndarray:
        """See `DepthModel.map`."""


class DiffusionModel(Protocol):
    """An inpainting model: `diffusion.Diffusion`, or a wrapper around it. The attributes are those of `Diffusion`."""

    multiple: int
    native: int

    @property
    def batch_size(self) -> int:
        """See `Diffusion`."""

    def inpaint(self, requests: Sequence[InpaintRequest]) -> list[np.ndarray]:
        """See `Diffusion.inpaint`."""

    def diffedit_map(self, request: DiffEditMaskRequest) -> np.ndarray:
        """See `Diffusion.diffedit_map`."""

    def diffedit(self, requests: Sequence[DiffEditRequest]) -> list[np.ndarray]:
        """See `Diffusion.diffedit`."""

    def describe(self) -> dict[str, Any]:
        """See `Diffusion.describe`."""
