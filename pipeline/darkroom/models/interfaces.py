"""What the stages may ask of a model, and what the models may ask of diffusers: interfaces for the type checker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch

    from darkroom.models.request import DiffEditMaskRequest, DiffEditRequest, InpaintRequest


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


class SamModel(Protocol):
    """Segment Anything: `sam.Sam`, or a wrapper around it."""

    def masks(
        self, image: np.ndarray, points: np.ndarray, labels: np.ndarray, box: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Sam.masks`."""

    def segment_everything(self, image: np.ndarray, grid: int) -> Segments:
        """See `Sam.segment_everything`."""


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


class Pipeline(Protocol):
    """The part of a diffusers inpainting pipeline that Darkroom uses.

    diffusers sets the components as attributes at run time, so its own classes do not declare them.
    """

    unet: Any
    vae: Any
    scheduler: Scheduler
    image_processor: Any
    vae_scale_factor: int
    num_timesteps: int
    dtype: torch.dtype
    _execution_device: torch.device

    def __call__(self, **arguments: Any) -> Any: ...

    def to(self, device: str) -> Any: ...

    def encode_prompt(self, **arguments: Any) -> Sequence[Any]: ...

    def set_progress_bar_config(self, **settings: Any) -> None: ...

    def maybe_free_model_hooks(self) -> None: ...

    def enable_model_cpu_offload(self, device: str) -> None: ...

    def enable_sequential_cpu_offload(self, device: str) -> None: ...

    def enable_group_offload(self, onload_device: torch.device, offload_type: str) -> None: ...


class Scheduler(Protocol):
    """The part of a diffusers scheduler that Darkroom uses."""

    config: Any
    timesteps: torch.Tensor
    alphas_cumprod: torch.Tensor

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **settings: Any) -> Any: ...

    def add_noise(self, samples: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor: ...
